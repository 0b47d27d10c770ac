"""`make audit`: a weakness, an answer and no answer are told apart."""

import os
import subprocess
from pathlib import Path

import pytest

AUDIT = Path(__file__).resolve().parents[2] / "local" / "bin" / "audit"

WELL = "No known vulnerabilities found"
WEAK = "Found 1 known vulnerability in 1 package"
UNKNOWN = "ERROR:pip_audit._cli:idna: Dependency not found on PyPI and could not be audited: idna (3.20)"


def command(folder: Path, name: str, said: str, code: int) -> Path:
    """Write a command that says something and ends with a code."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("pip", "npm", "code", "told"),
    [
        ((WELL, 0), ("found 0 vulnerabilities", 0), 0, "audit package-lock.json: nothing known"),
        ((WEAK, 1), ("found 0 vulnerabilities", 0), 1, WEAK),
        ((WELL, 0), ("Severity: high", 1), 1, "Severity: high"),
        ((UNKNOWN, 1), ("found 0 vulnerabilities", 0), 2, "not everything could be asked about: ERROR:"),
        ((WELL, 0), ("npm error audit endpoint returned an error", 1), 2, "asked about: npm error audit"),
        ((WEAK, 1), ("npm error audit endpoint returned an error", 1), 1, WEAK),
    ],
)
def test_no_answer_is_not_taken_for_a_good_one(
    tmp_path: Path, pip: tuple[str, int], npm: tuple[str, int], code: int, told: str
) -> None:
    python = command(tmp_path, "python", *pip)
    command(tmp_path, "npm", *npm)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [AUDIT, python], capture_output=True, text=True, check=False, env=environment, timeout=30
    )
    assert done.returncode == code, done.stdout
    assert told in done.stdout
