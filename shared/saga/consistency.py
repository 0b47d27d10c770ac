"""How consistent a recovery point is, and why: the grade follows from the evidence and from nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from shared.saga.evidence import Evidence, QuiesceReport, ResumeReport

#: Reason codes of the agent for filesystems that hold nothing that the VM's disks could miss.
HARMLESS = frozenset({"read_only", "network", "boot_partition"})

#: Kinds of held things that are applications; the others are what applications write to.
APPLICATIONS = frozenset({"script", "handler", "vss"})


class Grade(StrEnum):
    """Consistency of a recovery point, best first."""

    APPLICATION = "application"
    """The applications held still and everything was held across the snapshots of all disks."""

    FILESYSTEM = "filesystem"
    """All filesystems were held across the snapshots of all disks."""

    CRASH = "crash"
    """Anything less: like a power failure, and with several disks not even at one instant."""

    def at_least(self, other: "Grade") -> bool:
        """Whether this grade is as good as ``other`` or better."""
        return _worth(self) >= _worth(other)


def _worth(grade: Grade) -> int:
    match grade:
        case Grade.APPLICATION:
            return 2
        case Grade.FILESYSTEM:
            return 1
        case Grade.CRASH:
            return 0
        case _:
            assert_never(grade)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A grade and the sentences that say why it is not higher, or what it rests on.

    ``unbroken`` says that no link of the chain is missing: what was held was held across all snapshots, and
    a grade that is low all the same would be so in another generation too.
    """

    grade: Grade
    reasons: tuple[str, ...]
    unbroken: bool = True


def grade(evidence: Evidence) -> Verdict:
    """Grade a generation by its chain of evidence.

    Every link must be there and in causal order: quiesced ack of this generation, a snapshot of every disk
    that succeeded before resume was ordered, and a resumed ack in which the guest says that nothing had been
    let go before the order. A missing link means ``crash``. Clocks are not compared here: what came before
    what is known from who caused what.
    """
    broken = tuple(_missing_links(evidence))
    quiesced, resumed = evidence.quiesced, evidence.resumed
    if broken or quiesced is None or resumed is None:
        return Verdict(Grade.CRASH, broken, unbroken=False)
    left_writing = tuple(
        f"the filesystem {item.name} was not held ({item.reason})"
        for item in quiesced.not_held
        if item.kind == "filesystem" and item.reason not in HARMLESS
    )
    kinds = {item.kind for item in quiesced.held}
    if "filesystem" not in kinds or left_writing:
        why = left_writing or ("no filesystem was held: what a script alone holds cannot be proved",)
        return Verdict(Grade.CRASH, why)
    window = f"the guest held everything for {resumed.window_ms} ms, until it was ordered to resume"
    if not kinds & APPLICATIONS:
        return Verdict(Grade.FILESYSTEM, ("no application was asked to hold still", window))
    unheld = tuple(
        f"the {item.kind} {item.name} was not held ({item.reason})"
        for item in quiesced.not_held
        if item.kind in APPLICATIONS
    )
    if unheld:
        return Verdict(Grade.FILESYSTEM, (*unheld, window))
    return Verdict(Grade.APPLICATION, (window,))


def _missing_links(evidence: Evidence) -> Iterator[str]:
    """Say every link of the chain that is missing, in causal order."""
    if evidence.quiesced is None:
        yield "nothing in the guest was asked to hold still, or it never said that it did"
        return
    if not evidence.quiesced.held:
        yield "the guest held nothing"
    if not evidence.quiesced.dead_man_armed:
        yield "the guest's dead-man was not armed"
    yield from _snapshot_links(evidence)
    if evidence.resume_ordered_at is None:
        yield "the guest let go before it was ordered to"
    if evidence.resumed is None:
        yield "the guest never said whether everything was held until the order to resume"
        return
    yield from _hold_links(evidence.quiesced, evidence.resumed)


def _snapshot_links(evidence: Evidence) -> Iterator[str]:
    by_disk = {capture.disk_id: capture for capture in evidence.captures}
    if not evidence.disks:
        yield "no disk was snapshotted"
    for disk in evidence.disks:
        capture = by_disk.get(disk)
        name = disk.rpartition("/")[2]
        if capture is None or not capture.captured:
            yield f"the snapshot of disk {name} was not seen to succeed"
    if evidence.resume_ordered_at is not None and evidence.captured_at is None:
        yield "the order to resume was given before all snapshots were seen to succeed"


def _hold_links(quiesced: QuiesceReport, resumed: ResumeReport) -> Iterator[str]:
    if not quiesced.boot_id:
        yield "the guest did not say which boot of it held"
    elif resumed.boot_id != quiesced.boot_id:
        yield "the guest was restarted in between"
    if resumed.released_by != "order":
        yield f"the guest was released by {_RELEASER.get(resumed.released_by, resumed.released_by)}"
    elif not resumed.held_until_order:
        yield "the guest says that something had been let go before the order"
    told = {(item.kind, item.name) for item in resumed.held}
    for held in quiesced.held:
        if (held.kind, held.name) not in told:
            yield f"the guest did not say whether the {held.kind} {held.name} was held until the order"
    for item in resumed.held:
        if not item.held_until_order:
            detail = f" ({item.detail})" if item.detail else ""
            yield f"the {item.kind} {item.name} was not held until the order{detail}"


_RELEASER = {
    "dead-man": "its dead-man, because the freeze budget was spent or the agent was lost",
    "agent": "its agent, because the dead-man was lost",
    "restart": "a restarted agent",
}
