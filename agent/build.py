"""Build the agent: `python agent/build.py [TARGET]` writes build/agent.pyz.

The same sources give the same bytes.
"""

import os
import sys
import zipfile
from typing import List, Tuple

#: The earliest time that a zip file can tell: no build is younger than another.
_EPOCH = (1980, 1, 1, 0, 0, 0)

#: The system's own Python, wherever it lies; the starter may name another.
_SHEBANG = b"#!/usr/bin/env python3\n"

_MAIN = b'''"""Starts the agent."""
import sys

from agent.__main__ import main

sys.exit(main(sys.argv[1:]))
'''

#: The agent's packages, by their folders.
_PACKAGES = ("agent", "agent/anchors", "agent/checks", "agent/handlers")

_REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(target: str) -> str:
    """Write the zipapp to ``target`` and return that path."""
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    fresh = target + ".new"
    with open(fresh, "wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in _members():
                _add(archive, name, content)
    os.chmod(fresh, 0o755)
    os.replace(fresh, target)
    return target


def _members() -> List[Tuple[str, bytes]]:
    """Give what the agent consists of: itself without its builder, and the protocol."""
    members = [("__main__.py", _MAIN), ("shared/__init__.py", b"")]
    for path in ["shared/protocol.py", *(p for name in _PACKAGES for p in _modules(name))]:
        with open(os.path.join(_REPOSITORY, path), "rb") as file:
            members.append((path, file.read()))
    return members


def _modules(package: str) -> List[str]:
    names = sorted(os.listdir(os.path.join(_REPOSITORY, package)))
    paths = [package + "/" + name for name in names if name.endswith((".py", ".sh"))]
    return [path for path in paths if path != "agent/build.py"]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, wherever it is built
    archive.writestr(entry, content, zipfile.ZIP_STORED)


if __name__ == "__main__":
    default = os.path.join(_REPOSITORY, "build", "agent.pyz")
    print(build(sys.argv[1] if len(sys.argv) > 1 else default))
