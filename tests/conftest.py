"""Fixtures that every kind of test may ask for."""

import contextlib
from collections.abc import Iterator

import pytest

from local.azurite import AzuriteProcess, AzuriteUnavailableError, running


@pytest.fixture(scope="session")
def azurite() -> Iterator[AzuriteProcess]:
    """One Azurite in memory for the whole session; tests keep apart by names of their own."""
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(running())
        except AzuriteUnavailableError as error:
            pytest.skip(str(error))
        yield process
