"""The agent on Windows CPython, in a Wine prefix that is made once."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import build
from shared.protocol import Ack
from tests.integration.agent.app_side import App
from tests.integration.agent.stub import QueueStub
from tests.integration.windows import embedded, wine
from tests.integration.windows.wine import WindowsAgent, Wine

#: The oldest that is to be supported, and the app's own.
VERSIONS = ("3.11", "3.13")


@pytest.fixture(scope="session")
def windows() -> Iterator[Wine]:
    reason = wine.why_not()
    if reason:
        pytest.skip(reason)
    # Not in pytest's own folder: the socket of Wine's server wants a short path.
    with tempfile.TemporaryDirectory(prefix="stillframe-wine-", ignore_cleanup_errors=True) as folder:
        made = Wine(Path(folder) / "prefix")
        yield made
        made.close()


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build.build(str(tmp_path_factory.mktemp("agent") / "agent.pyz"))


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest, windows: Wine) -> Path:
    return _python(windows, request.param)


def _python(windows: Wine, version: str) -> Path:
    try:
        return windows.install(embedded.interpreter(version))
    except embedded.NotToBeHad as error:
        pytest.skip(f"no Python for Windows: {error}")


@pytest.fixture
def stub() -> Iterator[QueueStub]:
    served = QueueStub()
    yield served
    served.close()


class PatientApp(App):
    """Under Wine a process may take many seconds to start."""

    def answer(self, sequence: int | None = None, patience_s: float = 120.0) -> Ack:
        return super().answer(sequence, patience_s)

    def unasked(self, patience_s: float = 120.0) -> Ack:
        return super().unasked(patience_s)


@pytest.fixture
def app(stub: QueueStub) -> App:
    return PatientApp(stub)


@pytest.fixture
def each_agent(
    request: pytest.FixtureRequest, windows: Wine, python: Path, pyz: str
) -> Iterator[WindowsAgent]:
    """The agent on each of the Pythons."""
    yield from _agent(request, windows, python, pyz)


@pytest.fixture
def agent(request: pytest.FixtureRequest, windows: Wine, pyz: str) -> Iterator[WindowsAgent]:
    """The agent on the newest Python."""
    yield from _agent(request, windows, _python(windows, VERSIONS[-1]), pyz)


def _agent(request: pytest.FixtureRequest, windows: Wine, python: Path, pyz: str) -> Iterator[WindowsAgent]:
    name = re.sub(r"\W+", "-", request.node.name)[-60:].strip("-")
    made = WindowsAgent(windows, python, pyz, name)
    yield made
    made.close()
