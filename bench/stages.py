"""Where a freeze window goes, stage by stage. All processes are on one machine, so their clocks agree."""

from dataclasses import dataclass

from bench.guest_times import GuestTimes

#: Stage, and the marks between which it lies. Guest marks are the agent's phases.
STAGES = (
    ("arm the dead-man", "preparing", "pre-script"),
    ("pre-script", "pre-script", "freezing"),
    ("freeze", "freezing", "held"),
    ("ack: put, found, handed over", "held", "taken"),
    ("decide, save, send the PUTs", "taken", "first put"),
    ("all disks copied, 300 ms apart", "first put", "last copied"),
    ("success seen by polling", "last copied", "last seen"),
    ("decide, save, order found by the agent", "last seen", "releasing"),
    ("thaw", "releasing", "post-script"),
    ("post-script", "post-script", "released"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTimes:
    """What whoever ordered the freeze knows of it, ms since the epoch."""

    taken_at: int
    first_put_at: int
    last_copied_at: int
    last_seen_at: int


def stages(guest: GuestTimes, app: AppTimes) -> dict[str, int]:
    """Give the length of each stage in ms; a stage whose marks are not there is left out."""
    marks = {
        **guest.entered,
        "taken": app.taken_at,
        "first put": app.first_put_at,
        "last copied": app.last_copied_at,
        "last seen": app.last_seen_at,
    }
    return {name: marks[end] - marks[start] for name, start, end in STAGES if start in marks and end in marks}
