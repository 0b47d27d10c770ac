"""The texts on the app's own queues."""

import json
from typing import Any

import pytest

from shared.engine.queue_names import (
    GROUPS,
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

#: What the trigger says of a message itself, which members of a JSON body would override.
TAKEN = {
    "id", "dequeuecount", "popreceipt", "insertiontime", "expirationtime", "nextvisibletime", "queuetrigger",
}  # fmt: skip


@pytest.mark.parametrize("task", RunTask)
@pytest.mark.parametrize("after", ["", "0123"])
def test_a_run_message_is_read_as_it_was_written(task: RunTask, after: str) -> None:
    message = RunMessage(task, "run-1", after)
    assert read_run_message(message.text()) == message


@pytest.mark.parametrize("task", PointTask)
@pytest.mark.parametrize("after", ["", "0123"])
def test_a_point_message_is_read_as_it_was_written(task: PointTask, after: str) -> None:
    message = PointMessage(task, "nightly", after)
    assert read_point_message(message.text()) == message


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"subject": "nightly"}, "task"),
        ({"task": "dance", "subject": "nightly"}, "task"),
        ({"task": "retain"}, "subject"),
        ({"task": "retain", "subject": ""}, "subject"),
        ({"task": "delete", "subject": 5}, "subject"),
    ],
)
def test_a_point_message_that_lacks_something_says_what(members: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        read_point_message(json.dumps(members))
    assert (caught.value.queue, caught.value.field) == (POINTS, field)


@pytest.mark.parametrize("watch", [0, 1, 77])
def test_a_step_message_is_read_as_it_was_written(watch: int) -> None:
    message = StepMessage("run-1", "saga-1", "/vm/ä", watch)
    assert read_step_message(message.text()) == message


@pytest.mark.parametrize(
    "text",
    [
        RunMessage(RunTask.SWEEP, "r").text(),
        StepMessage("r", "s", "v").text(),
        PointMessage(PointTask.LOOK, "all").text(),
    ],
)
def test_no_member_is_named_like_the_triggers_own_metadata(text: str) -> None:
    assert {name.lower() for name in json.loads(text)} & TAKEN == set()


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "3", "null", "\ufffd", "[" * 100_000, "{"])
def test_garbage_is_no_message(text: str) -> None:
    for read in (read_run_message, read_step_message, read_point_message, read_group_message):
        with pytest.raises(BadMessageError) as caught:
            read(text)
        assert caught.value.field == "message"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"run": "r"}, "task"),
        ({"task": "dance", "run": "r"}, "task"),
        ({"task": None, "run": "r"}, "task"),
        ({"task": "sweep"}, "run"),
        ({"task": "sweep", "run": ""}, "run"),
        ({"task": "sweep", "run": 5}, "run"),
    ],
)
def test_a_run_message_that_lacks_something_says_what(members: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        read_run_message(json.dumps(members))
    assert (caught.value.queue, caught.value.field) == (RUNS, field)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"saga": "s", "vm": "v"}, "run"),
        ({"run": "r", "vm": "v"}, "saga"),
        ({"run": "r", "saga": "s"}, "vm"),
        ({"run": "r", "saga": "s", "vm": ["v"]}, "vm"),
        ({"run": "r", "saga": "s", "vm": "v", "watch": "1"}, "watch"),
        ({"run": "r", "saga": "s", "vm": "v", "watch": True}, "watch"),
        ({"run": "r", "saga": "s", "vm": "v", "watch": None}, "watch"),
    ],
)
def test_a_step_message_that_lacks_something_says_what(members: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        read_step_message(json.dumps(members))
    assert (caught.value.queue, caught.value.field) == (STEPS, field)


@pytest.mark.parametrize(
    "message",
    [
        GroupMessage(run_id="r", name="shop"),
        GroupMessage(run_id="r", name="shop", saga_id="s", attempt=2, barrier="held"),
        GroupMessage(run_id="r", name="shop", saga_id="s", attempt=1, why="web-1: it fell", again=True),
    ],
)
def test_a_group_message_is_read_as_it_was_written(message: GroupMessage) -> None:
    assert read_group_message(message.text()) == message


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"group": "shop"}, "run"),
        ({"run": "r"}, "group"),
        ({"run": "r", "group": "g", "saga": ""}, "saga"),
        ({"run": "r", "group": "g", "saga": "s"}, "why"),
        ({"run": "r", "group": "g", "saga": "s", "barrier": "open"}, "barrier"),
        ({"run": "r", "group": "g", "saga": "s", "barrier": ["held"]}, "barrier"),
        ({"run": "r", "group": "g", "saga": "s", "barrier": "held", "attempt": "1"}, "attempt"),
        ({"run": "r", "group": "g", "saga": "s", "why": "x", "again": 1}, "again"),
    ],
)
def test_a_group_message_that_lacks_something_says_what(members: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessageError) as caught:
        read_group_message(json.dumps(members))
    assert (caught.value.queue, caught.value.field) == (GROUPS, field)
