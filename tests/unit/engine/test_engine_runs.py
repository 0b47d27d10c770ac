"""Runs: fan-out, repeated requests, cancelling, the sweep, and messages that fail for good."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from shared.compute import ComputeError
from shared.engine import sweeping
from shared.engine.queue_names import RUNS, STEPS, RunMessage, RunTask, StepMessage
from shared.engine.reading import VmNameNotUnique, VmNotInRun
from shared.engine.run_listing import Asked
from shared.engine.run_pages import PAGE, WORK_FOR_MS
from shared.engine.sweeping import BROKEN_OFF_MS
from shared.policy.documents import read_run
from shared.saga.events import Poisoned
from shared.saga.names import saga_id
from shared.storage.errors import IdempotencyMismatch, RunNotFound
from shared.storage.memory import MemoryQueues
from shared.storage.run_records import RunEntry, RunRecord
from shared.storage.sagas import StoredSaga
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import VM, House
from tests.unit.engine.interruptions import AppDied, Interruptions, When

MANY = tuple(vm_id(f"vm-{number:03}") for number in range(250))


async def lose(house: House, queue: str) -> int:
    """Lose every message of a queue; give how many those were."""
    messages = house.messages(queue)
    for message in messages:
        await house._delete(queue, message)
    return len(messages)


async def steps_waiting(house: House) -> Counter[str]:
    return Counter(json.loads(message.text)["vm"] for message in house.messages(STEPS))


async def drain_runs(house: House) -> int:
    """Deliver the messages about runs, and what follows from them, and nothing else."""
    delivered = 0
    while messages := house.queues.receive(RUNS):
        for message in messages:
            delivered += 1
            await house._deliver(RUNS, message)
    return delivered


async def test_a_run_of_250_vms_starts_each_once_in_three_pages() -> None:
    house = House()
    await house.ask(*MANY)
    assert await drain_runs(house) == 3
    assert await steps_waiting(house) == Counter(MANY)


async def test_as_many_vms_as_a_page_holds_are_no_trouble() -> None:
    house = House()
    await house.ask(*MANY[:PAGE])
    assert await drain_runs(house) == 2
    assert await steps_waiting(house) == Counter(MANY[:PAGE])


async def test_a_run_of_250_vms_ends_and_is_no_longer_swept() -> None:
    house = House()
    run = await house.ask(*MANY, enabled=False)
    await house.settle()
    view = await house.app.reading.run(run)
    assert (view["state"], view["vms_ended"]) == ("ended", 250)
    assert Counter(vm["outcome"] for vm in view["vms"]) == {"succeeded": 250}
    assert [run async for run in house.runs.active()] == []


async def test_a_fan_out_that_died_in_the_middle_of_a_page_starts_every_vm_all_the_same() -> None:
    house = House(Interruptions(60, When.AFTER))
    run = await house.ask(*MANY[:PAGE], enabled=False)
    await house.settle()
    assert len(house.failures) == 1
    view = await house.app.reading.run(run)
    assert Counter(vm["outcome"] for vm in view["vms"]) == {"succeeded": PAGE}
    assert len(house.compute.snapshots) == 3 * PAGE


async def test_the_same_request_with_the_same_key_is_the_same_run() -> None:
    house = House()
    assert await house.ask(key="k") == await house.ask(key="k")
    assert len(house.messages(STEPS)) == 1
    assert await house.ask() != await house.ask()


async def test_another_request_with_the_same_key_is_refused_and_changes_nothing() -> None:
    house = House()
    run = await house.ask(key="k")
    before = repr(house.tables._tables)
    with pytest.raises(IdempotencyMismatch) as caught:
        await house.ask(key="k", attempts=5)
    assert caught.value.run_id == run
    assert repr(house.tables._tables) == before


async def test_the_same_request_twice_at_once_is_one_run() -> None:
    house = House()

    class Ticking:
        def __call__(self) -> int:
            house.clock.now += 1  # no two requests are of the same millisecond
            return house.clock.now

    house.app.runs._clock = Ticking()
    runs = await asyncio.gather(*(house.ask(key="k") for _ in range(4)))
    assert len(set(runs)) == 1
    await house.settle()
    assert len((await house.app.reading.run(runs[0]))["vms"]) == 1
    assert len(house.compute.snapshots) == 3


async def test_a_request_whose_key_was_claimed_but_whose_run_was_never_written_writes_it() -> None:
    house = House(Interruptions(1, When.AFTER))
    with pytest.raises(AppDied):
        await house.ask(key="k")
    house.interruptions.revive()
    assert house.interruptions.seen == ["write runs"]
    run = await house.ask(key="k")
    await house.settle()
    assert (await house.view(run))["outcome"] == "succeeded"


async def test_a_policy_that_changed_meanwhile_makes_a_repeated_request_no_other_request() -> None:
    house = House()
    await house.app.policies.put("nightly", {"vms": [VM]}, None)
    request = read_run({"policy": "nightly"})
    first = await house.app.policies.start(request, "http", "k")
    await house.app.policies.put("nightly", {"vms": [VM], "guest_processing": {"attempts": 5}}, None)
    assert await house.app.policies.start(request, "http", "k") == first


async def test_a_run_cancelled_before_it_began_touches_no_vm() -> None:
    house = House()
    run = await house.ask(*MANY[:3])
    await lose(house, STEPS)
    await house.app.runs.cancel(run)
    await house.settle()
    view = await house.app.reading.run(run)
    assert [vm["outcome"] for vm in view["vms"]] == ["cancelled"] * 3
    assert view["cancel_requested"]
    assert (house.compute.snapshots, house.compute.bootstraps) == ({}, [])


async def test_a_start_message_that_comes_after_the_cancel_starts_nothing() -> None:
    house = House()
    run = await house.ask()
    await drain_runs(house)
    [start] = house.messages(STEPS)
    await lose(house, STEPS)
    await house.app.runs.cancel(run)
    await house.settle()
    await MemoryQueues.put(house.queues, STEPS, start.text, delay_s=0, expires_in_s=-1)
    await house.settle()
    assert (await house.view(run))["outcome"] == "cancelled"
    assert house.compute.bootstraps == []


async def test_an_unknown_run_cannot_be_cancelled_and_no_message_is_sent() -> None:
    house = House()
    with pytest.raises(RunNotFound):
        await house.app.runs.cancel("nobody")
    assert house.messages(RUNS) == []


async def test_the_sweep_cancels_when_the_cancels_own_message_is_lost() -> None:
    house = House()
    run = await house.ask()
    await lose(house, STEPS)
    await house.app.runs.cancel(run)
    assert await lose(house, RUNS) == 1
    await house.settle()
    assert (await house.view(run))["outcome"] == "cancelled"


async def test_the_sweep_starts_what_no_message_started() -> None:
    house = House()
    run = await house.ask()
    assert await lose(house, STEPS) == 1
    await house.settle()
    assert (await house.view(run))["outcome"] == "succeeded"


async def test_the_sweep_takes_no_start_for_lost_that_still_waits_in_its_queue() -> None:
    house = House()
    run = await house.ask(*MANY[:12])
    await drain_runs(house)
    waiting = [message.message_id for message in house.messages(STEPS)]
    assert len(waiting) == 12
    house.clock.now += 3_600_000
    await house.functions["sweep"](None)
    await drain_runs(house)
    assert [message.message_id for message in house.messages(STEPS)] == waiting

    assert await lose(house, STEPS) == 12
    await house.functions["sweep"](None)
    await house.settle()
    assert {vm["outcome"] for vm in (await house.app.reading.run(run))["vms"]} == {"succeeded"}


async def test_a_run_of_very_many_vms_is_not_swept_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "SWEPT_AT_ONCE", 12)
    house = House()
    await house.ask(*MANY[:30])
    await drain_runs(house)
    sagas, reads = house.app.sweeping._sagas, 0
    reload = sagas.reload

    async def counted(saga_id: str) -> StoredSaga:
        nonlocal reads
        reads += 1
        return await reload(saga_id)

    sagas.reload = counted  # type: ignore[method-assign]
    swept = []
    for _ in range(9):
        before = reads
        await house.functions["sweep"](None)
        await drain_runs(house)
        swept.append(reads - before)
        house.clock.now += 60_000
    assert sorted(swept) == [0] * 6 + [30] * 3, "every third minute, and then all of it"


async def test_a_page_that_takes_long_is_gone_through_by_several_invocations() -> None:
    house = House()
    run = await house.ask(*MANY[:12])
    await drain_runs(house)
    await lose(house, STEPS)
    await house.app.runs.cancel(run)
    end = house.app.steps.end

    async def slow(*arguments: Any) -> Any:
        house.clock.now += WORK_FOR_MS // 3
        return await end(*arguments)

    house.app.steps.end = slow  # type: ignore[assignment, method-assign]
    before = len(house.delivered)
    await drain_runs(house)

    messages = [text for queue, text in house.delivered[before:] if queue == RUNS]
    assert len(messages) > 1
    assert len(set(messages)) == len(messages), "each goes on behind the one before"
    assert {vm["outcome"] for vm in (await house.app.reading.run(run))["vms"]} == {"cancelled"}


async def test_the_sweep_leaves_alone_what_has_only_just_begun() -> None:
    house = House()
    run = await house.ask()
    await lose(house, STEPS)
    assert await house.app.sweeping.sweep() == 1
    await drain_runs(house)
    assert house.messages(STEPS) == []
    assert (await house.view(run))["phase"] == "pending"


async def test_the_sweep_goes_on_with_a_saga_whose_watch_is_lost() -> None:
    house = House()
    house.guest().deaf_to.add("arm")
    run = await house.ask(attempts=1)
    await house.work()
    await house.work()
    assert (await house.view(run))["phase"] == "arming"
    assert await lose(house, STEPS) == 1
    await house.settle()
    view = await house.view(run)
    assert (view["phase"], view["outcome"]) == ("done", "failed")
    assert "the agent did not answer in time" in "; ".join(view["reasons"])


async def test_the_sweep_records_the_end_of_a_saga_that_ended_unrecorded() -> None:
    # The last write of a run but the sweep's own is the entry in its index.
    house = House()
    run = await house.ask()
    await house.settle(until=house.clock())
    last = house.interruptions.seen.index("write runs", 5) + 1
    house = House(Interruptions(last, When.BEFORE), lost_for_ms=600_000)
    run = await house.ask()
    await house.settle(until=house.clock() + 1)
    assert (await house.view(run))["phase"] == "done"
    assert (await house.app.reading.run(run))["state"] == "running"
    await house.settle(until=house.clock() + 61_000)
    assert (await house.app.reading.run(run))["state"] == "ended"


async def test_the_sweep_reaches_the_vms_behind_one_that_it_cannot_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    vms = MANY[: PAGE + 20]
    run = await house.ask(*vms, enabled=False)
    await lose(house, RUNS)
    first = min(saga_id(run, vm) for vm in vms)
    house.tables._tables["sagas"][first, "state"] = (
        {"PartitionKey": first, "RowKey": "state", "schema": 99, "json00": "{}"},
        'W/"1"',
    )
    house.clock.now += 70_000
    await house.settle(until=house.clock() + 10_000)
    entries = [entry async for entry in house.runs.entries(run)]
    assert Counter(entry.outcome for entry in entries) == {"succeeded": PAGE + 19, "": 1}
    assert "sweep failed for 1 of its VMs" in caplog.text


async def test_a_cancel_reaches_the_vms_behind_one_that_it_cannot_read() -> None:
    house = House()
    vms = MANY[: PAGE + 20]
    run = await house.ask(*vms, enabled=False)
    await lose(house, RUNS)
    first = min(saga_id(run, vm) for vm in vms)
    house.tables._tables["sagas"][first, "state"] = (
        {"PartitionKey": first, "RowKey": "state", "schema": 99, "json00": "{}"},
        'W/"1"',
    )
    await house.app.runs.cancel(run)
    await house.settle(until=house.clock() + 50_000)  # five tries, then its poison
    entries = [entry async for entry in house.runs.entries(run)]
    assert Counter(bool(entry.outcome) for entry in entries) == {True: PAGE + 19, False: 1}
    assert house.compute.snapshots == {}


async def test_a_run_whose_creation_goes_on_is_not_taken_off_the_sweeps_list() -> None:
    for writes in (2, 3):  # the first one puts it into the list of runs
        house = House(Interruptions(writes, When.AFTER))
        with pytest.raises(AppDied):
            await house.ask(*MANY[:150])
        house.interruptions.revive()
        await house.functions["sweep"](None)
        await drain_runs(house)
        assert [run async for run in house.runs.active()] == ["run-0001"]
        assert house.failures == []
        assert house.messages(STEPS) == []


async def test_a_run_whose_creation_was_broken_off_long_ago_is_forgotten_and_never_listed() -> None:
    house = House(Interruptions(3, When.AFTER))
    with pytest.raises(AppDied):
        await house.ask(*MANY[:150])
    house.interruptions.revive()
    house.clock.now += BROKEN_OFF_MS + 1
    await house.functions["sweep"](None)
    await drain_runs(house)
    assert [run async for run in house.runs.active()] == []
    assert await house.app.run_listing.page(Asked(), limit=10, after="") == ([], "")
    assert house.messages(STEPS) == []


async def test_a_run_with_a_vm_that_goes_on_stays_on_the_sweeps_list() -> None:
    house = House()
    vms = MANY[: PAGE + 1]
    last = max(vms, key=lambda vm: saga_id("run-0001", vm))  # the only one of the second page
    house.guest(last).deaf_to.add("arm")
    await house.ask(*vms)
    await house.settle(until=house.clock() + 61_000)
    entries = [entry async for entry in house.runs.entries("run-0001")]
    assert [entry.vm_id for entry in entries if not entry.outcome] == [last]
    assert [run async for run in house.runs.active()] == ["run-0001"]


async def test_a_fan_out_message_that_fails_for_good_ends_its_vms_from_that_page_on() -> None:
    house = House()
    run = await house.ask(*MANY[:120], enabled=False)
    await lose(house, RUNS)
    await house.app.runs.fail(RunMessage(RunTask.FAN_OUT, run), "it failed again and again")
    await house.settle()
    view = await house.app.reading.run(run)
    assert Counter(vm["outcome"] for vm in view["vms"]) == {"failed": 120}
    assert "a message of its run" in view["vms"][0]["why"]
    assert house.compute.snapshots == {}


@pytest.mark.parametrize("task", [RunTask.FAIL, RunTask.SWEEP])
async def test_a_message_that_may_wait_for_the_sweep_is_given_up_without_another(task: RunTask) -> None:
    house = House()
    await house.app.runs.fail(RunMessage(task, "run-1"), "it failed again and again")
    assert house.messages(RUNS) == []


async def test_a_step_that_fails_for_good_ends_its_saga_with_the_guest_going_on() -> None:
    house = House()
    house.compute.errors["read_facts"] = [RuntimeError("a defect")] * 99  # type: ignore[list-item]
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    assert view["outcome"] == "failed"
    assert "a message could not be processed: its start" in "; ".join(view["reasons"])
    assert (await house.app.reading.run(run))["state"] == "ended"


async def test_a_capture_that_fails_for_good_resumes_the_guest_and_keeps_nothing() -> None:
    house = House()
    house.compute.after_capture = _fail
    run = await house.ask(attempts=1)
    await house.settle()
    view = await house.view(run)
    assert view["outcome"] == "failed"
    assert house.compute.snapshots == {}
    assert not house.guest().held
    assert house.guest().longest_hold_ms <= 30_000


async def _fail() -> None:
    raise RuntimeError("a defect")


async def test_cleaning_that_cannot_be_done_at_once_is_done_later() -> None:
    house = House()
    house.compute.errors["stop_agent"] = [ComputeError("Busy", "try again")] * 3
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], house.compute.run_commands) == ("succeeded", set())


async def test_a_watch_that_comes_before_its_saga_starts_it() -> None:
    house = House()
    run = await house.ask()
    await drain_runs(house)
    await lose(house, STEPS)
    await house.app.steps.take(StepMessage(run, saga_id(run, VM), VM, watch=1))
    await house.settle()
    assert (await house.view(run))["outcome"] == "succeeded"


async def test_a_watch_after_the_end_changes_nothing() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    before = repr(house.tables._tables)
    await house.app.steps.take(StepMessage(run, saga_id(run, VM), VM, watch=1))
    await house.settle()
    assert repr(house.tables._tables) == before


async def test_a_saga_that_never_began_can_be_ended() -> None:
    house = House()
    run = await house.ask()
    await lose(house, RUNS)
    state = await house.app.steps.end(StepMessage(run, saga_id(run, VM), VM), Poisoned("its start"))
    assert (state.phase, state.outcome) == ("done", "failed")


async def test_a_step_of_an_unknown_run_says_so() -> None:
    house = House()
    with pytest.raises(RunNotFound):
        await house.app.steps.take(StepMessage("nobody", "s", VM))


async def test_a_run_written_by_an_earlier_version_is_still_started() -> None:
    house = House()
    entry = RunEntry(saga_id=saga_id("old", VM), vm_id=VM, started_at=house.clock())
    settings: dict[str, Any] = {"guest": {"enabled": False}, "snapshots": {}}
    record = RunRecord(
        run_id="old",
        created_at=house.clock(),
        policy_name="",
        requested_by="http",
        vm_count=1,
        settings=settings,
    )
    await house.runs.create(record, [entry])
    await house.settle()
    assert (await house.view("old"))["outcome"] == "succeeded"


async def test_two_vms_of_one_name_are_asked_for_by_their_sagas() -> None:
    house = House()
    twin = VM.replace("/app/", "/other/")
    run = await house.ask(VM, twin)

    with pytest.raises(VmNameNotUnique) as caught:
        await house.view(run)
    assert set(caught.value.sagas) == {saga_id(run, VM), saga_id(run, twin)}
    assert (await house.view(run, saga_id(run, twin)))["vm"] == twin
    with pytest.raises(VmNotInRun):
        await house.view(run, "db-9")
