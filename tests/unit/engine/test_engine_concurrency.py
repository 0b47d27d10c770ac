"""Runs that work on few VMs at once, hold fewer, and try failed ones again: whatever dies, all end."""

from typing import Any

import pytest

from shared.compute.errors import NotFound, Throttled
from shared.engine.places import FIRST_GUESS_MS
from shared.engine.queue_names import CALLED, STEPS, StepMessage
from shared.policy.documents import read_run
from shared.saga.names import saga_id
from shared.storage.turns import TurnTable
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, T0, House
from tests.unit.engine.interruptions import Interruptions, When

pytestmark = pytest.mark.asyncio

MINUTE = 60_000

#: Phases after the guest's part: background copies keep no other VM waiting. While its guest goes on a saga
#: that lost its host is still stored as ``resuming``.
GONE_ON = ("resuming", "completing", "cleaning", "done")


async def started(house: House, count: int, **members: Any) -> str:
    vms = [vm_id(f"db-{number:02}") for number in range(count)]
    document = read_run({"vms": vms, "guest_processing": SCRIPTS, **members})
    return await house.app.policies.start(document, "http", "")


def begun(house: House) -> int:
    """Count the sagas there are."""
    return sum(1 for _, row in house.tables._tables["sagas"] if row == "state")


async def outcomes(house: House, run: str) -> list[str]:
    return [entry["outcome"] for entry in (await house.app.reading.run(run))["vms"]]


class Watching:
    """Looks after each bit of work at how many sagas go on and how many guests are held."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.most_going_on = self.most_held = 0
        work = house.work

        async def watched() -> bool:
            worked = await work()
            await self.look()
            return worked

        house.work = watched  # type: ignore[method-assign]

    async def look(self) -> None:
        states = [
            row for (_, name), (row, _) in self.house.tables._tables["sagas"].items() if name == "state"
        ]
        self.most_going_on = max(self.most_going_on, sum(1 for row in states if row["phase"] not in GONE_ON))
        self.most_held = max(self.most_held, sum(1 for guest in self.house.guests.values() if guest.held))


async def test_never_more_vms_go_on_at_once_than_the_policy_says_and_all_end() -> None:
    house = House()
    watching = Watching(house)
    run = await started(house, 12, concurrency={"vms": 3})
    await house.settle()

    assert await outcomes(house, run) == ["succeeded"] * 12
    assert watching.most_going_on == 3


async def test_never_more_guests_are_held_at_once_than_the_policy_says_and_all_end() -> None:
    house = House()
    watching = Watching(house)
    run = await started(house, 12, concurrency={"held": 2})
    await house.settle()

    assert await outcomes(house, run) == ["succeeded"] * 12
    assert 1 <= watching.most_held <= 2


async def test_who_waits_to_be_held_is_called_when_the_guest_before_it_goes_on() -> None:
    house = House()
    first = await started(house, 3, concurrency={"held": 1})
    await house.settle(T0 + FIRST_GUESS_MS - 1)

    assert await outcomes(house, first) == ["succeeded"] * 3, "long before the time at which they were to ask"
    calls = [text for queue, text in house.delivered if queue == STEPS and f'"watch": {CALLED}' in text]
    assert len(calls) == 2


async def test_who_waits_for_requests_to_azure_is_called_when_others_give_theirs_back() -> None:
    """Each may need 24 reads: eight of the twelve have all 200, and use a few of them."""
    house = House()
    run = await started(house, 12)
    await house.settle(T0 + 1_000)  # the refill alone serves the last of them 4 s later

    assert await outcomes(house, run) == ["succeeded"] * 12
    calls = [text for queue, text in house.delivered if queue == STEPS and f'"watch": {CALLED}' in text]
    assert len(calls) == 4


async def test_a_call_that_comes_late_or_to_nobody_changes_nothing() -> None:
    house = House()
    run = await started(house, 1, concurrency={"held": 1})
    await house.settle()
    before = dict(house.tables._tables["sagas"])
    [entry] = (await house.app.reading.run(run))["vms"]
    for saga in (entry["saga"], "0" * 20):
        await house.queues.send(STEPS, StepMessage(run, saga, vm_id("db-00"), watch=CALLED).text())
    await house.settle()

    assert house.tables._tables["sagas"] == before


async def test_vms_begin_in_the_order_of_the_list_or_of_their_names() -> None:
    for order, expected in (("listed", ["c", "a", "b"]), ("name", ["a", "b", "c"])):
        house = House()
        vms = [vm_id(name) for name in ("c", "a", "b")]
        document = {"vms": vms, "guest_processing": SCRIPTS, "concurrency": {"vms": 1, "order": order}}
        run = await house.app.policies.start(read_run(document), "http", "")
        await house.settle()
        made = [partition for partition, row in house.tables._tables["sagas"] if row == "state"]
        assert made == [saga_id(run, vm_id(name)) for name in expected]


async def test_a_run_that_is_cancelled_begins_no_more_vms() -> None:
    house = House()
    run = await started(house, 6, concurrency={"vms": 1})
    await house.work()
    await house.app.runs.cancel(run)
    await house.settle()

    assert set(await outcomes(house, run)) == {"cancelled"}
    assert not house.compute.snapshots


async def test_a_turn_that_nobody_passed_on_is_passed_on_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    run = await started(house, 3, concurrency={"vms": 1})

    async def forget(*_: object) -> None:
        """The host dies before it can."""

    with monkeypatch.context() as patched:
        patched.setattr(TurnTable, "pass_on", forget)
        await house.settle(T0 + 50_000)
        assert begun(house) == 1
    await house.settle()

    assert await outcomes(house, run) == ["succeeded"] * 3


@pytest.mark.parametrize("when", When)
async def test_wherever_the_app_dies_a_run_in_turns_ends_whole_and_never_exceeds_them(when: When) -> None:
    house = House()
    await started(house, 3, concurrency={"vms": 1, "held": 1})
    await house.settle()
    operations = len(house.interruptions.seen)
    for number in range(1, operations + 1, 3):
        house = House(Interruptions(number, when))
        watching = Watching(house)
        try:
            run = await started(house, 3, concurrency={"vms": 1, "held": 1})
        except Exception:  # noqa: BLE001 - it died while the run was asked for: nobody was told of one
            continue
        await house.settle()
        assert await outcomes(house, run) == ["succeeded"] * 3, number
        assert watching.most_held <= 1
        assert watching.most_going_on <= 1


RETRY = {"attempts": 2, "delay_ms": MINUTE, "growth": 3}


def throttled(times: int) -> list[Any]:
    return [Throttled("TooManyRequests", "too many requests")] * times


async def test_a_vm_that_failed_by_what_passes_is_tried_again_later_as_a_new_saga() -> None:
    house = House()
    house.compute.errors["start_agent"] = throttled(8)
    run = await started(house, 1, retry=RETRY)
    await house.settle()

    view = await house.app.reading.run(run)
    [vm] = view["vms"]
    assert (vm["outcome"], view["state"], view["vms_ended"]) == ("succeeded", "ended", 1)
    assert vm["try"] == 2
    [first] = vm["earlier_tries"]
    assert first["saga"] == saga_id(run, vm_id("db-00"))
    assert "could not be started" in first["why"] or first["why"]
    assert vm["saga"] == saga_id(run, vm_id("db-00"), 2)


async def test_a_vm_is_not_tried_more_often_than_the_policy_says() -> None:
    house = House()
    house.compute.errors["start_agent"] = throttled(200)
    run = await started(house, 1, retry=RETRY)
    await house.settle()

    [vm] = (await house.app.reading.run(run))["vms"]
    assert (vm["outcome"], vm["try"], len(vm["earlier_tries"])) == ("failed", 3, 2)
    first, second = (one["ended_at"] for one in vm["earlier_tries"])
    assert first < second < vm["ended_at"]


async def test_what_waiting_does_not_mend_is_not_tried_again() -> None:
    house = House()
    house.compute.errors["read_facts"] = [NotFound("ResourceNotFound", "no such VM")]
    run = await started(house, 1, retry=RETRY)
    await house.settle()

    [vm] = (await house.app.reading.run(run))["vms"]
    assert (vm["outcome"], vm["try"], vm["earlier_tries"]) == ("failed", 1, [])


async def test_a_vm_that_is_to_be_tried_again_keeps_its_turn_until_its_last_try_has_ended() -> None:
    house = House()
    house.compute.errors["start_agent"] = throttled(8)
    watching = Watching(house)
    run = await started(house, 3, concurrency={"vms": 1}, retry=RETRY)
    await house.settle()

    assert await outcomes(house, run) == ["succeeded"] * 3
    assert watching.most_going_on == 1


async def test_a_cancelled_run_tries_nothing_again() -> None:
    house = House()
    house.compute.errors["start_agent"] = throttled(200)
    run = await started(house, 1, retry=RETRY)
    await house.settle(T0 + 4 * MINUTE)
    await house.app.runs.cancel(run)
    await house.settle()

    assert await outcomes(house, run) == ["cancelled"]
    assert not house.messages(STEPS)


@pytest.mark.parametrize("when", When)
async def test_wherever_the_app_dies_a_vm_is_tried_again_once(when: When) -> None:
    def trial(interruptions: Interruptions | None = None) -> House:
        house = House(interruptions)
        house.compute.errors["read_facts"] = [Throttled("TooManyRequests", "too many")] * 40
        return house

    house = trial()
    await started(house, 1, retry={"attempts": 1, "delay_ms": MINUTE})
    await house.settle()
    operations = len(house.interruptions.seen)
    for number in range(1, operations + 1, 2):
        house = trial(Interruptions(number, when))
        try:
            run = await started(house, 1, retry={"attempts": 1, "delay_ms": MINUTE})
        except Exception:  # noqa: BLE001 - it died while the run was asked for
            continue
        await house.settle()
        [vm] = (await house.app.reading.run(run))["vms"]
        assert vm["outcome"], number
        assert vm["try"] <= 2
