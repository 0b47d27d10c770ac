"""What may happen to the app's half of a world without the guest.

What an invocation does comes from ``invocation.py``, that is from the app itself.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, replace
from typing import NamedTuple

from shared.engine.sweeping import OVERDUE_MS
from shared.saga.evidence import DiskCapture
from tests.model import group, wire
from tests.model.cloud import (
    NO_PLACE,
    SWEEP,
    Cloud,
    RunCommand,
    applied,
    given_back,
    is_done,
    is_swept,
    is_watched,
    key_of,
    settled,
    short_name,
    with_answered,
    with_command,
    with_message,
    without,
    without_command,
    without_message,
)
from tests.model.group import BROKE, OPENED, Others
from tests.model.invocation import LUCKS, RECORDS, App, CaptureBegun, Ended, Luck, Record
from tests.model.snapshots import (
    CREATING,
    FAILED,
    OLDEST_MS,
    SUCCEEDED,
    Job,
    Message,
    Snapshot,
    find,
    put,
    seen,
    with_snapshot,
)
from tests.model.times import NOW, shift_effect, shift_saga


class Move(NamedTuple):
    """A cloud that may follow: what happened, and what of the faults it takes (empty: none)."""

    label: str
    fault: str
    cloud: Cloud
    urgent: bool = False


#: Runs an invocation, broken off at a point (-1: to its end), with a piece of bad luck (empty: none).
Run = Callable[[int, Luck], Ended]


class Invocation(NamedTuple):
    """An invocation that may run: on what it finds, for which message, and whether it cannot be late."""

    label: str
    rest: Cloud
    message: Message
    run: Run
    urgent: bool


class CloudRules:
    """What may happen to a cloud. ``held`` is the generation of which everything is held in the guest."""

    def __init__(self, app: App, *, resident: bool, grouped: bool = False) -> None:
        self._app = app
        self._grouped = grouped
        self._resident = resident
        self._ended: dict[tuple[Hashable, int, Luck], Ended] = {}
        self._twice: dict[Hashable, str] = {}

    def calm(self, cloud: Cloud, held: int) -> list[Move]:
        """Give everything that may happen here without a fault."""
        found = [
            Move(label, "", applied(rest, run(-1, ""), message), urgent)
            for label, rest, message, run, urgent in self._invocations(cloud)
        ]
        for job in cloud.jobs:
            found += self._puts(cloud, job)
        for snapshot in cloud.snapshots:
            if snapshot.state == CREATING:
                taken = with_snapshot(cloud.snapshots, Snapshot(snapshot.name, SUCCEEDED, held, 0))
                found.append(Move(f"{short_name(snapshot)} is taken", "", cloud._replace(snapshots=taken)))
        opened = group.opens(cloud.others)
        if opened is not None:
            found.append(Move("the others are there too", "", _said(cloud, *opened)))
        return found

    def faults(self, cloud: Cloud) -> list[Move]:
        """Give every fault that may happen here."""
        found = [*self._losses(cloud), *self._group_fails(cloud)]
        for label, rest, message, run, _ in self._invocations(cloud):
            found += self._broken(label, rest, message, run)
        for job in cloud.jobs:
            found += self._lost_puts(cloud, job)
            died = with_message(cloud._replace(jobs=without(cloud.jobs, job)), given_back(job.cause))
            found.append(Move("the host that captures dies", "crash", died))
        for snapshot in cloud.snapshots:
            if snapshot.state == CREATING:
                failed = with_snapshot(cloud.snapshots, Snapshot(snapshot.name, FAILED))
                found.append(Move(f"{short_name(snapshot)} fails", "fail", cloud._replace(snapshots=failed)))
        if not cloud.asked and not is_done(cloud):
            for what in ("cancel", "poison"):
                asked = with_message(cloud._replace(asked=True), Message(what))
                found.append(Move(f"asked for: {what}", "fail", asked))
        return found

    # --- invocations --------------------------------------------------------------------------

    def _invocations(self, cloud: Cloud) -> "Iterator[Invocation]":
        """Give the invocations that may run now, each with the cloud that it finds."""
        for message in dict.fromkeys(cloud.messages):
            if message.what == "ack" or message.at <= 0:
                rest = without_message(cloud, message)
                run = self._once(cloud, message, self._taking(cloud.stored, message))
                yield Invocation(key_of(message), rest, message, run, urgent=False)
        record = cloud.stored
        if is_swept(cloud, record):
            run = self._once(cloud, "sweep", self._sweeping(record))
            yield Invocation("the sweep", cloud, SWEEP, run, urgent=False)
        if record is None:
            return
        for job in cloud.jobs:
            captures = seen(job, cloud.snapshots)
            if captures is not None:
                rest = cloud._replace(jobs=without(cloud.jobs, job))
                run = self._once(cloud, (job.begun, captures), self._going_on(record, job.begun, captures))
                good = "well" if all(capture.captured for capture in captures) else "in vain"
                yield Invocation(f"the capture ends {good}", rest, job.cause, run, urgent=job.over)

    def _once(self, cloud: Cloud, what: Hashable, run: Run) -> Run:
        """An invocation follows from the record and its message: work it out once."""

        def known(break_at: int, luck: Luck) -> Ended:
            key = ((cloud.record, what), break_at, luck)
            if key not in self._ended:
                self._ended[key] = run(break_at, luck)
            return self._ended[key]

        return known

    def _taking(self, record: Record | None, message: Message) -> Run:
        if message.what in ("start", "watch"):
            return lambda at, luck: self._app.step(
                record, message.number, again=message.again, break_at=at, luck=luck
            )
        if message.what == "ack":
            text = wire.ack_text(message.number, message.boot, resident=self._resident)
            queued_at = NOW + message.at
            return lambda at, luck: self._app.ack(
                record, text, queued_at, again=message.again, break_at=at, luck=luck
            )
        if message.what in (OPENED, BROKE):
            told = group.event_of(message)
            return lambda at, luck: self._app.told(record, told, again=message.again, break_at=at, luck=luck)
        return lambda at, luck: self._app.end(record, message.what, break_at=at, luck=luck)

    def _sweeping(self, record: Record | None) -> Run:
        return lambda at, luck: self._app.sweep(record, break_at=at, luck=luck)

    def _going_on(self, record: Record, begun: CaptureBegun, captures: tuple[DiskCapture, ...]) -> Run:
        return lambda at, luck: self._app.captured(record, begun, captures, break_at=at, luck=luck)

    def _broken(self, label: str, rest: Cloud, message: Message, run: Run) -> Iterator[Move]:
        """Run an invocation with each piece of bad luck; and broken off at each point."""
        whole = run(-1, "")
        for luck in LUCKS:
            if luck in whole.met:
                yield Move(f"{label}: {luck}", "fail", applied(rest, run(-1, luck), message))
        left = with_message(rest, given_back(message))
        first = 0 if message.what == "start" else 1
        for point in range(first, whole.points + (whole.capture is None)):
            broken = run(point, "") if point < whole.points else whole
            done = ", ".join(deed.what for deed in broken.deeds) or "nothing"
            after = applied(left, replace(broken, capture=None), message)
            yield Move(f"{label}: the host dies after {done}", "crash", after)

    def repeated(self, cloud: Cloud) -> str:
        """Say which message of those that may come now would do more if it came twice; empty: none.

        The host may die after everything was done and before the message is deleted: it then comes again.
        """
        for label, _, message, run, _ in self._invocations(cloud):
            if message == SWEEP or (message.what == "watch" and cloud.stored is None):
                continue  # a sweep is never the same; a watch in place of a start may well look at it too
            once = run(-1, "")
            if once.record == cloud.stored and not once.deeds:
                continue  # it did nothing; the next time it may finish what another one left
            key = (cloud.record, message, once.record and RECORDS.number(once.record))
            if key not in self._twice:
                again = self._taking(once.record, given_back(message))(-1, "")
                self._twice[key] = _difference(once, again)
            if self._twice[key]:
                return f"{label}, delivered again: {self._twice[key]}"
        return ""

    # --- captures -----------------------------------------------------------------------------

    def _puts(self, cloud: Cloud, job: Job) -> Iterator[Move]:
        """A PUT that had no answer is sent again."""
        if all(job.answered) or seen(job, cloud.snapshots) is not None:
            return
        index = job.answered.index(False)
        there = put(cloud.snapshots, job.begun.names[index])
        after = with_answered(cloud, job, index, answered=True)
        yield Move(f"disk {index}: PUT again", "", after._replace(snapshots=there))

    def _lost_puts(self, cloud: Cloud, job: Job) -> Iterator[Move]:
        for index, name in enumerate(job.begun.names):
            snapshot = find(cloud.snapshots, name)
            if job.answered[index] and snapshot is not None and snapshot.state == CREATING:
                after = with_answered(cloud, job, index, answered=False)
                yield Move(f"disk {index}: the answer to its PUT was lost", "loss", after)
                if len(cloud.jobs) == 1:
                    others = tuple(one for one in cloud.snapshots if one.name != name)
                    yield Move(f"disk {index}: its PUT was lost", "loss", after._replace(snapshots=others))

    # --- losses and duplicates ----------------------------------------------------------------

    def _group_fails(self, cloud: Cloud) -> Iterator[Move]:
        if not self._grouped or is_done(cloud):
            return
        for others, message in group.breaks(cloud.others):
            yield Move(f"another member fails: {key_of(message)}", "fail", _said(cloud, others, message))
        silent = group.falls_silent(cloud.others)
        if silent is not None:
            yield Move("the others fall silent", "loss", cloud._replace(others=silent))

    def _losses(self, cloud: Cloud) -> Iterator[Move]:
        for message in dict.fromkeys(cloud.messages):
            if message.what in ("ack", "start", OPENED, BROKE) or (
                message.what == "watch" and message.at <= 0
            ):
                yield Move(f"lost: {key_of(message)}", "loss", without_message(cloud, message))
            if message.what != "watch" or message.at <= 0:
                twice = with_message(cloud, message)
                if twice != cloud:
                    yield Move(f"doubled: {key_of(message)}", "dup", twice)
        for command in dict.fromkeys(cloud.commands):
            told = wire.kind(command[0])
            yield Move(f"lost: {told}", "loss", without_command(cloud, command))
            twice = with_command(cloud, command)
            if twice != cloud:
                yield Move(f"doubled: {told}", "dup", twice)

    # --- time ---------------------------------------------------------------------------------

    def due(self, cloud: Cloud) -> list[int]:
        """Give in how many ms something is due by itself."""
        found = [message.at for message in cloud.messages if message.what == "watch"]
        found += [job.begun.deadline for job in cloud.jobs]
        record = cloud.stored
        if record is not None and record.state.deadline is not None and not is_watched(cloud, record):
            found.append(record.state.deadline - NOW + OVERDUE_MS + 1)
        return [at for at in found if at > 0]

    def shift(self, cloud: Cloud, by: int) -> Cloud:
        """Let time pass."""
        record = cloud.record
        if cloud.stored is not None:
            record = RECORDS.number(_shifted(cloud.stored, by))
        return settled(
            cloud._replace(
                record=record,
                messages=tuple(sorted(_older(message, by) for message in cloud.messages)),
                commands=tuple((number, at - by) for number, at in cloud.commands),
                jobs=tuple(_older_job(job, by) for job in cloud.jobs),
                snapshots=tuple(one._replace(at=max(one.at - by, -OLDEST_MS)) for one in cloud.snapshots),
                place=_older_place(cloud.place, by),
                run_commands=tuple(
                    (name, c, 0 if ran else at - by, ran) for name, c, at, ran in cloud.run_commands
                ),
            )
        )


def _said(cloud: Cloud, others: Others, message: Message) -> Cloud:
    return settled(with_message(cloud._replace(others=others), message))


def _difference(once: Ended, again: Ended) -> str:
    """Say what an invocation that was repeated did beyond what it had done before."""
    if once.record is not None and again.record != once.record:
        return f"the saga is changed once more: {_changed(once.record, again.record)}"
    new = [deed.what for deed in again.deeds if deed.what != "unwatch" and deed not in once.deeds]
    if again.capture is not None and once.capture is None and once.record == again.record:
        new.append("capture")
    return f"it does more: {', '.join(new)}" if new else ""


def _changed(one: Record, other: Record | None) -> str:
    if other is None:
        return "it is gone"
    names = [f.name for f in fields(one.state) if getattr(one.state, f.name) != getattr(other.state, f.name)]
    return ", ".join(names) or "its outbox"


def _older(message: Message, by: int) -> Message:
    if message.what == "watch":
        return message._replace(at=max(message.at - by, 0))
    quiesced = message.what == "ack" and wire.ack_key(message.number).startswith("quiesced:")
    return message._replace(at=message.at - by) if quiesced else message


def _older_place(place: tuple[int, int], by: int) -> tuple[int, int]:
    """A lease that nobody gave up ends by itself."""
    generation, ends_in = place
    return (generation, ends_in - by) if ends_in > by else NO_PLACE


def _older_command(one: RunCommand, by: int) -> RunCommand:
    name, number, expires_in, ran = one
    return one if ran else (name, number, expires_in - by, ran)


def _shifted(record: Record, by: int) -> Record:
    outbox = tuple(shift_effect(effect, by) for effect in record.outbox)
    return Record(shift_saga(record.state, by), record.cause, outbox)


def _older_job(job: Job, by: int) -> Job:
    begun = job.begun
    older = begun._replace(
        base=RECORDS.number(_shifted(RECORDS.value(begun.base), by)),
        not_before=begun.not_before - by,
        deadline=begun.deadline - by,
    )
    return job._replace(begun=older, cause=_older(job.cause, by))
