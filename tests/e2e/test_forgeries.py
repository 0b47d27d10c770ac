"""Whoever can write to a queue: neither a forged ack nor garbage moves a saga or stops the app."""

import contextlib
import re
import secrets
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueServiceClient

from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.orders import Keys
from shared.engine.queue_names import ACKS, RUNS, STEPS
from shared.protocol import READY, RESUMED, Ack, encode_ack
from shared.saga.state import SagaState
from shared.storage.connection import read_connection
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables
from tests.e2e.scene import BEST, NO_MESSAGES, SOON_S, Machine, outcome, plain_vm, put

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MASTER = secrets.token_bytes(32)
OPTIONS = StackOptions(
    settings={
        "STILLFRAME_MASTER_KEY": MASTER.hex(),
        "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00.500",
    }
)
QUEUES = (RUNS, STEPS, ACKS)
POISON = tuple(f"{queue}-poison" for queue in QUEUES)
GARBAGE = (*NO_MESSAGES, "\x00\N{GRINNING FACE}")


async def test_forged_and_foreign_acks_leave_a_waiting_saga_where_it_is(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "target"), await plain_vm(stack, "attacker")
    gate = vm.guest.runtime / "gate"
    waiting = vm.script("wait.sh", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    settings = vm.guest_processing(pre_script={"path": waiting, "timeout_ms": 60_000})
    settings |= {"quiesce_timeout_ms": 60_000, "freeze_budget_ms": 90_000}
    run_id = await vm.start_run(settings)
    await until(lambda: has_lines(vm, 1), within_s=SOON_S, what="the pre-script")
    before = await vm.view(run_id)
    assert before["phase"] == "quiescing"
    keys, saga = Keys(MASTER), before["saga"]
    mine, theirs = keys.of_session(vm.id, saga), keys.of_session(other.id, saga)
    released = body(released_by="order", held_until_order=True, held=[], window_ms=1, script=None)
    for text in (
        encode_ack(ack(vm, saga, RESUMED, released), secrets.token_bytes(32)),
        encode_ack(ack(vm, saga, RESUMED, released), theirs),
        encode_ack(ack(other, saga, RESUMED, released), theirs),
        encode_ack(ack(vm, "0" * 20, RESUMED, released), keys.of_session(vm.id, "0" * 20)),
        encode_ack(ack(vm, saga, RESUMED, released, generation=7), mine),
        encode_ack(ack(vm, saga, READY, body(agent_version=1)), mine),
        encode_ack(ack(vm, saga, READY, ready()), mine),  # as the agent said it before: a replay
        encode_ack(ack(vm, saga, RESUMED, released), mine).replace('"generation":1', '"generation":2'),
    ):
        await put(stack, ACKS, text)
    await until(lambda: empty(stack, ACKS), within_s=SOON_S, what="all forgeries read")
    after = await vm.view(run_id)
    assert (after["phase"], after["history"]) == ("quiescing", before["history"])
    gate.touch()
    view = await vm.ended(run_id)
    assert outcome(view) == BEST, view["reasons"]
    assert vm.lines() == ["pre 1", "post 1"]
    await vm.assert_at_rest(view)


async def test_every_kind_of_forged_ack_is_counted_shown_and_moves_nothing(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "watched"), await plain_vm(stack, "rogue")
    ended = await vm.run_to_end()
    gate = vm.guest.runtime / "gate"
    waiting = vm.script("wait.sh", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    settings = vm.guest_processing(pre_script={"path": waiting, "timeout_ms": 60_000})
    settings |= {"quiesce_timeout_ms": 60_000, "freeze_budget_ms": 90_000}
    lines = len(vm.lines())
    run_id = await vm.start_run(settings)
    await until(lambda: has_lines(vm, lines + 1), within_s=SOON_S, what="the pre-script")
    keys, saga = Keys(MASTER), str((await vm.view(run_id))["saga"])
    before, counted = await stored(stack, saga), await counts(stack)
    mine = keys.of_session(vm.id, saga)
    released = body(released_by="order", held_until_order=True, held=[], window_ms=1, script=None)
    forged = {
        "rejected bad_signature": encode_ack(ack(vm, saga, RESUMED, released), secrets.token_bytes(32)),
        "rejected stranger": encode_ack(ack(other, saga, RESUMED, released), keys.of_session(other.id, saga)),
        "ignored other_generation": encode_ack(ack(vm, saga, RESUMED, released, generation=7), mine),
        "ignored again": encode_ack(ack(vm, saga, READY, ready()), mine),
        # An ack has no expiry of its own: its saga is over.
        "ignored saga_done": encode_ack(
            ack(vm, ended["saga"], READY, ready()), keys.of_session(vm.id, ended["saga"])
        ),
        "rejected malformed": "{}x",
    }
    for text in forged.values():
        await put(stack, ACKS, text)

    async def all_counted() -> bool:
        now = await counts(stack)
        return all(now[kind] > counted[kind] for kind in forged)

    await until(all_counted, within_s=SOON_S, what="every forgery counted and shown")
    assert await stored(stack, saga) == before
    gate.touch()
    view = await vm.ended(run_id)
    assert outcome(view) == BEST, view["reasons"]
    log = stack.host.log.read_text(errors="replace")
    assert re.search(r"stillframe acks: rejected=\d+ .*rejected_bad_signature=", log)
    await vm.assert_at_rest(ended, view)


async def counts(stack: Stack) -> Counter[str]:
    """Give what health says of acks: how many, by ``rejected`` or ``ignored`` and the reason."""
    _, _, report = await stack.api.call("GET", "/api/health")
    found: Counter[str] = Counter()
    for day in report["acks"].values():
        for group, reasons in day.items():
            for reason, number in reasons.items():
                # What was said before is one or the other, by whether the watch came in between.
                told = "again" if reason in ("repeated", "not_awaited") else reason
                found[f"{group} {told}"] += number
    return found


async def stored(stack: Stack, saga: str) -> SagaState:
    """Give the saga's state as it is stored, but for its watch, which comes and goes by itself."""
    tables = Tables(read_connection("S", {"S": stack.storage.connection_string}))
    try:
        state = (await SagaTable(tables).load(saga)).state
    finally:
        await tables.close()
    return replace(state, watch_number=0, pauses=0)


async def test_garbage_on_every_queue_is_dropped_or_put_aside_and_other_runs_go_on(stack: Stack) -> None:
    vm = await plain_vm(stack, "calm")
    await vm.run_to_end({"enabled": False})  # the queues are there
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        for queue in QUEUES + POISON:
            with contextlib.suppress(ResourceExistsError):
                await service.create_queue(queue)
    for queue in QUEUES + POISON:
        for text in GARBAGE:
            await put(stack, queue, text)
    for queue in QUEUES:
        await put(stack, queue, "%%% no base64", raw=True)
        await put(stack, queue, '{"dequeueCount": "y"}')  # the host takes it for the trigger's own count
    view = await vm.run_to_end()
    assert outcome(view) == BEST, view["reasons"]
    await until(lambda: nothing_left(stack), within_s=90, what="all garbage dropped or put aside")
    again = await vm.run_to_end()
    assert outcome(again) == BEST, again["reasons"]


def ack(vm: Machine, saga: str, kind: str, members: dict[str, Any], generation: int = 1) -> Ack:
    return Ack(kind, vm.id.lower(), saga, generation, 1, 1, 0, members)


def body(**members: Any) -> dict[str, Any]:
    return {"boot_id": "a-boot", **members}


def ready() -> dict[str, Any]:
    return body(agent_version="1", dead_man={"armed": True, "locked": True}, os="linux", python="3.6")


async def has_lines(vm: Machine, count: int) -> bool:
    return len(vm.lines()) >= count


async def empty(stack: Stack, queue: str) -> bool:
    return await count(stack, queue) == 0


async def nothing_left(stack: Stack) -> bool:
    """Whether only what no function ever sees is left: the host itself fails on it and puts it aside."""
    left = {queue: await count(stack, queue) for queue in QUEUES + POISON}
    return left == dict.fromkeys(QUEUES, 0) | dict.fromkeys(POISON, 2)


async def count(stack: Stack, queue: str) -> int:
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        properties = await service.get_queue_client(queue).get_queue_properties()
        return properties.approximate_message_count or 0
