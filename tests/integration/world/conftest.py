import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.world.capability import can_use_real_disks

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = Path(__file__).with_name("scenarios.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

type Play = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def sandbox() -> list[str]:
    """The start of a command line that runs the rest of it in the sandbox."""
    capability = can_use_real_disks()
    if not capability.ok:
        pytest.skip(capability.reason)
    return [sys.executable, "-m", "local.world.sandbox", "--"]


@pytest.fixture
def play(sandbox: list[str]) -> Play:
    """Lets a scenario happen in the sandbox and returns its outcome."""
    return lambda name: outcome_of([*sandbox, sys.executable, str(SCENARIOS), name])


@pytest.fixture
def play_without_privileges() -> Play:
    """Lets a scenario happen as somebody who may neither mount nor make namespaces."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is missing: apt-get install util-linux")
        prefix = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    return lambda name: outcome_of([*prefix, sys.executable, str(SCENARIOS), name])


def outcome_of(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome
