"""The app's own queues: what lies there is a message or refused by its own error, and does not stay."""

import asyncio
import json
from typing import Any

from azure.functions.queue import QueueMessage
from hypothesis import given
from hypothesis import strategies as st

from shared.compute.errors import ComputeError
from shared.engine.notice_messages import Notice, read_notice
from shared.engine.queue_names import (
    ACKS,
    GROUPS,
    NOTICES,
    POINTS,
    RUNS,
    STEPS,
    BadMessageError,
    GroupMessage,
    PointMessage,
    PointTask,
    RunMessage,
    RunTask,
    StepMessage,
    read_group_message,
    read_point_message,
    read_run_message,
    read_step_message,
)
from shared.policy.notifications import Webhook
from shared.storage.errors import NewerMessage, StorageError
from tests.unit.engine.house import VM, House
from tests.unit.fuzz.examples import fuzz
from tests.unit.fuzz.genuine_messages import recorded
from tests.unit.fuzz.mutating import mutated_text

RUN_MESSAGES = [RunMessage(task, "run-0001", "s1").text() for task in RunTask]
STEP_MESSAGES = [StepMessage("run-0001", "s1", VM, watch).text() for watch in (0, 3)]
GROUP = "/".join(VM.split("/")[2:5:2])
POINT_MESSAGES = [
    PointMessage(task, subject, after).text()
    for task, subject in zip(PointTask, ("nightly", "s1", "all", GROUP), strict=True)
    for after in ("", "8199999999999-s1")
]
GROUP_MESSAGES = [
    GroupMessage(run_id="run-0001", name="shop").text(),
    GroupMessage(run_id="run-0001", name="shop", saga_id="s1", attempt=1, barrier="held").text(),
    GroupMessage(run_id="run-0001", name="shop", saga_id="s1", attempt=2, why="it fell", again=True).text(),
]
READERS: dict[str, Any] = {
    GROUPS: read_group_message,
    RUNS: read_run_message,
    STEPS: read_step_message,
    POINTS: read_point_message,
    NOTICES: read_notice,
}
EVENT = {"specversion": "1.0", "id": "0" * 32, "type": "stillframe.run.failed", "data": {}}
HOOK = Webhook(url="https://127.0.0.1:9/a?b=c", secret="ops", headers=(("X-Team", "dba"),))
NOTICE_MESSAGES = [
    Notice(event=EVENT, webhook=HOOK, attempts=3, first_at=1).text(),
    Notice(event=EVENT, queue="results", first_at=1).dead_letter("it broke", 2),
]


def bytes_of(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.one_of(texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))


@fuzz(300)
@given(mutated_text([*RUN_MESSAGES, *STEP_MESSAGES, *POINT_MESSAGES, *NOTICE_MESSAGES, *GROUP_MESSAGES]))
def test_a_text_is_a_message_or_refused_by_its_own_error(text: str) -> None:
    for queue, read in READERS.items():
        try:
            message = read(text)
        except (BadMessageError, NewerMessage) as refused:
            told = (refused.queue, str(refused))
        else:
            told = (queue, json.dumps(message.text()))
            assert read(message.text()) == message
        assert told[0] == queue


async def delivered(queue: str, body: bytes) -> None:
    """Deliver a message while a saga goes on, first as it is, then as poison, and let the saga end."""
    house = House()
    run = await house.ask()
    await house.work()
    message = QueueMessage(id="m", body=body, dequeue_count=1, pop_receipt="p")
    try:
        await house.functions[queue](message)
    except (BadMessageError, StorageError, ComputeError, ExceptionGroup):
        await house.functions[f"{queue}-poison"](message)
    await house.settle()
    assert (await house.view(run))["phase"] == "done"


@fuzz(25)
@given(bytes_of(mutated_text(RUN_MESSAGES)))
def test_a_message_about_runs_is_done_or_given_up_whatever_it_says(body: bytes) -> None:
    asyncio.run(delivered(RUNS, body))


@fuzz(25)
@given(bytes_of(mutated_text(STEP_MESSAGES)))
def test_a_message_about_steps_is_done_or_given_up_whatever_it_says(body: bytes) -> None:
    asyncio.run(delivered(STEPS, body))


@fuzz(25)
@given(bytes_of(mutated_text(POINT_MESSAGES)))
def test_a_message_about_points_is_done_or_given_up_whatever_it_says(body: bytes) -> None:
    asyncio.run(delivered(POINTS, body))


@fuzz(25)
@given(bytes_of(mutated_text(GROUP_MESSAGES)))
def test_what_a_group_says_is_told_or_dropped_whatever_it_says(body: bytes) -> None:
    asyncio.run(delivered(GROUPS, body))


@fuzz(25)
@given(bytes_of(mutated_text(NOTICE_MESSAGES)))
def test_a_notice_is_delivered_put_aside_or_dropped_whatever_it_says(body: bytes) -> None:
    asyncio.run(delivered(NOTICES, body))


@fuzz(25)
@given(st.deferred(lambda: bytes_of(mutated_text(recorded()[1]))))
def test_an_ack_is_taken_or_dropped_and_never_poison(body: bytes) -> None:
    async def dropped() -> None:
        house = House()
        message = QueueMessage(id="m", body=body, dequeue_count=1, pop_receipt="p")
        await house.functions[ACKS](message)
        await house.functions[f"{ACKS}-poison"](message)

    asyncio.run(dropped())
