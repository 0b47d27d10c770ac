"""The proof in short: every application in every mode, restored and checked. At length: `make prove`."""

import pytest

from local.guests.applications import APPLICATIONS, application_of
from local.prove.judging import failures
from local.prove.modes import OFF, Mode, modes_of
from local.prove.proving import UNLIMITED, guest_on
from local.prove.tries import Try, make_try
from local.stack.stack import Stack, StackOptions
from local.world.specs import GuestSpec

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.world,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),  # a database is made, started and recovered a dozen times
]

OPTIONS = StackOptions(sim=UNLIMITED)

#: SQLite once; its other journal is left to `make prove`.
TRIED = [name for name in APPLICATIONS if name != "sqlite-wal"]

#: Without guest processing these broke in every try that was ever counted, or nearly; PostgreSQL breaks too
#: seldom to be waited for.
BREAKS_SOON = ("ledger", "sqlite", "mariadb")
TRIES_UNTIL_BROKEN = 5

#: A database that wrote in the background while it was held is told of, and its recovery point not kept.
TRIES_UNTIL_KEPT = 4


async def kept(stack: Stack, guest: GuestSpec, mode: Mode) -> Try:
    """Try until there is a recovery point."""
    one = await make_try(stack, guest, mode)
    for _ in range(TRIES_UNTIL_KEPT - 1):
        if one.has_recovery_point:
            break
        one = await make_try(stack, guest, mode)
    return one


@pytest.mark.parametrize("name", TRIED)
async def test_held_copies_are_whole_and_graded_as_proved_and_unheld_ones_break(
    stack: Stack, name: str
) -> None:
    application = application_of(name)
    if obstacle := application.obstacle():
        pytest.skip(obstacle)
    modes = [mode for mode in modes_of(application) if mode.guest_processing]

    async with guest_on(stack, application) as guest:
        held = [await kept(stack, guest, mode) for mode in modes]
        unheld: list[Try] = []
        while (
            name in BREAKS_SOON
            and len(unheld) < TRIES_UNTIL_BROKEN
            and all(one.restored_ok for one in unheld)
        ):
            unheld.append(await make_try(stack, guest, OFF))

    assert list(failures([*held, *unheld], [*modes, OFF])) == []
    assert [one.grade for one in held] == [mode.proves for mode in modes], held
    assert all(one.grade == "crash" for one in unheld)
    if name in BREAKS_SOON:
        assert not unheld[-1].restored_ok, "disks imaged at different instants never broke it"
