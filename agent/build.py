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
    folder = os.path.join(_REPOSITORY, "agent")
    names = sorted(n for n in os.listdir(folder) if n.endswith(".py") and n != "build.py")
    members = [("__main__.py", _MAIN), ("shared/__init__.py", b"")]
    for path in ["shared/protocol.py", *("agent/" + name for name in names)]:
        with open(os.path.join(_REPOSITORY, path), "rb") as file:
            members.append((path, file.read()))
    return members


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, wherever it is built
    archive.writestr(entry, content, zipfile.ZIP_STORED)


if __name__ == "__main__":
    default = os.path.join(_REPOSITORY, "build", "agent.pyz")
    print(build(sys.argv[1] if len(sys.argv) > 1 else default))
