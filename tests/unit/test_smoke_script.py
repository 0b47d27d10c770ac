"""infra/smoke.sh: patient with an app that starts, short with a wrong call, true to the worst answer."""

import subprocess
from pathlib import Path

import pytest

SMOKE = Path(__file__).resolve().parents[2] / "infra" / "smoke.sh"


def asked(tmp_path: Path, codes: list[int], *vms: str, patience: int = 0) -> tuple[int, list[str]]:
    """Run it with a command line that answers with one exit code after the other."""
    (tmp_path / "codes").write_text("\n".join(map(str, codes)) + "\n")
    stand_in = tmp_path / "stillframe"
    stand_in.write_text(
        f'#!/bin/sh\ncd {tmp_path}\necho "$*" >>asked\ncode=$(head -n 1 codes)\n'
        'sed -i 1d codes\nexit "$code"\n'
    )
    stand_in.chmod(0o755)
    environ = {
        "PATH": "/usr/bin:/bin",
        "STILLFRAME_CLI": str(stand_in),
        "STILLFRAME_PATIENCE_S": str(patience),
        "STILLFRAME_PAUSE_S": "0" if not patience else "1",
    }
    done = subprocess.run(["sh", str(SMOKE), *vms], env=environ, check=False, capture_output=True, timeout=60)
    return done.returncode, (tmp_path / "asked").read_text().splitlines()


def test_a_well_app_and_vms_that_could_be_backed_up_end_well(tmp_path: Path) -> None:
    assert asked(tmp_path, [0, 0, 0], "/vm/1", "/vm/2") == (
        0,
        ["health", "preflight /vm/1", "preflight /vm/2"],
    )


def test_an_app_that_starts_is_asked_again_until_it_is_well(tmp_path: Path) -> None:
    assert asked(tmp_path, [5, 6, 3, 0], patience=3) == (0, ["health"] * 4)


@pytest.mark.parametrize("code", [3, 5, 6])
def test_an_app_that_stays_unwell_ends_with_its_code(tmp_path: Path, code: int) -> None:
    assert asked(tmp_path, [code] * 9, "/vm/1", patience=1) == (code, ["health"] * 2)


def test_a_wrong_call_is_not_repeated(tmp_path: Path) -> None:
    assert asked(tmp_path, [1, 0], patience=5) == (1, ["health"])


def test_one_vm_that_could_not_be_backed_up_is_enough(tmp_path: Path) -> None:
    assert asked(tmp_path, [0, 3, 0], "/vm/1", "/vm/2") == (
        3,
        ["health", "preflight /vm/1", "preflight /vm/2"],
    )
