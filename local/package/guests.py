"""The agent as a VM Application takes it: one file for each system, with all that its installation needs."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent import build
from local.package.app import ROOT
from local.package.archives import write_tar_gz, write_zip


class WrongPythonError(Exception):
    """The Python for Windows is not the one that was pinned: ``path`` has SHA-256 ``found``."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(f"{path} has SHA-256 {found}, not {expected}")
        self.path = path
        self.found = found


@dataclass(frozen=True, slots=True)
class WindowsPython:
    """python.org's embeddable package (a zip), and the SHA-256 that python.org says it has (hex)."""

    path: Path
    sha256: str


def agent() -> bytes:
    """Build agent.pyz."""
    with tempfile.TemporaryDirectory() as folder:
        return Path(build.build(str(Path(folder) / "agent.pyz"))).read_bytes()


def write_linux(target: Path, program: bytes) -> Path:
    """Write the package for Linux: the agent and its installer."""
    return write_tar_gz(
        target, {"agent.pyz": program, "install.sh": (ROOT / "agent" / "install.sh").read_bytes()}
    )


def write_windows(target: Path, program: bytes, python: WindowsPython) -> Path:
    """Write the package for Windows: the agent, its installer, and the Python that runs it.

    Raises:
        WrongPythonError: the Python has not the SHA-256 that is pinned.
    """
    interpreter = python.path.read_bytes()
    found = hashlib.sha256(interpreter).hexdigest()
    if found != python.sha256.lower():
        raise WrongPythonError(python.path, found, python.sha256.lower())
    manifest = {
        "agent": {"file": "agent.pyz", "sha256": hashlib.sha256(program).hexdigest()},
        "python": {"file": "python-embed.zip", "sha256": found, "from": python.path.name},
    }
    return write_zip(
        target,
        {
            "agent.pyz": program,
            "python-embed.zip": interpreter,
            "manifest.json": json.dumps(manifest, indent=1, sort_keys=True).encode(),
            "install.ps1": (ROOT / "agent" / "install.ps1").read_bytes(),
            "vm-application.ps1": (ROOT / "agent" / "vm-application.ps1").read_bytes(),
        },
    )
