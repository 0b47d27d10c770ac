"""The arena of the tests here: one per module, for tests that leave it as they found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from local.azurite import AzuriteUnavailableError
from local.stack.stack import real_disks
from tests.chaos.arena import Arena, Kind, arena


@pytest.fixture(scope="module")
def on_real_disks() -> None:
    """Skip what needs real disks where there are none."""
    if not real_disks():
        pytest.skip("run by `make test` as root: needs loop devices and XFS")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def usual(on_real_disks: None) -> AsyncIterator[Arena]:
    """An arena as most rounds have it."""
    del on_real_disks
    try:
        async with arena(Kind.USUAL) as made:
            yield made
    except AzuriteUnavailableError as error:
        pytest.skip(str(error))
