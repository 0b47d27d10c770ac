"""Fixtures that every kind of test may ask for."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from local.azurite import AzuriteProcess, AzuriteUnavailableError, running

# How long an example takes is the machine's affair, not a property.
settings.register_profile("stillframe", deadline=None)
settings.load_profile("stillframe")


#: Tests of one folder below these run one after the other: what they start wants some quiet, and is often
#: shared by a module. They wait most of the time, so those of two folders can be run beside each other.
_ONE_BY_ONE = ("e2e", "integration")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tell the workers of `make test` which tests belong together."""
    kind, *folder = item.path.relative_to(Path(__file__).parent).parts[:-1]
    if kind in _ONE_BY_ONE:
        item.add_marker(pytest.mark.xdist_group("/".join([kind, *folder[:1]])))


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteProcess]:
    """One Azurite in memory for the whole session; tests keep apart by names of their own."""
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(running())
        except AzuriteUnavailableError as error:
            pytest.skip(str(error))
        yield process
