"""Two invocations at once, copies that are out of date, and a cancel at any moment."""

import asyncio
from typing import Any

import pytest

from shared.engine.queue_names import ACKS, STEPS, StepMessage, read_step_message
from shared.protocol import RESUME
from shared.saga.events import CancelRequested
from tests.unit.engine.fake_guest import bootstrap_of
from tests.unit.engine.house import House


async def until_delivered(house: House, queue: str, holding: str) -> str:
    """Let things happen until a message lies in the queue that has this text in it; give it undelivered."""
    for _ in range(100):
        for message in house.messages(queue):
            if holding in message.text and message.visible_at <= house.clock():
                await house._delete(queue, message)
                return message.text
        for other in (ACKS, STEPS, "stillframe-runs"):
            for message in house.queues.receive(other, limit=1):
                await house._deliver(other, message)
            if any(holding in message.text for message in house.messages(queue)):
                break
        for guest in house.guests.values():
            await guest.work()
    raise AssertionError(f"no {holding} in {queue}")


@pytest.mark.parametrize("kind", ["ready", "quiesced", "resumed"])
async def test_of_two_instances_that_get_the_same_ack_at_once_one_acts(kind: str) -> None:
    house = House()
    run = await house.ask()
    ack = await until_delivered(house, ACKS, f'"kind":"{kind}"')
    one, other = house.another_instance(), house.another_instance()
    now = house.clock()
    await asyncio.gather(one.acks.take(ack, now), other.acks.take(ack, now))
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("succeeded", "application")
    event = {"ready": "AgentReady", "quiesced": "Quiesced", "resumed": "Resumed"}[kind]
    assert [entry["event"] for entry in view["history"]].count(event) == 1
    assert len(house.compute.captures_of) == 3
    assert len(house.compute.snapshots) == 3


@pytest.mark.parametrize("kind", ["ready", "quiesced", "resumed"])
async def test_an_ack_that_comes_twice_to_one_instance_at_once_changes_nothing(kind: str) -> None:
    house = House()
    run = await house.ask()
    ack = await until_delivered(house, ACKS, f'"kind":"{kind}"')
    now = house.clock()
    await asyncio.gather(*(house.app.acks.take(ack, now) for _ in range(3)))
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["grade"], view["generation"]) == ("succeeded", "application", 1)
    assert len(house.compute.snapshots) == 3
    assert house.guest().times_held == 1


async def test_a_start_that_comes_twice_at_once_makes_one_saga() -> None:
    house = House()
    run = await house.ask()
    start = read_step_message(await until_delivered(house, STEPS, '"watch": 0'))
    one, other = house.another_instance(), house.another_instance()
    await asyncio.gather(one.steps.take(start), other.steps.take(start))
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["generation"]) == ("succeeded", 1)
    orders = {bootstrap_of(text)["command"] for text in house.compute.bootstraps}
    assert len(orders) == 1  # the second start repeats the first one's order, if anything


async def test_an_instance_with_an_old_copy_of_the_saga_loses_no_ack() -> None:
    house = House()
    run = await house.ask()
    ready = await until_delivered(house, ACKS, '"kind":"ready"')
    old, new = house.app, house.another_instance()  # the old one keeps the saga as it was while arming
    await new.acks.take(ready, house.clock())
    house.app = new
    quiesced = await until_delivered(house, ACKS, '"kind":"quiesced"')
    await old.acks.take(quiesced, house.clock())
    assert len(house.compute.snapshots) == 3
    await house.settle()
    assert (await house.view(run))["grade"] == "application"


async def test_an_instance_with_an_old_copy_shows_a_run_as_it_is() -> None:
    house = House()
    run = await house.ask()
    ready = await until_delivered(house, ACKS, '"kind":"ready"')
    onlooker = house.another_instance()
    before = (await onlooker.reading.run(run))["vms"][0]["phase"], (await onlooker.reading.vm(run, "db-1"))
    await house.app.acks.take(ready, house.clock())
    after = (await onlooker.reading.run(run))["vms"][0]["phase"], (await onlooker.reading.vm(run, "db-1"))
    assert (before[0], before[1]["phase"]) == ("arming", "arming")
    assert (after[0], after[1]["phase"]) == ("quiescing", "quiescing")


async def test_a_cancel_during_the_capture_resumes_the_guest_first_and_keeps_nothing() -> None:
    house = House()
    run = await house.ask()
    ack = await until_delivered(house, ACKS, '"kind":"quiesced"')
    capturing, snapshots_seen = house.app, []
    house.app = house.another_instance()

    async def cancel() -> None:
        await cancel_now(house, run)
        await house.guest().work()
        snapshots_seen.append((len(house.compute.snapshots), house.guest().held))

    house.compute.after_capture = cancel
    await capturing.acks.take(ack, house.clock())
    await house.settle()
    view = await house.view(run)
    assert snapshots_seen == [(3, False)]
    assert (view["outcome"], view["grade"], view["recovery_point"]) == ("cancelled", None, [])
    assert house.compute.snapshots == {}
    assert [command.kind for command in house.guest().commands].count(RESUME) == 1


async def test_a_copy_of_an_ack_captures_nothing_while_the_first_one_is_at_it() -> None:
    """Once the first had ended and all was deleted, the copy asked again for a snapshot: nobody's."""
    house = House()
    run = await house.ask()
    ack = await until_delivered(house, ACKS, '"kind":"quiesced"')
    other = house.another_instance()

    async def a_copy_comes() -> None:
        house.compute.after_capture = None
        await other.acks.take(ack, house.clock())

    house.compute.after_capture = a_copy_comes
    await house.app.acks.take(ack, house.clock())
    await house.settle()

    assert len(house.compute.captures_of) == 3
    assert (await house.view(run))["grade"] == "application"


async def cancel_now(house: House, run: str) -> None:
    """Cancel a run, and have that carried out before anything else."""
    await house.app.runs.cancel(run)
    for message in house.queues.receive("stillframe-runs"):
        await house._deliver("stillframe-runs", message)


async def deliver_one(house: House) -> bool:
    """Deliver one message, or let the guests answer."""
    for queue in house._heard:
        for message in house.queues.receive(queue, limit=1):
            await house._deliver(queue, message)
            return True
    return any([await guest.work() for guest in house.guests.values()])


async def test_a_cancel_at_any_moment_ends_the_run_with_its_guest_going_on() -> None:
    outcomes = []
    for moment in range(40):
        house = House()
        run = await house.ask()
        for _ in range(moment):
            await deliver_one(house)
        ended_before = (await house.app.reading.run(run))["state"] == "ended"
        await cancel_now(house, run)
        await house.settle()
        view = await house.view(run)
        assert (view["phase"], view["outcome"]) == ("done", "succeeded" if ended_before else "cancelled")
        assert not house.guest().held
        assert (house.compute.snapshots == {}) is not ended_before
        assert (await house.app.reading.run(run))["state"] == "ended"
        outcomes.append(view["outcome"])
        if ended_before:
            break
    assert outcomes.count("cancelled") > 6
    assert outcomes[-1] == "succeeded"


@pytest.mark.parametrize("kind", ["ready", "quiesced", "resumed"])
@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_cancel_and_an_ack_at_once_both_count(kind: str, *, cancel_first: bool) -> None:
    house = House()
    run = await house.ask()
    ack = await until_delivered(house, ACKS, f'"kind":"{kind}"')
    step = StepMessage(run, house.guest().commands[0].saga, house.guest().vm_id)
    cancelling = house.another_instance().steps.end(step, CancelRequested())
    taking = house.another_instance().acks.take(ack, house.clock())
    await asyncio.gather(*((cancelling, taking) if cancel_first else (taking, cancelling)))
    await house.settle()
    view = await house.view(run)
    # A resumed guest's copies may have been seen complete before the cancel came.
    assert view["outcome"] == "cancelled" or (kind == "resumed" and not cancel_first)
    assert not house.guest().held
    assert {copy["snapshot"] for copy in view["recovery_point"]} == set(house.compute.snapshots)


async def test_every_message_twice_and_newest_first_ends_the_same() -> None:
    house = House()
    run = await house.ask()
    for _ in range(300):
        for queue in (ACKS, STEPS, "stillframe-runs"):
            for message in reversed(house.queues.receive(queue)):
                await house._deliver(queue, message)
                await house.functions[queue](_again(message, house))
        if not any([await guest.work() for guest in house.guests.values()]):
            following = house._next_time()
            if following is None:
                break
            house.clock.now = following
            await house._sweep()
    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("succeeded", "application")
    assert len(house.compute.snapshots) == 3


def _again(message: Any, house: House) -> Any:
    from azure.functions.queue import QueueMessage  # noqa: PLC0415 - only here

    taken_at = house.queues.taken_at(message.message_id)
    return QueueMessage(id=message.message_id, body=message.text.encode(), insertion_time=taken_at)
