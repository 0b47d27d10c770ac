"""The app's half of the model: the stored saga, messages under way, snapshots, run commands, captures.

A ``Cloud`` is one value. What may happen to it without the guest is here; what an invocation does comes from
``invocation.py``, that is from the app itself.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, replace
from typing import NamedTuple

from shared.engine.running import OVERDUE_MS
from shared.saga.effects import Effect, Watch
from shared.saga.evidence import DiskCapture
from shared.saga.state import Phase
from tests.model import wire
from tests.model.invocation import LUCKS, RECORDS, App, CaptureBegun, Deed, Ended, Luck, Record
from tests.model.snapshots import (
    CREATING,
    DOOMED,
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

#: Messages whose key never comes again once they are gone: what they caused is done then.
_ONCE = ("start", "watch", "sweep", "cancel", "poison", "facts")


#: A run command: its name, its command, when that expires (ms from now), whether it has run.
RunCommand = tuple[str, int, int, bool]


class Cloud(NamedTuple):
    """``record`` is the number of the stored saga, -1 for none. ``asked``: somebody wanted it to end early.

    ``commands`` are those in the guest's queue, each with its expiry (ms from now).
    """

    record: int = -1
    messages: tuple[Message, ...] = ()
    commands: tuple[tuple[int, int], ...] = ()
    jobs: tuple[Job, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    run_commands: tuple[RunCommand, ...] = ()
    recorded: bool = False
    asked: bool = False

    @property
    def stored(self) -> Record | None:
        """The saga as it is stored."""
        return None if self.record < 0 else RECORDS.value(self.record)


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


#: Stands for the message of an invocation that the timer caused.
SWEEP = Message("sweep")

FIRST = Cloud(messages=(Message("start"),))


class CloudRules:
    """What may happen to a cloud. ``held`` is the generation of which everything is held in the guest."""

    def __init__(self, app: App, *, resident: bool) -> None:
        self._app = app
        self._resident = resident
        self._ended: dict[tuple[Hashable, int, Luck], Ended] = {}
        self._twice: dict[Hashable, str] = {}

    def calm(self, cloud: Cloud, held: int) -> list[Move]:
        """Give everything that may happen here without a fault."""
        found = [
            Move(label, "", _applied(rest, run(-1, ""), message), urgent)
            for label, rest, message, run, urgent in self._invocations(cloud)
        ]
        for job in cloud.jobs:
            found += self._puts(cloud, job)
        for snapshot in cloud.snapshots:
            if snapshot.state == CREATING:
                taken = with_snapshot(cloud.snapshots, Snapshot(snapshot.name, SUCCEEDED, held, 0))
                found.append(Move(f"{_short(snapshot)} is taken", "", cloud._replace(snapshots=taken)))
        return found

    def faults(self, cloud: Cloud) -> list[Move]:
        """Give every fault that may happen here."""
        found = [*self._losses(cloud)]
        for label, rest, message, run, _ in self._invocations(cloud):
            found += self._broken(label, rest, message, run)
        for job in cloud.jobs:
            found += self._lost_puts(cloud, job)
            died = _with_message(cloud._replace(jobs=_without(cloud.jobs, job)), _again(job.cause))
            found.append(Move("the host that captures dies", "crash", died))
        for snapshot in cloud.snapshots:
            if snapshot.state == CREATING:
                failed = with_snapshot(cloud.snapshots, Snapshot(snapshot.name, FAILED))
                found.append(Move(f"{_short(snapshot)} fails", "fail", cloud._replace(snapshots=failed)))
        if not cloud.asked and not _is_done(cloud):
            for what in ("cancel", "poison"):
                asked = _with_message(cloud._replace(asked=True), Message(what))
                found.append(Move(f"asked for: {what}", "fail", asked))
        return found

    # --- invocations --------------------------------------------------------------------------

    def _invocations(self, cloud: Cloud) -> "Iterator[Invocation]":
        """Give the invocations that may run now, each with the cloud that it finds."""
        for message in dict.fromkeys(cloud.messages):
            if message.what == "ack" or message.at <= 0:
                rest = _without_message(cloud, message)
                run = self._once(cloud, message, self._taking(cloud.stored, message))
                yield Invocation(_key(message), rest, message, run, urgent=False)
        record = cloud.stored
        if _is_swept(cloud, record):
            run = self._once(cloud, "sweep", self._sweeping(record))
            yield Invocation("the sweep", cloud, SWEEP, run, urgent=False)
        if record is None:
            return
        for job in cloud.jobs:
            captures = seen(job, cloud.snapshots)
            if captures is not None:
                rest = cloud._replace(jobs=_without(cloud.jobs, job))
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
                yield Move(f"{label}: {luck}", "fail", _applied(rest, run(-1, luck), message))
        left = _with_message(rest, _again(message))
        first = 0 if message.what == "start" else 1
        for point in range(first, whole.points + (whole.capture is None)):
            broken = run(point, "") if point < whole.points else whole
            done = ", ".join(deed.what for deed in broken.deeds) or "nothing"
            after = _applied(left, replace(broken, capture=None), message)
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
                again = self._taking(once.record, _again(message))(-1, "")
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
        after = _with_answered(cloud, job, index, answered=True)
        yield Move(f"disk {index}: PUT again", "", after._replace(snapshots=there))

    def _lost_puts(self, cloud: Cloud, job: Job) -> Iterator[Move]:
        for index, name in enumerate(job.begun.names):
            snapshot = find(cloud.snapshots, name)
            if job.answered[index] and snapshot is not None and snapshot.state == CREATING:
                after = _with_answered(cloud, job, index, answered=False)
                yield Move(f"disk {index}: the answer to its PUT was lost", "loss", after)
                if len(cloud.jobs) == 1:
                    others = tuple(one for one in cloud.snapshots if one.name != name)
                    yield Move(f"disk {index}: its PUT was lost", "loss", after._replace(snapshots=others))

    # --- losses and duplicates ----------------------------------------------------------------

    def _losses(self, cloud: Cloud) -> Iterator[Move]:
        for message in dict.fromkeys(cloud.messages):
            if message.what in ("ack", "start") or (message.what == "watch" and message.at <= 0):
                yield Move(f"lost: {_key(message)}", "loss", _without_message(cloud, message))
            if message.what != "watch" or message.at <= 0:
                twice = _with_message(cloud, message)
                if twice != cloud:
                    yield Move(f"doubled: {_key(message)}", "dup", twice)
        for command in dict.fromkeys(cloud.commands):
            told = wire.kind(command[0])
            yield Move(f"lost: {told}", "loss", without_command(cloud, command))
            twice = _with_command(cloud, command)
            if twice != cloud:
                yield Move(f"doubled: {told}", "dup", twice)

    # --- time ---------------------------------------------------------------------------------

    def due(self, cloud: Cloud) -> list[int]:
        """Give in how many ms something is due by itself."""
        found = [message.at for message in cloud.messages if message.what == "watch"]
        found += [job.begun.deadline for job in cloud.jobs]
        record = cloud.stored
        if record is not None and record.state.deadline is not None and not _is_watched(cloud, record):
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
                run_commands=tuple(
                    (name, c, 0 if ran else at - by, ran) for name, c, at, ran in cloud.run_commands
                ),
            )
        )


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


def with_acks(cloud: Cloud, acks: tuple[int, ...], boot: int) -> Cloud:
    """Put acks into the queue."""
    for ack in acks:
        cloud = _with_message(cloud, Message("ack", ack, 0, boot))
    return settled(cloud)


def without_command(cloud: Cloud, command: tuple[int, int]) -> Cloud:
    """Take a command out of the guest's queue."""
    return cloud._replace(commands=_without(cloud.commands, command))


def has_run(cloud: Cloud, name: str) -> Cloud:
    """Note that a run command has run: it never does so again."""
    done = tuple((n, 0, 0, True) if n == name else (n, c, at, ran) for n, c, at, ran in cloud.run_commands)
    return cloud._replace(run_commands=done)


def settled(cloud: Cloud) -> Cloud:
    """Leave out what can have no effect any more, so that worlds that differ in nothing else are one."""
    record = cloud.stored
    if record is None:
        return cloud
    messages = tuple(message for message in cloud.messages if _matters(message, record))
    if record.outbox and not _may_come_again(record.cause, (*messages, *(job.cause for job in cloud.jobs))):
        record = record._replace(cause="", outbox=())
    commands = tuple(command for command in cloud.commands if command[1] >= 0)
    capturing = {name for job in cloud.jobs for name in job.begun.names}
    snapshots = tuple(
        Snapshot(one.name, DOOMED) if one.name in record.state.discard and one.name not in capturing else one
        for one in cloud.snapshots
    )
    return _renumbered(cloud._replace(messages=messages, commands=commands, snapshots=snapshots), record)


def _renumbered(cloud: Cloud, record: Record) -> Cloud:
    """Number the watches anew: what counts is only which of them is the newest. The first has a receipt."""
    numbers = {record.state.watch_number, *(m.number for m in cloud.messages if m.what == "watch")}
    numbers |= {job.cause.number for job in cloud.jobs if job.cause.what == "watch"}
    kind, _, cause_number = record.cause.partition(":")
    if kind == "watch":
        numbers.add(int(cause_number))
    new = dict(zip(sorted(numbers - {0, 1}), itertools.count(2), strict=False)) | {0: 0, 1: 1}
    if all(number == old for old, number in new.items()):
        same = record is cloud.stored
        return cloud if same else cloud._replace(record=RECORDS.number(record))
    state = replace(record.state, watch_number=new[record.state.watch_number])
    outbox = tuple(_watch_with_number(effect, new) for effect in record.outbox)
    cause = f"watch:{new[int(cause_number)]}" if kind == "watch" else record.cause
    jobs = tuple(
        job._replace(begun=job.begun._replace(cause=_key(cause)), cause=cause)
        for job, cause in ((job, _with_number(job.cause, new)) for job in cloud.jobs)
    )
    return cloud._replace(
        record=RECORDS.number(Record(state, cause, outbox)),
        messages=tuple(_with_number(message, new) for message in cloud.messages),
        jobs=tuple(sorted(jobs)),
    )


def _watch_with_number(effect: Effect, new: dict[int, int]) -> Effect:
    return replace(effect, number=new.get(effect.number, 0)) if isinstance(effect, Watch) else effect


def _with_number(message: Message, new: dict[int, int]) -> Message:
    return message._replace(number=new[message.number]) if message.what == "watch" else message


def _matters(message: Message, record: Record) -> bool:
    """Whether the app may do anything but turn this message away."""
    state = record.state
    if _key(message) == record.cause:
        return True
    if state.phase is Phase.DONE:
        return False
    if message.what == "watch":
        return message.number == state.watch_number
    return True


def _may_come_again(cause: str, messages: tuple[Message, ...]) -> bool:
    if cause.partition(":")[0] not in _ONCE:
        return True
    return any(_key(message) == cause for message in messages)


def _key(message: Message) -> str:
    if message.what == "ack":
        return wire.ack_key(message.number)
    return f"watch:{message.number}" if message.what == "watch" else message.what


def _again(message: Message) -> Message:
    """Give a message back to its queue: of a start and an ack it matters that it was delivered before."""
    return message._replace(again=message.what in ("start", "ack"))


def _is_done(cloud: Cloud) -> bool:
    record = cloud.stored
    return record is not None and record.state.phase is Phase.DONE


def _is_swept(cloud: Cloud, record: Record | None) -> bool:
    """Whether the sweep has something to do: it is looked at where the saga's own messages do not do it."""
    if record is None:
        return all(message.what not in ("start", "watch") for message in cloud.messages)
    if record.state.phase is Phase.DONE:
        return not cloud.recorded
    deadline = record.state.deadline
    return deadline is not None and deadline - NOW < -OVERDUE_MS and not _is_watched(cloud, record)


def _is_watched(cloud: Cloud, record: Record) -> bool:
    newest = record.state.watch_number
    return any(message.what == "watch" and message.number == newest for message in cloud.messages)


def _short(snapshot: Snapshot) -> str:
    return snapshot.name.rpartition("-g")[2].join(("the snapshot g", ""))


def _applied(cloud: Cloud, ended: Ended, cause: Message) -> Cloud:
    """Give the cloud after an invocation. ``cause`` is the message that a capture goes on with."""
    if ended.record is not None:
        number = RECORDS.number(ended.record)
        if number != cloud.record:
            stale = tuple(job._replace(begun=job.begun._replace(fresh=False)) for job in cloud.jobs)
            cloud = cloud._replace(record=number, jobs=stale)
    for deed in ended.deeds:
        cloud = _after(cloud, deed)
    if ended.capture is not None:
        begun = ended.capture._replace(cause=_key(cause))
        cloud = _capturing(cloud, Job(begun, cause, tuple(begun.deadline > 0 for _ in begun.names)))
    return settled(cloud)


def _capturing(cloud: Cloud, job: Job) -> Cloud:
    """Begin to capture: all PUTs go out at once, unless the deadline is over by then."""
    snapshots = cloud.snapshots
    if not job.over:
        for name in job.begun.names:
            snapshots = put(snapshots, name)
    return cloud._replace(jobs=tuple(sorted((*cloud.jobs, job))), snapshots=snapshots)


def _with_answered(cloud: Cloud, job: Job, index: int, *, answered: bool) -> Cloud:
    all_of_them = (*job.answered[:index], answered, *job.answered[index + 1 :])
    others = _without(cloud.jobs, job)
    return cloud._replace(jobs=tuple(sorted((*others, job._replace(answered=all_of_them)))))


def _after(cloud: Cloud, deed: Deed) -> Cloud:
    match deed.what:
        case "watch":
            return _with_message(cloud, Message("watch", deed.number, deed.at))
        case "unwatch":
            first = tuple(m for m in cloud.messages if m.what != "watch" or m.number != 1)
            return cloud._replace(messages=first)
        case "command":
            return _with_command(cloud, (deed.number, deed.at))
        case "run command":
            return _with_run_command(cloud, (deed.name, deed.number, deed.at, False))
        case "remove run command":
            others = tuple(one for one in cloud.run_commands if one[0] != deed.name)
            return cloud._replace(run_commands=others)
        case "delete":
            kept = tuple(one for one in cloud.snapshots if one.name != deed.name)
            return cloud._replace(snapshots=kept)
        case _:
            return cloud._replace(recorded=cloud.recorded or deed.what == "end")


def _with_run_command(cloud: Cloud, new: RunCommand) -> Cloud:
    """Put a run command; one of its name is left as it is, and does not run again."""
    if any(name == new[0] for name, _, _, _ in cloud.run_commands):
        return cloud
    return cloud._replace(run_commands=tuple(sorted((*cloud.run_commands, new))))


def _with_message(cloud: Cloud, message: Message) -> Cloud:
    """Put a message in; of the same one two are enough to see what a repetition does. The sweep is none."""
    if message == SWEEP or cloud.messages.count(message) >= 2:
        return cloud
    return cloud._replace(messages=tuple(sorted((*cloud.messages, message))))


def _without_message(cloud: Cloud, message: Message) -> Cloud:
    return cloud._replace(messages=_without(cloud.messages, message))


def _with_command(cloud: Cloud, command: tuple[int, int]) -> Cloud:
    if cloud.commands.count(command) >= 2:
        return cloud
    return cloud._replace(commands=tuple(sorted((*cloud.commands, command))))


def _without[T](things: tuple[T, ...], one: T) -> tuple[T, ...]:
    index = things.index(one)
    return (*things[:index], *things[index + 1 :])


def _older(message: Message, by: int) -> Message:
    if message.what == "watch":
        return message._replace(at=max(message.at - by, 0))
    quiesced = message.what == "ack" and wire.ack_key(message.number).startswith("quiesced:")
    return message._replace(at=message.at - by) if quiesced else message


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
