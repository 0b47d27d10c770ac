"""Azure's side of the model: snapshots by name, and the invocations that make them.

What a GET says of a snapshot is judged by the app's real ``Making``. A PUT on a name that exists takes
nothing new; a deletion takes away whatever is there. A request that arrived takes effect, now or later,
whether its answer came or not; one that did not arrive is sent again, so its loss is a delay.
"""

from typing import Any, NamedTuple, cast

from shared.compute.making import CLOCK_TOLERANCE_MS, Making, NotMade, Progress, Window
from shared.saga.evidence import DiskCapture
from tests.model.invocation import CaptureBegun
from tests.model.scenes import DISKS
from tests.model.times import NOW

CREATING, SUCCEEDED, FAILED = "Creating", "Succeeded", "Failed"

#: A snapshot that is to be deleted, and that nobody looks at any more.
DOOMED = "Doomed"

#: Older than this no snapshot is told from another (ms): the app's tolerance is shorter.
OLDEST_MS = CLOCK_TOLERANCE_MS + 1_000

#: An image of something that nobody held.
UNHELD = 0


class Snapshot(NamedTuple):
    """A snapshot, made ``at`` ms from now. ``held``: the generation of which everything was held then."""

    name: str
    state: str
    held: int = UNHELD
    at: int = 0


class Job(NamedTuple):
    """An invocation that captures: what it is to do, the message that caused it, which PUTs were answered."""

    begun: CaptureBegun
    cause: "Message"
    answered: tuple[bool, ...]

    @property
    def over(self) -> bool:
        """Whether its deadline has come."""
        return self.begun.deadline <= 0


class Message(NamedTuple):
    """A message to the app: ``what`` is start, watch, cancel, poison or ack. ``at``: when it is due or came.

    ``again`` says that an earlier delivery of it was broken off.
    """

    what: str
    number: int = 0
    at: int = 0
    boot: int = 0
    again: bool = False


def find(snapshots: tuple[Snapshot, ...], name: str) -> Snapshot | None:
    """Give the snapshot of a name."""
    return next((one for one in snapshots if one.name == name), None)


def with_snapshot(snapshots: tuple[Snapshot, ...], new: Snapshot) -> tuple[Snapshot, ...]:
    """Put a snapshot in, in the place of the one of its name."""
    return tuple(sorted((*(one for one in snapshots if one.name != new.name), new)))


def put(snapshots: tuple[Snapshot, ...], name: str) -> tuple[Snapshot, ...]:
    """Ask for a snapshot; a name that exists is left as it is."""
    return snapshots if find(snapshots, name) else with_snapshot(snapshots, Snapshot(name, CREATING))


def seen(job: Job, snapshots: tuple[Snapshot, ...]) -> tuple[DiskCapture, ...] | None:
    """Give what the capture came to, if it has nothing left to wait for; else None."""
    found = [_seen(job, index, snapshots) for index in range(len(DISKS))]
    if any(one is not None and one.error for one in found):
        return _given_up(job, found, "abandoned")
    if all(one is not None for one in found):
        return tuple(one for one in found if one is not None)
    return _given_up(job, found, "deadline") if job.over else None


def _given_up(job: Job, found: list[DiskCapture | None], why: str) -> tuple[DiskCapture, ...]:
    return tuple(one or _capture(job, index, why) for index, one in enumerate(found))


def _seen(job: Job, index: int, snapshots: tuple[Snapshot, ...]) -> DiskCapture | None:
    snapshot = find(snapshots, job.begun.names[index])
    if snapshot is None or not job.answered[index]:
        return None
    window = Window(held=job.begun.held, not_before=NOW + job.begun.not_before, deadline=0, clock=lambda: NOW)
    making: Making[Any] = Making(snapshot.name, cast("Any", None), window, poll_interval_s=0)
    try:
        created = making._judge(Progress(snapshot.state, NOW + snapshot.at))
    except NotMade as useless:
        return _capture(job, index, useless.error)
    return None if created is None else _capture(job, index, "")


def _capture(job: Job, index: int, error: str) -> DiskCapture:
    seen_at = None if error else NOW
    return DiskCapture(
        disk_id=DISKS[index].disk_id,
        lun=DISKS[index].lun,
        snapshot_id=job.begun.names[index],
        put_sent_at=NOW,
        time_created=seen_at,
        succeeded_seen_at=seen_at,
        error=error,
    )
