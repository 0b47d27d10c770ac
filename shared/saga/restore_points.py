"""VM restore points: what is asked of the platform, and what its word is worth.

A restore point is consistent across its disks by itself. Who makes the guest hold still differs:

| the guest is held by | asked for | graded by |
|---|---|---|
| our agent: filesystems frozen, or an anchor | CrashConsistent | our own chain |
| our agent, scripts or handlers only | left out: the platform holds too | its word, inside our own chain |
| the platform, where the policy asks for nothing of ours (Windows: VSS) | left out | its word |
| nobody: guest processing is off | CrashConsistent | crash |

CrashConsistent means that the platform leaves the guest alone: its agent must not thaw what ours froze.
"""

from shared.policy.guest_processing import Filesystems
from shared.saga.consistency import Grade, Verdict
from shared.saga.evidence import Evidence, RestorePointReport
from shared.saga.state import SagaState

CRASH_CONSISTENT = "CrashConsistent"

#: Asked for by leaving it out ("Create VM restore points", Microsoft Learn).
PLATFORMS_BEST = ""

_GRADES = {
    "ApplicationConsistent": Grade.APPLICATION,
    "FileSystemConsistent": Grade.FILESYSTEM,
    CRASH_CONSISTENT: Grade.CRASH,
}


def held_by_platform(state: SagaState) -> bool:
    """Whether the platform alone is to hold a running guest: no agent is needed."""
    assert state.facts is not None
    guest = state.spec.guest
    asked_of_agent = guest.pre_script or guest.handlers or guest.detect_handlers or guest.anchor
    ours = bool(asked_of_agent) or not state.facts.is_windows
    return state.spec.snapshots.is_restore_point and guest.enabled and not ours


def obstacles_of_restore_point(state: SagaState) -> tuple[str, ...]:
    """Give what stands in the way of a restore point of the kind that will probably be asked for."""
    facts, guest = state.facts, state.spec.guest
    if facts is None or not state.spec.snapshots.is_restore_point:
        return ()
    if not guest.enabled:
        return facts.crash_obstacles
    freezes = not facts.is_windows and guest.filesystems is Filesystems.ALL
    by_agent = facts.running and (freezes or guest.anchor is not None)
    return facts.crash_obstacles if by_agent else facts.platform_obstacles


def asked_consistency(state: SagaState) -> str:
    """Say what to ask the platform for, given what our agent holds in the current generation."""
    if not state.spec.guest.enabled:
        return CRASH_CONSISTENT
    quiesced = state.evidence.quiesced if state.evidence else None
    if quiesced is None:
        return PLATFORMS_BEST
    frozen = quiesced.anchored or any(item.kind == "filesystem" for item in quiesced.held)
    return CRASH_CONSISTENT if frozen else PLATFORMS_BEST


def by_platforms_word(evidence: Evidence) -> bool:
    """Whether the platform was asked to hold, so that its word makes the grade."""
    return evidence.restore_point is not None and evidence.restore_point.asked == PLATFORMS_BEST


def asked_of_platform(state: SagaState) -> Grade:
    """Say how consistent a restore point has to be that the platform makes as well as it can."""
    assert state.facts is not None
    return Grade.APPLICATION if state.facts.is_windows else Grade.FILESYSTEM


def platform_grade(point: RestorePointReport) -> Verdict:
    """Grade a restore point by the platform's word; anything that is not known proves nothing."""
    if not point.reached:
        return Verdict(Grade.CRASH, ("Azure does not say how consistent the restore point is",))
    grade = _GRADES.get(point.reached, Grade.CRASH)
    asked = point.asked or "its best"
    word = f"Azure was asked for {asked} and says that the restore point is {point.reached}"
    return Verdict(grade, (word,))
