"""The app's queues, and the texts that travel on them.

No member may be named like the trigger's own metadata (see ``shared/protocol.py``).
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from shared import telemetry
from shared.saga.group import Barrier
from shared.storage.errors import NewerMessage, UnknownVersion
from shared.storage.upcasts import Form, brought_up, version_of

RUNS = "stillframe-runs"
STEPS = "stillframe-steps"
ACKS = "stillframe-acks"
POINTS = "stillframe-points"
GROUPS = "stillframe-groups"
"""A queue of its own: who is told on it may be held, and must not wait behind the starts of a large run."""
NOTICES = "stillframe-notices"
NOTICES_DEAD = "stillframe-notices-dead"

#: The number of no watch: a saga that waits is called before its watch, which goes on to count.
CALLED = -1


class RunTask(StrEnum):
    """What is to be done with the VMs of a run, page by page."""

    SELECT = "select"
    FAN_OUT = "fan-out"
    CANCEL = "cancel"
    SWEEP = "sweep"
    FAIL = "fail"


class PointTask(StrEnum):
    """What is to be done with recovery points."""

    RETAIN = "retain"
    """Delete what retention wants no more: of a policy (``subject``), page by page of its VMs."""

    DELETE = "delete"
    """Delete a recovery point (``subject``) that is marked for it."""

    LOOK = "look"
    """See whether what the records name is there, page by page."""

    LIST = "list"
    """See whether what is there (in the resource group ``subject``) has records, page by page."""


class BadMessageError(Exception):
    """A message on one of the app's own queues is not of a form that this version reads."""

    def __init__(self, queue: str, field: str, expected: str) -> None:
        super().__init__(f"{queue}: {field}: expected {expected}")
        self.queue = queue
        self.field = field
        self.expected = expected


@dataclass(frozen=True, slots=True)
class RunMessage:
    """Do ``task`` for the next page of a run's VMs, those after the saga ``after``.

    ``trace`` is the ``traceparent`` of whoever makes the message, empty when nothing is recorded.
    """

    task: RunTask
    run_id: str
    after: str = ""
    trace: str = field(default_factory=telemetry.here, compare=False)

    def text(self) -> str:
        """Write the message."""
        members = {
            "v": version_of(Form.RUN_MESSAGE),
            "task": self.task.value,
            "run": self.run_id,
            "after": self.after,
        }
        return json.dumps(members | _traced(self.trace))


@dataclass(frozen=True, slots=True)
class PointMessage:
    """Do ``task`` for ``subject``, from behind ``after`` on."""

    task: PointTask
    subject: str
    after: str = ""

    def text(self) -> str:
        """Write the message."""
        members = {"task": self.task.value, "subject": self.subject, "after": self.after}
        return json.dumps({"v": version_of(Form.POINT_MESSAGE), **members})


@dataclass(frozen=True, slots=True)
class StepMessage:
    """Start a saga, or look at it again when ``watch`` (the watch's number, or ``CALLED``) is not 0.

    ``trace`` is the ``traceparent`` of whoever makes the message, empty when nothing is recorded.
    ``try_number`` counts the sagas of this VM in this run: the first is 1.
    """

    run_id: str
    saga_id: str
    vm_id: str
    watch: int = 0
    trace: str = field(default_factory=telemetry.here, compare=False)
    try_number: int = 1

    def text(self) -> str:
        """Write the message."""
        members = {
            "v": version_of(Form.STEP_MESSAGE),
            "run": self.run_id,
            "saga": self.saga_id,
            "vm": self.vm_id,
            "watch": self.watch,
        }
        tried = {"try": self.try_number} if self.try_number > 1 else {}
        return json.dumps(members | tried | _traced(self.trace))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMessage:
    """Tell the saga ``saga_id`` what its group says, or (where it names none) look at the group's clock.

    It is told that ``barrier`` is open in this attempt; without one, that the group broke and ``why``.
    """

    run_id: str
    name: str
    saga_id: str = ""
    attempt: int = 0
    barrier: str = ""
    why: str = ""
    again: bool = False
    trace: str = field(default_factory=telemetry.here, compare=False)

    def text(self) -> str:
        """Write the message."""
        members: dict[str, Any] = {
            "v": version_of(Form.GROUP_MESSAGE),
            "run": self.run_id,
            "group": self.name,
        }
        if self.saga_id:
            members |= {"saga": self.saga_id, "attempt": self.attempt, "barrier": self.barrier}
            members |= {"why": self.why, "again": self.again}
        return json.dumps(members | _traced(self.trace))


def read_run_message(text: str) -> RunMessage:
    """Read a message of the runs queue.

    Raises:
        BadMessageError: it is none.
        NewerMessage: a newer version of the app wrote it.
    """
    members = read_members(RUNS, text, Form.RUN_MESSAGE)
    try:
        task = RunTask(str(members.get("task")))
    except ValueError:
        raise BadMessageError(RUNS, "task", "one of " + ", ".join(RunTask)) from None
    run_id, after = _text(RUNS, members, "run"), str(members.get("after") or "")
    return RunMessage(task, run_id, after, _trace(members))


def read_point_message(text: str) -> PointMessage:
    """Read a message of the points queue.

    Raises:
        BadMessageError: it is none.
        NewerMessage: a newer version of the app wrote it.
    """
    members = read_members(POINTS, text, Form.POINT_MESSAGE)
    try:
        task = PointTask(str(members.get("task")))
    except ValueError:
        raise BadMessageError(POINTS, "task", "one of " + ", ".join(PointTask)) from None
    return PointMessage(task, _text(POINTS, members, "subject"), str(members.get("after") or ""))


def read_step_message(text: str) -> StepMessage:
    """Read a message of the steps queue.

    Raises:
        BadMessageError: it is none.
        NewerMessage: a newer version of the app wrote it.
    """
    members = read_members(STEPS, text, Form.STEP_MESSAGE)
    run_id, saga_id, vm_id = (_text(STEPS, members, name) for name in ("run", "saga", "vm"))
    return StepMessage(
        run_id,
        saga_id,
        vm_id,
        _whole(STEPS, members, "watch", 0),
        _trace(members),
        try_number=_whole(STEPS, members, "try", 1),
    )


def read_group_message(text: str) -> GroupMessage:
    """Read a message of the groups queue.

    Raises:
        BadMessageError: it is none.
        NewerMessage: a newer version of the app wrote it.
    """
    members = read_members(GROUPS, text, Form.GROUP_MESSAGE)
    run_id, name = (_text(GROUPS, members, each) for each in ("run", "group"))
    if "saga" not in members:
        return GroupMessage(run_id=run_id, name=name, trace=_trace(members))
    barrier, again = members.get("barrier", ""), members.get("again", False)
    if barrier != "" and barrier not in tuple(Barrier):
        raise BadMessageError(GROUPS, "barrier", "one of " + ", ".join(Barrier))
    if not isinstance(again, bool):
        raise BadMessageError(GROUPS, "again", "true or false")
    return GroupMessage(
        run_id=run_id,
        name=name,
        saga_id=_text(GROUPS, members, "saga"),
        attempt=_whole(GROUPS, members, "attempt", 0),
        barrier=barrier,
        why="" if barrier else _text(GROUPS, members, "why"),
        again=again,
        trace=_trace(members),
    )


def _traced(trace: str) -> dict[str, str]:
    return {"traceparent": trace} if trace else {}


def _trace(members: dict[str, Any]) -> str:
    """Read where a message comes from. What is no ``traceparent`` is told by nobody, and harms nothing."""
    trace = members.get("traceparent")
    return trace if isinstance(trace, str) else ""


def read_members(queue: str, text: str, form: Form) -> dict[str, Any]:
    """Read the members of a message, this version's or an older one's; one that says none is of version 1.

    Raises:
        BadMessageError: it is no JSON object, or says no version that there can be.
        NewerMessage: a newer version of the app wrote it.
    """
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict) or not _can_be_written(members):
        raise BadMessageError(queue, "message", "one JSON object of texts that UTF-8 can write")
    try:
        brought: dict[str, Any] = brought_up(form, members, members.get("v", 1))
    except UnknownVersion as error:
        if error.newer:
            raise NewerMessage(queue, error) from None
        raise BadMessageError(queue, "v", f"a whole number from 1 to {error.known}") from None
    return brought


def _can_be_written(members: dict[str, Any]) -> bool:
    """Whether there is no half of a surrogate pair in them, which is no text to a table, a hash or a log."""
    try:
        json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(queue: str, members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise BadMessageError(queue, name, "a text")
    return value


def _whole(queue: str, members: dict[str, Any], name: str, default: int) -> int:
    value = members.get(name, default)
    if type(value) is not int:
        raise BadMessageError(queue, name, "a whole number")
    return value
