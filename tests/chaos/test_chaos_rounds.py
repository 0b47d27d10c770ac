"""A few rounds with fixed seeds, on arenas like those of `make chaos`; that one does many."""

import pytest

from tests.chaos.arena import Arena, Kind, arena
from tests.chaos.choosing import together
from tests.chaos.rounds import do_round

pytestmark = [pytest.mark.e2e, pytest.mark.world, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize(
    ("seed", "group", "faults"),
    [
        ("3", "", ("host killed: saved",)),
        ("2", "", ("agent killed", "dead-man killed")),
        ("1", "", ("two hosts", "poison messages")),
        ("4", "", ("queues: reset after", "tables: 412", "azure: truncated", "clock of a guest set")),
        ("1", "all", ("host killed: group saved", "group: words late")),
    ],
    ids=[
        "host-killed",
        "guest-processes-killed",
        "two-hosts-and-poison",
        "requests-broken-and-clock-set",
        "group",
    ],
)
async def test_after_a_round_of_faults_everything_is_as_it_should_be(
    usual: Arena, seed: str, group: str, faults: tuple[str, ...]
) -> None:
    result = await do_round(usual, together(seed, *faults, group=group))
    assert result.violations == (), "\n".join((result.text, *result.history))


@pytest.mark.usefixtures("on_real_disks")
async def test_after_the_storage_was_killed_while_guests_were_held_everything_is_as_it_should_be() -> None:
    async with arena(Kind.DURABLE) as durable:
        result = await do_round(durable, together("1", "storage killed"))
    assert result.violations == (), "\n".join((result.text, *result.history))
