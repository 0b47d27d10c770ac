from collections.abc import AsyncIterator

import pytest

from local.arm.contract import violations
from tests.integration.arm.sim import Sim, simulated


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    """One VM with three disks and no delays; whatever a test does, the whole journal keeps the contract."""
    async with simulated() as served:
        yield served
        assert violations(served.world.journal.select()) == []
