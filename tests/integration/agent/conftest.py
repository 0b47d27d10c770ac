"""The built agent, the Pythons that run it, and a box to run it in."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import build
from tests.integration.agent import box as boxes
from tests.integration.agent.app_side import App
from tests.integration.agent.imds import ImdsStub
from tests.integration.agent.machine import Machine, private
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub

#: The oldest Python that the agent is for, and the app's own.
VERSIONS = ("3.6", "3.13")
#: And those of today's distributions in between, for what is worth its time with each.
EVERY_VERSION = ("3.6", "3.8", "3.11", "3.13")


def interpreter(version: str) -> str | None:
    """Find a Python of this version: this one, one on PATH, or one that pyenv has."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and "/shims/" not in found:
        return found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = sorted(root.glob(f"versions/{version}.*/bin/python3"))
    return str(kept[-1]) if kept else None


def interpreter_or_skip(version: str) -> str:
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} here")
    return found


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return interpreter_or_skip(request.param)


@pytest.fixture(params=EVERY_VERSION)
def every_python(request: pytest.FixtureRequest) -> str:
    return interpreter_or_skip(request.param)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build.build(str(tmp_path_factory.mktemp("agent") / "agent.pyz"))


@pytest.fixture
def stub() -> Iterator[QueueStub]:
    served = QueueStub()
    yield served
    served.close()


@pytest.fixture
def imds() -> Iterator[ImdsStub]:
    served = ImdsStub()
    yield served
    served.close()


@pytest.fixture
def app(stub: QueueStub) -> App:
    return App(stub)


@pytest.fixture
def local_agent(tmp_path: Path, pyz: str) -> Iterator[LocalAgent]:
    tmp_path.chmod(0o755)
    agent = LocalAgent(pyz, tmp_path)
    yield agent
    agent.close()


@pytest.fixture
def box(tmp_path: Path, pyz: str) -> Iterator[boxes.Box]:
    reason = boxes.why_not()
    if reason:
        pytest.skip(reason)
    tmp_path.chmod(0o755)
    with boxes.opened(tmp_path, pyz) as opened:
        yield opened


@pytest.fixture
def machine(box: boxes.Box, tmp_path: Path, pyz: str) -> Iterator[Machine]:
    with private(box, tmp_path, pyz) as made:
        yield made
