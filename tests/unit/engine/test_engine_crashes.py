"""The app dies at every single operation of a run, and what it left half done is done again."""

from collections.abc import Callable, Sequence

import pytest

from shared.engine.carrying_out import carry_out
from shared.engine.effects.hands import Hands
from shared.engine.loop import CarryOut
from shared.protocol import RESUME
from shared.saga.effects import Effect
from shared.saga.events import Event
from shared.saga.state import SagaState
from tests.unit.engine.house import VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

FREEZE_BUDGET_MS = 30_000
TEN_MINUTES_MS = 600_000


async def run_once(house: House, until: int | None = None) -> str:
    """Ask for a run as a careful client does: with a key, and again when no answer came."""
    try:
        run = await house.ask(key="once")
    except AppDied:
        house.interruptions.revive()
        house.app = house.another_instance()
        run = await house.ask(key="once")
    await house.settle(until)
    return run


async def operations_of_the_common_path() -> list[str]:
    house = House()
    await run_once(house)
    return house.interruptions.seen


async def assert_ended_whole(house: House, run: str) -> None:
    view = await house.view(run)
    told = (house.interruptions.at, house.interruptions.when, house.interruptions.seen)
    assert (view["phase"], view["outcome"], view["grade"]) == ("done", "succeeded", "application"), told
    assert view["generation"] == 1, told
    kept = {copy["snapshot"] for copy in view["recovery_point"]}
    assert kept == set(house.compute.snapshots), told
    assert len(kept) == 3, told
    assert all(snapshot.held for snapshot in house.compute.snapshots.values()), told
    assert all(s.tags["stillframe-grade"] == "application" for s in house.compute.snapshots.values()), told
    assert house.compute.run_commands == set(), told
    assert not house.guest().held, told
    whole = await house.app.reading.run(run)
    assert (whole["state"], whole["vms_ended"]) == ("ended", 1), told
    assert await in_catalogue(house) == {view["saga"]: kept}, told
    assert [queue for queue in house.functions if house.messages(queue)] == [], told


async def in_catalogue(house: House) -> dict[str, set[str]]:
    """Give what each recovery point of the catalogue is made of, as it is found by its VM."""
    return {point.record.point_id: set(point.record.resources) async for point in house.points.of_vms([VM])}


@pytest.mark.parametrize("when", When)
async def test_a_run_ends_the_same_whichever_operation_fails_before_or_after_it_took_effect(
    when: When,
) -> None:
    for number in range(1, len(await operations_of_the_common_path()) + 1):
        house = House(Interruptions(number, when))
        run = await run_once(house)
        await assert_ended_whole(house, run)
        assert house.guest().times_held == 1, number


@pytest.mark.parametrize("when", When)
async def test_an_instance_lost_at_any_operation_leaves_no_guest_held_and_no_stray_snapshot(
    when: When,
) -> None:
    for number in range(1, len(await operations_of_the_common_path()) + 1):
        house = House(Interruptions(number, when), lost_for_ms=TEN_MINUTES_MS)
        run = await run_once(house)
        view = await house.view(run)
        told = (number, house.interruptions.seen[number - 1], view["reasons"])
        assert view["phase"] == "done", told
        assert house.guest().longest_hold_ms <= FREEZE_BUDGET_MS, told
        assert not house.guest().held, told
        kept = {copy["snapshot"] for copy in view["recovery_point"]}
        assert kept == set(house.compute.snapshots), told
        assert await in_catalogue(house) == ({view["saga"]: kept} if kept else {}), told
        if view["grade"] == "application":
            assert all(snapshot.held for snapshot in house.compute.snapshots.values()), told
        assert (await house.app.reading.run(run))["state"] == "ended", told


async def test_an_instance_lost_at_any_operation_ends_no_saga_as_late_as_its_hidden_message_comes() -> None:
    for number in range(1, len(await operations_of_the_common_path()) + 1):
        house = House(Interruptions(number, When.BEFORE), lost_for_ms=TEN_MINUTES_MS)
        began = house.clock()
        run = await run_once(house, until=began + TEN_MINUTES_MS - 1_000)
        view = await house.view(run)
        assert view["phase"] == "done", (number, house.interruptions.seen[number - 1])


class DyingHands:
    """Dies at the n-th effect, before it is carried out."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.effects: list[Effect] = []

    def around(self, hands: Hands) -> CarryOut:
        async def until_dead(state: SagaState, effects: Sequence[Effect]) -> Event | None:
            answer: Event | None = None
            for effect in effects:
                self.effects.append(effect)
                if len(self.effects) == self.at:
                    raise AppDied(type(effect).__name__)
                answer = await carry_out(hands, state, [effect]) or answer
            return answer

        return until_dead


async def with_dying_hands(at: int) -> tuple[House, DyingHands, str]:
    house, hands = House(), DyingHands(at)
    house.app = house.another_instance(hands.around)
    revive: Callable[[], object] = house.another_instance
    house.another_instance = lambda *_: revive()  # type: ignore[method-assign,assignment]
    return house, hands, await run_once(house)


async def test_an_effect_that_was_saved_only_is_carried_out_when_its_message_comes_again() -> None:
    _, whole, _ = await with_dying_hands(0)
    kinds = [type(effect).__name__ for effect in whole.effects]
    assert kinds == [
        "ReadFacts", "StartAgent", "Admit", "SendCommand", "Capture", "SendCommand", "CheckCopies", "Leave",
        "Clean", "RecordEnd",
    ]  # fmt: skip
    for number, kind in enumerate(kinds, 1):
        house, _, run = await with_dying_hands(number)
        assert [str(failure) for failure in house.failures] == [kind]
        await assert_ended_whole(house, run)


async def test_the_order_to_resume_is_repeated_with_its_number_so_that_the_agent_knows_it_again() -> None:
    house = House()
    await run_once(house)
    number = house.interruptions.seen.index("capture") + 3  # the capture, the save, the order
    assert house.interruptions.seen[number - 1].startswith("put cmd-")
    house = House(Interruptions(number, When.AFTER))
    await run_once(house)
    orders = [command for command in house.guest().commands if command.kind == RESUME]
    assert len(orders) == 2
    assert orders[0] == orders[1]
