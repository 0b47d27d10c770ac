"""How consistent a recovery point is, and why: the grade follows from the evidence and from nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from shared.saga.chain import missing_links
from shared.saga.evidence import Evidence, Held, QuiesceReport, ResumeReport

#: Reason codes of the agent for filesystems that hold nothing that the VM's disks could miss.
HARMLESS = frozenset({"read_only", "network", "boot_partition"})

#: Reason code of the agent for a filesystem that could have been frozen, but is not in the anchor.
NOT_ANCHORED = "not_anchored"

#: Kinds of held things that are applications; the others are what applications write to.
APPLICATIONS = frozenset({"script", "handler", "vss"})

#: The mode of a hold whose instant lies in a snapshot inside the guest.
ANCHOR = "anchor"

#: The mode of processes that stand still in the middle of whatever they did: held like the filesystem under
#: them, not quiesced. Seen: a copy of SQLite, halted between its two files, with half a transaction.
HALTED = "halted"

#: Handlers and modes that were shown to hold every write by themselves, by restoring what was snapshotted
#: disk after disk, 300 ms apart, under write load, 20 tries each; and where the figures are. Any other
#: handler or mode proves nothing unless the filesystems are held too.
SHOWN: Mapping[tuple[str, str], str] = {
    ("postgresql", "drained"): "docs/proof.md",
    ("mariadb", "drained"): "docs/proof.md",
    ("services", "stopped"): "docs/proof.md",
}


class Grade(StrEnum):
    """Consistency of a recovery point, best first."""

    APPLICATION = "application"
    """The applications held still, and what they write to was held across the snapshots of all disks."""

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


@dataclass(frozen=True, slots=True)
class _Basis:
    """What holds the writes of the whole VM at one instant: the sentences say what, or why nothing does.

    ``filesystems``: all of them are held. ``alone``: the applications hold every write by themselves.
    """

    filesystems: bool
    alone: bool
    reasons: tuple[str, ...]


def grade(evidence: Evidence) -> Verdict:
    """Grade a generation by its chain of evidence.

    Every link must be there and in causal order: quiesced ack of this generation, a snapshot of every disk
    that succeeded before resume was ordered, and a resumed ack in which the guest says that nothing had been
    let go before the order. A missing link means ``crash``. Clocks only ever lower a grade: what came before
    what is known from who caused what.
    """
    broken = tuple(missing_links(evidence))
    quiesced, resumed = evidence.quiesced, evidence.resumed
    if broken or quiesced is None or resumed is None:
        return Verdict(Grade.CRASH, broken, unbroken=False)
    basis = _anchored(quiesced) if quiesced.anchored else _held_still(quiesced, resumed)
    if not basis.filesystems and not basis.alone:
        return Verdict(Grade.CRASH, basis.reasons)
    fallback = Grade.FILESYSTEM if basis.filesystems else Grade.CRASH
    lacking = short_of_application(quiesced)
    if lacking:
        return Verdict(fallback, (*lacking, *basis.reasons))
    return Verdict(Grade.APPLICATION, basis.reasons)


def short_of_application(quiesced: QuiesceReport) -> tuple[str, ...]:
    """Say why what the guest holds cannot be application-consistent, whatever follows; nothing if it can."""
    missed = tuple(_not_held(quiesced, APPLICATIONS))
    if any(item.kind in APPLICATIONS for item in quiesced.held):
        return (*missed, *_halted(quiesced))
    return missed or ("no application was asked to hold still",)


def _held_still(quiesced: QuiesceReport, resumed: ResumeReport) -> _Basis:
    """Say what held across the snapshots of all disks."""
    window = f"the guest held everything for {resumed.window_ms} ms, until it was ordered to resume"
    left_writing = tuple(_left_writing(quiesced, HARMLESS))
    frozen = any(item.kind == "filesystem" and item.mode != ANCHOR for item in quiesced.held)
    if frozen and not left_writing:
        return _Basis(filesystems=True, alone=False, reasons=(window,))
    applications = [item for item in quiesced.held if item.kind in APPLICATIONS]
    unproved = tuple(_unproved(applications))
    if applications and not unproved:
        return _Basis(filesystems=False, alone=True, reasons=(*_shown(applications), window))
    return _Basis(
        filesystems=False, alone=False, reasons=left_writing or ("no filesystem was held", *unproved)
    )


def _anchored(quiesced: QuiesceReport) -> _Basis:
    """Say what the snapshot inside the guest, which outlived all snapshots of disks, stands for."""
    left_writing = tuple(_left_writing(quiesced, HARMLESS | {NOT_ANCHORED}))
    outside = tuple(
        f"the filesystem {item.name} is not in the snapshot inside the guest"
        for item in quiesced.not_held
        if item.kind == "filesystem" and item.reason == NOT_ANCHORED
    )
    applications = any(item.kind in APPLICATIONS for item in quiesced.held)
    if left_writing or (outside and not applications):
        return _Basis(filesystems=False, alone=False, reasons=(*left_writing, *outside))
    names = ", ".join(item.name for item in quiesced.held if item.mode == ANCHOR)
    instant = (
        f"the instant lies in a snapshot inside the guest ({names}), whole until every disk was captured"
    )
    # Which filesystems hold the applications' data is what the operator chose the anchor for.
    return _Basis(filesystems=not outside, alone=bool(outside), reasons=(*outside, instant))


def _left_writing(quiesced: QuiesceReport, excused: frozenset[str]) -> Iterable[str]:
    for item in quiesced.not_held:
        if item.kind == "filesystem" and item.reason not in excused:
            yield f"the filesystem {item.name} was not held ({item.reason})"


def _not_held(quiesced: QuiesceReport, kinds: frozenset[str]) -> Iterable[str]:
    for item in quiesced.not_held:
        if item.kind in kinds:
            yield f"the {item.kind} {item.name} was not held ({item.reason})"


def _halted(quiesced: QuiesceReport) -> Iterable[str]:
    for item in quiesced.held:
        if item.mode == HALTED:
            yield f"the {item.kind} {item.name} was halted where it stood, not brought to rest"


def _unproved(applications: Iterable[Held]) -> Iterable[str]:
    """Say of each application that was not shown to hold every write by itself that it was not."""
    for item in applications:
        if item.kind == "handler" and _mode(item) not in SHOWN:
            how = f" ({item.mode})" if item.mode else ""
            yield f"the handler {item.name}{how} was not shown to hold every write without held filesystems"
        elif item.kind != "handler":
            yield f"what a {item.kind} alone holds cannot be proved ({item.name})"


def _shown(applications: Iterable[Held]) -> Iterable[str]:
    for item in applications:
        yield f"the handler {item.name} ({item.mode}) holds every write by itself ({SHOWN[_mode(item)]})"


def _mode(item: Held) -> tuple[str, str]:
    return item.name.partition(":")[0], item.mode
