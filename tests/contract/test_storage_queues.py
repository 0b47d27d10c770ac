"""The contract of queues; every test runs in memory and on Azurite."""

import pytest

from shared.storage.errors import DelayTooLong, MessageTooLarge
from shared.storage.guest_names import command_queue
from tests.contract.support import Storage, unique

VM = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/Vm"


async def test_a_message_arrives_as_it_was_sent_in_a_queue_that_did_not_exist(storage: Storage) -> None:
    queue = unique("queue")

    await storage.queues.send(queue, '{"text": "ä<&>𝄞"}')

    assert await storage.receive(queue, 0) == '{"text": "ä<&>𝄞"}'
    assert await storage.receive(queue, 0) is None


async def test_ensuring_a_queue_twice_keeps_its_messages(storage: Storage) -> None:
    queue = unique("queue")
    await storage.queues.ensure(queue)
    await storage.queues.send(queue, "kept")

    await storage.queues.ensure(queue)

    assert await storage.receive(queue, 0) == "kept"


async def test_a_delayed_message_is_visible_only_after_its_delay(storage: Storage) -> None:
    queue = unique("queue")
    sent_at = storage.now()

    await storage.queues.send(queue, "later", delay_ms=1_200)

    assert await storage.receive(queue, 0) is None
    assert await storage.receive(queue, 10_000) == "later"
    assert storage.now() - sent_at >= 1_000


async def test_a_delayed_message_can_be_taken_back(storage: Storage) -> None:
    queue = unique("queue")
    receipt = await storage.queues.send(queue, "not wanted any more", delay_ms=1_000)
    await storage.queues.send(queue, "wanted", delay_ms=1_000)

    await storage.queues.cancel(queue, receipt)
    await storage.queues.cancel(queue, receipt)

    assert await storage.receive(queue, 10_000) == "wanted"
    assert await storage.receive(queue, 0) is None


async def test_taking_back_a_received_message_leaves_it_to_its_receiver(storage: Storage) -> None:
    queue = unique("queue")
    receipt = await storage.queues.send(queue, "received")
    assert await storage.receive(queue, 0) == "received"

    await storage.queues.cancel(queue, receipt)


async def test_taking_back_what_never_was_does_nothing(storage: Storage) -> None:
    await storage.queues.cancel(unique("queue"), "nobody|knows")


async def test_the_largest_message_fits_and_one_byte_more_is_refused(storage: Storage) -> None:
    queue = unique("queue")
    await storage.queues.send(queue, "x" * 49_152)

    with pytest.raises(MessageTooLarge) as raised:
        await storage.queues.send(queue, "x" * 49_151 + "ä")

    assert (raised.value.queue, raised.value.size, raised.value.limit) == (queue, 49_153, 49_152)
    assert await storage.receive(queue, 0) == "x" * 49_152


async def test_a_delay_of_over_seven_days_is_refused(storage: Storage) -> None:
    queue = unique("queue")
    week = 7 * 24 * 3_600_000
    await storage.queues.send(queue, "in a week", delay_ms=week)

    with pytest.raises(DelayTooLong):
        await storage.queues.send(queue, "too late", delay_ms=week + 1)


async def test_a_command_goes_to_the_queue_of_its_vm_whatever_the_case_of_the_id(storage: Storage) -> None:
    vm_id = f"{VM}{unique('x')}"
    await storage.guest_queues.send_command(vm_id, "to one", storage.now() + 60_000)

    assert command_queue(vm_id) == command_queue(vm_id.lower())
    assert await storage.receive(command_queue(vm_id), 0) == "to one"


async def test_a_command_that_expired_is_not_sent(storage: Storage) -> None:
    vm_id = f"{VM}{unique('x')}"

    assert not await storage.guest_queues.send_command(vm_id, "old", storage.now())
    assert await storage.guest_queues.send_command(vm_id, "new", storage.now() + 60_000)

    assert await storage.receive(command_queue(vm_id), 0) == "new"


async def test_a_command_vanishes_when_it_expires(storage: Storage) -> None:
    vm_id, alarm = f"{VM}{unique('x')}", unique("queue")
    await storage.guest_queues.send_command(vm_id, "short-lived", storage.now() + 500)

    await storage.queues.send(alarm, "two seconds are over", delay_ms=2_000)
    assert await storage.receive(alarm, 10_000) == "two seconds are over"

    assert await storage.receive(command_queue(vm_id), 0) is None


async def test_a_queue_says_since_when_its_first_message_waits(storage: Storage) -> None:
    queue = unique("queue")
    assert await storage.queues.waiting_since(queue) is None
    await storage.queues.send(queue, "hidden", delay_ms=60_000)
    assert await storage.queues.waiting_since(queue) is None
    sent_at = storage.now()
    await storage.queues.send(queue, "first")
    since = await storage.queues.waiting_since(queue)

    assert since is not None
    assert abs(since - sent_at) <= 2_000, "to the second"
    assert await storage.receive(queue, 0) == "first", "looking takes nothing"
    assert await storage.queues.waiting_since(queue) is None
