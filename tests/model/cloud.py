"""The app's half of a world, as one value: the stored saga, messages, snapshots, run commands, captures."""

import itertools
from dataclasses import replace
from typing import NamedTuple

from shared.engine.sweeping import OVERDUE_MS
from shared.saga.effects import Effect, Watch
from shared.saga.state import Phase
from tests.model import group, wire
from tests.model.group import BROKE, OPENED, Others
from tests.model.invocation import RECORDS, Deed, Ended, Record
from tests.model.snapshots import (
    DOOMED,
    SUCCEEDED,
    Job,
    Message,
    Snapshot,
    find,
    put,
    with_snapshot,
)
from tests.model.times import NOW

#: Messages whose key never comes again once they are gone: what they caused is done then.
_ONCE = ("start", "watch", "sweep", "cancel", "poison", "facts")


#: A run command: its name, its command, when that expires (ms from now), whether it has run.
RunCommand = tuple[str, int, int, bool]


NO_PLACE = (0, 0)


class Cloud(NamedTuple):
    """``record`` is the number of the stored saga, -1 for none. ``asked``: somebody wanted it to end early.

    ``commands`` are those in the guest's queue, each with its expiry (ms from now). ``place`` is the
    generation that is admitted, 0 for none, and when its lease ends (ms from now); ``admitted`` the last that
    ever was. ``others`` is what the rest of its group knows, where it has one.
    """

    record: int = -1
    messages: tuple[Message, ...] = ()
    commands: tuple[tuple[int, int], ...] = ()
    jobs: tuple[Job, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    run_commands: tuple[RunCommand, ...] = ()
    recorded: bool = False
    asked: bool = False
    place: tuple[int, int] = NO_PLACE
    admitted: int = 0
    others: Others = Others()

    @property
    def stored(self) -> Record | None:
        """The saga as it is stored."""
        return None if self.record < 0 else RECORDS.value(self.record)


#: Stands for the message of an invocation that the timer caused.
SWEEP = Message("sweep")

FIRST = Cloud(messages=(Message("start"),))


def with_acks(cloud: Cloud, acks: tuple[int, ...], boot: int) -> Cloud:
    """Put acks into the queue."""
    for ack in acks:
        cloud = with_message(cloud, Message("ack", ack, 0, boot))
    return settled(cloud)


def without_command(cloud: Cloud, command: tuple[int, int]) -> Cloud:
    """Take a command out of the guest's queue."""
    return cloud._replace(commands=without(cloud.commands, command))


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
        job._replace(begun=job.begun._replace(cause=key_of(cause)), cause=cause)
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
    if key_of(message) == record.cause:
        return True
    if state.phase is Phase.DONE:
        return False
    if message.what == "watch":
        return message.number == state.watch_number
    if message.what in (OPENED, BROKE):
        return group.may_matter(message, state)
    return True


def _may_come_again(cause: str, messages: tuple[Message, ...]) -> bool:
    if cause.partition(":")[0] not in _ONCE:
        return True
    return any(key_of(message) == cause for message in messages)


def key_of(message: Message) -> str:
    if message.what == "ack":
        return wire.ack_key(message.number)
    if message.what in (OPENED, BROKE):
        return group.event_of(message).key
    return f"watch:{message.number}" if message.what == "watch" else message.what


def given_back(message: Message) -> Message:
    """Give a message back to its queue: of a start and an ack it matters that it was delivered before."""
    return message._replace(again=message.what in ("start", "ack", OPENED, BROKE))


def is_done(cloud: Cloud) -> bool:
    record = cloud.stored
    return record is not None and record.state.phase is Phase.DONE


def is_swept(cloud: Cloud, record: Record | None) -> bool:
    """Whether the sweep has something to do: it is looked at where the saga's own messages do not do it."""
    if record is None:
        return all(message.what not in ("start", "watch") for message in cloud.messages)
    if record.state.phase is Phase.DONE:
        return not cloud.recorded
    deadline = record.state.deadline
    return deadline is not None and deadline - NOW < -OVERDUE_MS and not is_watched(cloud, record)


def is_watched(cloud: Cloud, record: Record) -> bool:
    newest = record.state.watch_number
    return any(message.what == "watch" and message.number == newest for message in cloud.messages)


def short_name(snapshot: Snapshot) -> str:
    return snapshot.name.rpartition("-g")[2].join(("the snapshot g", ""))


def applied(cloud: Cloud, ended: Ended, cause: Message) -> Cloud:
    """Give the cloud after an invocation. ``cause`` is the message that a capture goes on with."""
    if ended.record is not None:
        number = RECORDS.number(ended.record)
        if number != cloud.record:
            stale = tuple(job._replace(begun=job.begun._replace(fresh=False)) for job in cloud.jobs)
            cloud = cloud._replace(record=number, jobs=stale)
    for deed in ended.deeds:
        cloud = _after(cloud, deed)
    if ended.capture is not None:
        begun = ended.capture._replace(cause=key_of(cause))
        cloud = _capturing(cloud, Job(begun, cause, tuple(begun.deadline > 0 for _ in begun.names)))
    return settled(cloud)


def _capturing(cloud: Cloud, job: Job) -> Cloud:
    """Begin to capture: all PUTs go out at once, unless the deadline is over by then."""
    snapshots = cloud.snapshots
    if not job.over:
        for name in job.begun.names:
            snapshots = put(snapshots, name)
    return cloud._replace(jobs=tuple(sorted((*cloud.jobs, job))), snapshots=snapshots)


def with_answered(cloud: Cloud, job: Job, index: int, *, answered: bool) -> Cloud:
    all_of_them = (*job.answered[:index], answered, *job.answered[index + 1 :])
    others = without(cloud.jobs, job)
    return cloud._replace(jobs=tuple(sorted((*others, job._replace(answered=all_of_them)))))


def _after(cloud: Cloud, deed: Deed) -> Cloud:
    match deed.what:
        case "watch":
            return with_message(cloud, Message("watch", deed.number, deed.at))
        case "unwatch":
            first = tuple(m for m in cloud.messages if m.what != "watch" or m.number != 1)
            return cloud._replace(messages=first)
        case "command":
            return with_command(cloud, (deed.number, deed.at))
        case "run command":
            return _with_run_command(cloud, (deed.name, deed.number, deed.at, False))
        case "remove run command":
            others = tuple(one for one in cloud.run_commands if one[0] != deed.name)
            return cloud._replace(run_commands=others)
        case "admit" | "leave" | "join" | "leave group":
            return _placed(cloud, deed)
        case "copy" | "delete":
            return cloud._replace(snapshots=_copied_or_deleted(cloud.snapshots, deed))
        case _:
            return cloud._replace(recorded=cloud.recorded or deed.what == "end")


def _placed(cloud: Cloud, deed: Deed) -> Cloud:
    """Give the saga a place, or take it away; one of a newer generation stays. Or tell its group."""
    if deed.what in ("join", "leave group"):
        return _grouped(cloud, deed)
    if deed.what == "admit":
        admitted = max(cloud.admitted, deed.number)
        return cloud._replace(place=(deed.number, deed.at), admitted=admitted)
    return cloud._replace(place=NO_PLACE) if cloud.place[0] <= deed.number else cloud


def _grouped(cloud: Cloud, deed: Deed) -> Cloud:
    """Tell the group; an answer that lies in the queue already is not given again."""
    if deed.what == "leave group":
        return cloud._replace(others=group.leaves(cloud.others, deed.number, again=bool(deed.at)))
    others, answer = group.joins(cloud.others, deed.number)
    after = cloud._replace(others=others)
    return after if answer is None or answer in cloud.messages else with_message(after, answer)


def _copied_or_deleted(snapshots: tuple[Snapshot, ...], deed: Deed) -> tuple[Snapshot, ...]:
    if deed.what == "copy":
        return with_snapshot(snapshots, find(snapshots, deed.name) or Snapshot(deed.name, SUCCEEDED))
    return tuple(one for one in snapshots if one.name != deed.name)


def _with_run_command(cloud: Cloud, new: RunCommand) -> Cloud:
    """Put a run command; one of its name is left as it is, and does not run again."""
    if any(name == new[0] for name, _, _, _ in cloud.run_commands):
        return cloud
    return cloud._replace(run_commands=tuple(sorted((*cloud.run_commands, new))))


def with_message(cloud: Cloud, message: Message) -> Cloud:
    """Put a message in; of the same one two are enough to see what a repetition does. The sweep is none."""
    if message == SWEEP or cloud.messages.count(message) >= 2:
        return cloud
    return cloud._replace(messages=tuple(sorted((*cloud.messages, message))))


def without_message(cloud: Cloud, message: Message) -> Cloud:
    return cloud._replace(messages=without(cloud.messages, message))


def with_command(cloud: Cloud, command: tuple[int, int]) -> Cloud:
    if cloud.commands.count(command) >= 2:
        return cloud
    return cloud._replace(commands=tuple(sorted((*cloud.commands, command))))


def without[T](things: tuple[T, ...], one: T) -> tuple[T, ...]:
    index = things.index(one)
    return (*things[:index], *things[index + 1 :])
