"""Fixtures that every kind of test may ask for."""

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import settings

from local.azurite import AzuriteProcess, AzuriteUnavailableError, running

# How long an example takes is the machine's affair, not a property.
settings.register_profile("stillframe", deadline=None)
settings.load_profile("stillframe")


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteProcess]:
    """One Azurite in memory for the whole session; tests keep apart by names of their own."""
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(running())
        except AzuriteUnavailableError as error:
            pytest.skip(str(error))
        yield process
