"""How a saga waits for the others of its group: in a phase per barrier, each with its deadline and its looks.

While nothing is held it is looked at as seldom as in any other phase, while its guest is held every two
seconds. Each look tells the group once more where the saga is, so a message that was lost costs one look.
"""

from dataclasses import replace

from shared.saga.chain import CLOCK_TOLERANCE_MS
from shared.saga.consistency import Grade, grade
from shared.saga.effects import JoinBarrier
from shared.saga.evidence import Evidence
from shared.saga.group import Barrier, GroupRules, OnMemberFailure
from shared.saga.phases import GRACE_MS, Transition, first_watch_ms, watch_again
from shared.saga.state import Phase, SagaState

#: A saga that waits while its guest is held is looked at this often (ms).
HELD_LOOK_MS = 2_000

#: The phases in which a saga waits for its group, and those of them in which its guest is held meanwhile.
WAITING = frozenset(Phase(barrier) for barrier in Barrier)
HELD_WAITING = frozenset({Phase.HELD, Phase.CAPTURED})


def in_group(state: SagaState) -> bool:
    """Whether the saga is to share an instant with others, and still may."""
    return state.spec.group is not None and not state.standing.out


def is_unproved(state: SagaState) -> bool:
    """Whether all of its group have yet to prove that they were held together."""
    return in_group(state) and not state.standing.proved


def may_go_alone(state: SagaState) -> bool:
    """Whether it may have a recovery point that is none of its group's: not where all stand or fall."""
    group = state.spec.group
    return group is None or group.rules.on_member_failure is OnMemberFailure.REST


def enter_armed(state: SagaState, now: int) -> Transition:
    """Wait until every member is ready to be held; nothing is held meanwhile."""
    deadline = now + _rules(state).armed_timeout_ms + GRACE_MS
    return _wait(replace(state, phase=Phase.ARMED, deadline=deadline, pauses=0, trouble=None), now)


def enter_held(state: SagaState, now: int, until: int) -> Transition:
    """Wait, held, until every member is; ``until`` is when this one lets go whatever the others do."""
    return _wait(replace(state, phase=Phase.HELD, deadline=until), now)


def enter_captured(state: SagaState, now: int, until: int) -> Transition:
    """Wait, held, until every member has its snapshots."""
    return _wait(replace(state, phase=Phase.CAPTURED, deadline=until), now)


def enter_proved(state: SagaState, now: int) -> Transition:
    """Wait, while the guest goes on, until every member has proved that it was held."""
    deadline = now + _rules(state).proved_timeout_ms + GRACE_MS
    return _wait(replace(state, phase=Phase.PROVED, deadline=deadline), now)


def join_again(state: SagaState, now: int) -> Transition:
    """Tell the group once more where the saga waits, and look again."""
    return _wait(state, now)


def hold_until(state: SagaState) -> int:
    """Give the moment (ms) at which a saga that captures lets go: its capture's deadline."""
    assert state.deadline is not None
    return state.deadline - GRACE_MS if state.phase is Phase.CAPTURING else state.deadline


def armed_wait_ms(rules: GroupRules | None) -> int:
    """Say how much longer an armed guest may have to wait because of its group."""
    return rules.armed_timeout_ms + GRACE_MS if rules else 0


def shares_instant(evidence: Evidence) -> bool:
    """Whether a member proves by its own chain that it was held while all others were.

    Cause and effect first: it asked for its snapshots after it heard that all are held, and let go after it
    heard that all have theirs. An anchor's instant lies before that. Clocks only ever lower it.
    """
    quiesced, held, captured = evidence.quiesced, evidence.all_held_at, evidence.all_captured_at
    if quiesced is None or quiesced.anchored or held is None or captured is None:
        return False
    ordered = evidence.resume_ordered_at
    if ordered is None or ordered < captured - CLOCK_TOLERANCE_MS:
        return False
    if any(capture.put_sent_at < held - CLOCK_TOLERANCE_MS for capture in evidence.captures):
        return False
    verdict = grade(evidence)
    return verdict.unbroken and verdict.grade is not Grade.CRASH


def _wait(state: SagaState, now: int) -> Transition:
    assert state.deadline is not None
    pause = HELD_LOOK_MS if state.phase in HELD_WAITING else first_watch_ms(state.spec)
    join = JoinBarrier(state.generation, Barrier(state.phase), state.deadline)
    return watch_again(state, min(state.deadline, now + pause), join)


def _rules(state: SagaState) -> GroupRules:
    assert state.spec.group is not None
    return state.spec.group.rules
