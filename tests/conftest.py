"""Fixtures that every kind of test may ask for."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from local.azurite import AzuriteProcess, AzuriteUnavailableError, running

# How long an example takes is the machine's affair, not a property.
settings.register_profile("stillframe", deadline=None)
settings.load_profile("stillframe")


class ByFolder(LoadScopeScheduling):  # type: ignore[misc] # it is not typed
    """Gives each worker of `make test` a folder of tests after the other, or a file of unit tests.

    What the tests of these folders start wants some quiet, and is often shared by a module. They wait most of
    the time, so those of two folders can be run beside each other.
    """

    folders = ("chaos", "e2e", "integration")

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        kind, *folder = file.split("/")[1:-1]
        return "/".join([kind, *folder[:1]]) if kind in self.folders else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFolder:
    """Share the tests out by folder."""
    return ByFolder(config, log)


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteProcess]:
    """One Azurite in memory for the whole session; tests keep apart by names of their own."""
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(running())
        except AzuriteUnavailableError as error:
            pytest.skip(str(error))
        yield process
