"""Whether Azure Resource Manager can be reached: one small GET that no subscription's limits count."""

import pytest

from local.arm.faults import Drop, Fault
from shared.compute.errors import ComputeError
from tests.integration.compute.conftest import Azure


async def test_one_get_above_all_subscriptions_shows_that_it_can_be_reached(azure: Azure) -> None:
    await azure.compute.reach()

    [exchange] = azure.world.journal.select()
    assert (exchange.method, exchange.path, exchange.status) == ("GET", "/subscriptions", 200)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(path_contains="/subscriptions", drop=Drop.BEFORE), "Unreachable"),
        (Fault(path_contains="/subscriptions", status=503), "Http503"),
        (Fault(path_contains="/subscriptions", status=401), "Http401"),
    ],
)
async def test_what_is_in_the_way_is_told_by_a_stable_code(azure: Azure, fault: Fault, code: str) -> None:
    azure.world.faults.add(fault, times=5)
    with pytest.raises(ComputeError) as refused:
        await azure.compute.reach()
    azure.world.faults.clear()

    assert refused.value.code == code
