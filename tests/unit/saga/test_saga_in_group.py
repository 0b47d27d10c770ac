"""A saga in a group, step by step: where it waits, what it tells its group, and what it does when told."""

from dataclasses import replace

import pytest

from shared.policy.guest_processing import Filesystems, GuestProcessing, OnGuestFailure
from shared.protocol import QUIESCE, RELEASE, RESUME
from shared.saga.barriers import HELD_LOOK_MS, shares_instant
from shared.saga.causes import Cause, Proof, Unfit
from shared.saga.consistency import Grade
from shared.saga.effects import Capture, JoinBarrier, Leave, LeaveGroup, SendCommand, Watch
from shared.saga.events import (
    Admitted,
    BarrierOpened,
    CancelRequested,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    GroupBroke,
    Poisoned,
    QuiesceFailed,
    Started,
    TimePassed,
)
from shared.saga.facts import VmFacts
from shared.saga.group import Barrier, GroupRules, OnMemberFailure
from shared.saga.passing import is_tried_again
from shared.saga.phases import GRACE_MS, RESUME_RESERVE_MS
from shared.saga.problems import problem_of
from shared.saga.state import GroupMember, Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import (
    DISKS,
    GATE,
    GROUPED,
    SCRIPTS,
    Saga,
    captured,
    facts,
    guest,
    quiesce_failed,
    quiesce_report,
    quiesced,
    ready,
    resumed,
    snapshot_of,
)

ARMED, HELD, CAPTURED, PROVED = Barrier
REST = replace(GROUPED, rules=GroupRules(on_member_failure=OnMemberFailure.REST))
WAITING = (Phase.ARMED, Phase.HELD, Phase.CAPTURED, Phase.PROVED)
LENIENT = guest(on_guest_failure=OnGuestFailure.CONTINUE, attempts=1)


def at(phase: Phase, processing: GuestProcessing = SCRIPTS, group: GroupMember = GROUPED) -> Saga:
    """Give a saga of a group that has come to this phase."""
    saga = Saga(processing, group=group).take(Started("receipt-1"), FactsRead(facts()))
    generation = 1
    on_the_way: list[tuple[Phase, Event]] = [
        (Phase.ARMED, ready(generation)),
        (Phase.QUIESCING, BarrierOpened(generation, ARMED)),
        (Phase.HELD, quiesced(generation, at=saga.now)),
        (Phase.CAPTURING, BarrierOpened(generation, HELD)),
        (Phase.CAPTURED, captured(generation, at=saga.now)),
        (Phase.RESUMING, BarrierOpened(generation, CAPTURED)),
        (Phase.PROVED, resumed(generation)),
        (Phase.COMPLETING, BarrierOpened(generation, PROVED)),
    ]
    for reached, event in on_the_way:
        if saga.state.phase is phase:
            break
        saga.take(event)
        assert saga.state.phase is reached
    assert saga.state.phase is phase
    return saga


def orders(saga: Saga, kind: str) -> int:
    return sum(effect.order.kind == kind for effect in saga.done(SendCommand))


def finish(saga: Saga) -> Saga:
    """Have its guest answer, and everything cleaned."""
    if not saga.state.guest_released:
        saga.take(resumed(saga.state.generation))
    if not saga.state.capture_ended:
        saga.take(captured(saga.state.generation))
    if saga.state.phase is Phase.COMPLETING:
        copies = tuple(SnapshotCopy(snapshot_of(d, saga.state.generation), 100.0) for d in DISKS)
        saga.take(CopiesSeen(copies))
    return saga.take(Cleaned())


def test_it_waits_at_each_barrier_and_its_recovery_point_is_of_one_instant() -> None:
    saga = at(Phase.COMPLETING)

    assert [join.barrier for join in saga.done(JoinBarrier)] == list(Barrier)
    assert not saga.done(LeaveGroup)
    assert (orders(saga, QUIESCE), orders(saga, RESUME)) == (1, 1)
    assert saga.state.standing.proved
    assert saga.state.evidence is not None
    assert shares_instant(saga.state.evidence)
    assert finish(saga).state.outcome is Outcome.SUCCEEDED
    assert saga.state.grade is Grade.APPLICATION


def test_behind_the_gate_it_keeps_its_place_while_it_waits_for_the_others() -> None:
    saga = Saga(admission=GATE, group=GROUPED).take(Started("r"), FactsRead(facts()), ready())
    ends = saga.last.effects[0].expires_at  # type: ignore[union-attr]
    saga.take(Admitted(1))

    assert saga.state.phase is Phase.ARMED
    assert saga.state.admission == 1
    assert not saga.done(Leave)
    assert saga.state.deadline is not None
    assert ends > saga.state.deadline + saga.state.spec.guest.longest_hold_ms
    saga.take(CancelRequested())
    assert [leave.captured for leave in saga.done(Leave)] == [False]


def test_held_it_says_until_when_it_can_hold_and_captures_in_what_is_left_of_that() -> None:
    saga = at(Phase.HELD)
    [join] = saga.last.effects[:1]
    until = saga.now - 20 + quiesce_report().budget_left_ms - RESUME_RESERVE_MS
    saga.take(BarrierOpened(1, HELD), after_ms=5_000)

    assert isinstance(join, JoinBarrier)
    [capture] = saga.done(Capture)
    assert capture.deadline == join.until
    assert abs(join.until - until) < 100
    assert capture.not_before == saga.now
    assert saga.state.deadline == join.until + GRACE_MS
    assert saga.take(captured()).last.effects[0] == JoinBarrier(1, CAPTURED, join.until)


@pytest.mark.parametrize("phase", WAITING)
def test_each_look_tells_the_group_again_where_it_waits(phase: Phase) -> None:
    saga = at(phase)
    joins = saga.done(JoinBarrier)
    saga.take(TimePassed(saga.state.watch_number), after_ms=HELD_LOOK_MS)

    assert saga.state.phase is phase
    assert saga.done(JoinBarrier) == [*joins, joins[-1]]
    [watch] = [effect for effect in saga.last.effects if isinstance(effect, Watch)]
    looks = HELD_LOOK_MS if phase in (Phase.HELD, Phase.CAPTURED) else 30_000
    assert watch.at == saga.now + looks


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.CAPTURED])
def test_held_it_lets_go_by_itself_before_its_budget_is_spent(phase: Phase) -> None:
    saga = at(phase).wait_out()
    saga.take(TimePassed(saga.state.watch_number), after_ms=0)

    assert saga.state.phase is Phase.RESUMING
    assert isinstance(saga.last.effects[0], SendCommand)
    assert [(left.generation, left.again) for left in saga.done(LeaveGroup)] == [(1, False)]
    assert finish(saga).state.outcome is Outcome.FAILED
    assert (orders(saga, RESUME), saga.state.recovery_point) == (1, ())
    problem = problem_of(saga.state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.GROUP_LATE, phase)
    assert "shop" in problem.sentence


def test_a_barrier_that_opens_after_its_time_holds_nobody() -> None:
    """What the guest's place was reserved for is over then."""
    saga = at(Phase.ARMED).wait_out().take(BarrierOpened(1, ARMED), after_ms=0)

    assert saga.state.phase is Phase.CLEANING
    assert orders(saga, QUIESCE) == 0
    assert [left.again for left in saga.done(LeaveGroup)] == [False]


def test_a_barrier_that_opens_too_late_to_snapshot_in_is_not_passed() -> None:
    saga = at(Phase.HELD)
    saga.wait_out().take(BarrierOpened(1, HELD), after_ms=-100)

    assert saga.state.phase is Phase.RESUMING
    assert not saga.done(Capture)
    assert len(saga.done(LeaveGroup)) == 1


def test_snapshots_that_end_when_the_hold_does_are_not_waited_with() -> None:
    saga = at(Phase.CAPTURING)
    assert saga.state.deadline is not None
    saga.now = saga.state.deadline - GRACE_MS
    saga.take(captured(), after_ms=0)

    assert saga.state.phase is Phase.RESUMING
    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    problem = problem_of(finish(saga).state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.GROUP_LATE, Phase.CAPTURED)


@pytest.mark.parametrize("phase", [Phase.ARMED, Phase.PROVED])
def test_unheld_it_gives_up_once_its_group_is_silent_for_too_long(phase: Phase) -> None:
    saga = at(phase).wait_out()
    saga.take(TimePassed(saga.state.watch_number), after_ms=0)

    assert saga.state.phase is Phase.CLEANING
    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    assert saga.state.recovery_point == ()
    problem = problem_of(saga.take(Cleaned()).state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.GROUP_SILENT, phase)
    assert not is_tried_again(saga.state)


BROKEN = [
    Phase.ARMING,
    Phase.ARMED,
    Phase.QUIESCING,
    Phase.HELD,
    Phase.CAPTURING,
    Phase.CAPTURED,
    Phase.RESUMING,
    Phase.PROVED,
]


@pytest.mark.parametrize("phase", BROKEN)
def test_when_the_group_tries_again_it_resumes_once_discards_and_tries_again(phase: Phase) -> None:
    saga = at(phase)
    ordered = orders(saga, QUIESCE)
    saga.take(GroupBroke(1, "2: it was cancelled", again=True))
    if not saga.state.guest_released:
        assert orders(saga, RESUME) == 1
        saga.take(resumed())
    if not saga.state.capture_ended:
        assert saga.state.phase is Phase.RESUMING
        saga.take(captured())

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    assert orders(saga, RESUME) == ordered, "what was stopped is started, once"
    assert bool(saga.state.discard) == (ordered > 0)
    assert not saga.done(LeaveGroup), "the group said it"
    assert any("it was cancelled" in note for note in saga.state.notes)


@pytest.mark.parametrize("phase", BROKEN)
def test_when_the_group_gives_up_it_resumes_once_discards_and_ends_with_the_reason(phase: Phase) -> None:
    saga = at(phase)
    ordered = orders(saga, QUIESCE)
    saga.take(GroupBroke(1, "db-2: it was not held in time"))

    assert saga.state.guest_released or orders(saga, RESUME) == 1
    finish(saga)
    assert orders(saga, RESUME) == ordered
    assert (saga.state.outcome, saga.state.recovery_point) == (Outcome.FAILED, ())
    assert not saga.done(LeaveGroup)
    problem = problem_of(saga.state)
    assert problem is not None
    assert (problem.cause, problem.step) == (Cause.GROUP_BROKE, phase)
    assert "db-2: it was not held in time" in problem.sentence


def test_without_an_attempt_left_it_ends_and_says_so_although_the_group_tries_again() -> None:
    saga = at(Phase.HELD, guest(attempts=1)).take(GroupBroke(1, "2: it failed", again=True))

    assert [(left.generation, left.again) for left in saga.done(LeaveGroup)] == [(1, False)]
    assert finish(saga).state.outcome is Outcome.FAILED


def test_what_another_member_did_is_no_failure_of_the_guest_to_go_on_without() -> None:
    saga = at(Phase.HELD, LENIENT, REST).take(GroupBroke(1, "2: it failed", again=True))
    finish(saga)

    assert (saga.state.outcome, saga.state.recovery_point) == (Outcome.FAILED, ())


@pytest.mark.parametrize(
    "early",
    [
        BarrierOpened(2, ARMED),
        BarrierOpened(1, HELD),
        BarrierOpened(1, CAPTURED),
        BarrierOpened(1, PROVED),
        GroupBroke(2, "another attempt"),
        GroupBroke(0, "before the first"),
    ],
)
def test_words_of_other_barriers_and_attempts_change_nothing(early: Event) -> None:
    saga = at(Phase.ARMED)
    before = saga.state
    saga.take(early)

    assert saga.last.ignored
    assert saga.state == before


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREFLIGHT])
def test_before_its_first_generation_there_is_nothing_to_try_again(phase: Phase) -> None:
    saga = Saga(group=GROUPED)
    if phase is Phase.PREFLIGHT:
        saga.take(Started("r"))

    assert saga.take(GroupBroke(0, "early", again=True)).last.ignored
    assert saga.take(GroupBroke(0, "early")).state.phase is Phase.CLEANING


@pytest.mark.parametrize("phase", [Phase.COMPLETING, Phase.CLEANING])
def test_after_the_proof_the_group_takes_nothing_back(phase: Phase) -> None:
    saga = at(Phase.COMPLETING)
    if phase is Phase.CLEANING:
        saga.take(CopiesSeen(tuple(SnapshotCopy(snapshot_of(d), 100.0) for d in DISKS)))
    assert saga.state.phase is phase

    assert saga.take(GroupBroke(1, "too late")).last.ignored
    assert saga.take(BarrierOpened(1, PROVED)).last.ignored
    saga.take(CancelRequested())
    assert not saga.done(LeaveGroup), "the group is over"


def test_a_saga_without_a_group_is_told_nothing() -> None:
    saga = Saga().take(Started("r"), FactsRead(facts()), ready())

    assert saga.state.phase is Phase.QUIESCING
    assert saga.take(GroupBroke(1, "whose?")).last.ignored
    assert saga.take(BarrierOpened(1, HELD)).last.ignored


@pytest.mark.parametrize("phase", [Phase.PENDING, *BROKEN])
@pytest.mark.parametrize("ending", [CancelRequested(), Poisoned("the step message")])
def test_one_that_is_ended_early_resumes_and_leaves_the_group_for_good(phase: Phase, ending: Event) -> None:
    saga = Saga(group=GROUPED) if phase is Phase.PENDING else at(phase)
    saga.take(ending)

    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    finish(saga)
    assert len(saga.done(LeaveGroup)) == 1
    assert (saga.state.phase, saga.state.recovery_point) == (Phase.DONE, ())
    assert orders(saga, RESUME) == orders(saga, QUIESCE)
    if phase in (Phase.ARMING, Phase.ARMED):
        assert orders(saga, RELEASE) == 1


def test_a_guest_that_fails_in_a_way_that_passes_takes_the_others_with_it() -> None:
    saga = at(Phase.QUIESCING).take(quiesce_failed(reason="already_frozen"))

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    [left] = saga.done(LeaveGroup)
    assert (left.generation, left.again) == (1, True)
    assert "already_frozen" in left.why
    assert saga.take(GroupBroke(1, "an echo", again=True)).last.ignored


def test_a_guest_that_fails_for_good_leaves_the_group() -> None:
    saga = at(Phase.QUIESCING).take(quiesce_failed(reason="script_failed"))

    assert saga.state.phase is Phase.CLEANING
    [left] = saga.done(LeaveGroup)
    assert (left.again, left.why) == (False, "; ".join(saga.state.reasons))
    assert "script_failed" in left.why


def test_an_agent_that_does_not_answer_is_told_once_for_each_attempt() -> None:
    saga = at(Phase.ARMING)
    for _ in range(2):
        saga.wait_out().take(TimePassed(saga.state.watch_number), after_ms=0)

    assert saga.state.phase is Phase.CLEANING
    left = saga.done(LeaveGroup)
    assert [(each.generation, each.again) for each in left] == [(1, True), (2, False)]
    assert left[0].why == saga.state.notes[-1]
    assert left[1].why == "; ".join(saga.state.reasons)


def test_a_failed_snapshot_lets_the_others_go_before_its_own_guest_has_answered() -> None:
    saga = at(Phase.CAPTURING).take(captured(errors=("", "deadline", "")))

    assert saga.state.phase is Phase.RESUMING
    assert [(left.generation, left.again) for left in saga.done(LeaveGroup)] == [(1, True)]
    saga.take(resumed())
    assert (saga.state.phase, len(saga.done(LeaveGroup))) == (Phase.ARMING, 1)


def test_one_that_said_it_would_try_again_and_does_not_leaves_after_all() -> None:
    saga = at(Phase.CAPTURING).take(captured(errors=("", "deadline", "")), CancelRequested())

    assert [left.again for left in saga.done(LeaveGroup)] == [True, False]


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.CAPTURED])
def test_a_guest_that_is_let_go_while_it_waits_is_no_part_of_the_instant(phase: Phase) -> None:
    saga = at(phase).take(resumed(released_by="dead-man"))

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)
    assert [(left.generation, left.again) for left in saga.done(LeaveGroup)] == [(1, True)]


def test_a_guest_that_is_let_go_while_it_waits_and_has_no_attempt_left_says_by_whom() -> None:
    saga = finish(at(Phase.HELD, guest(attempts=1)).take(resumed(released_by="dead-man")))

    problem = problem_of(saga.state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.NOT_PROVED, Proof.DEAD_MAN)


def test_a_guest_that_takes_back_that_it_holds_is_resumed() -> None:
    failed = replace(quiesce_failed(), released=False)
    saga = at(Phase.HELD).take(failed)

    assert saga.state.phase is Phase.RESUMING
    assert orders(saga, RESUME) == 1
    assert [left.again for left in saga.done(LeaveGroup)] == [True]


@pytest.mark.parametrize("reason", ["already_frozen", "handler_lost"])
def test_a_guest_that_fails_after_all_while_it_waits_is_tried_again(reason: str) -> None:
    saga = at(Phase.HELD).take(QuiesceFailed(1, 3, reason, "It let go."))

    assert (saga.state.phase, saga.state.generation) == (Phase.ARMING, 2)


def test_with_the_rule_all_nothing_is_kept_of_a_guest_that_cannot_be_held() -> None:
    saga = at(Phase.QUIESCING, LENIENT).take(quiesce_failed(reason="script_failed"))

    assert saga.state.phase is Phase.CLEANING
    assert finish(saga).state.outcome is Outcome.FAILED


def test_with_the_rule_rest_a_lenient_policy_goes_on_without_its_guest_and_out_of_the_group() -> None:
    saga = at(Phase.QUIESCING, LENIENT, REST).take(quiesce_failed(reason="script_failed"))

    assert saga.state.phase is Phase.CAPTURING
    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    finish(saga.take(captured(2)))
    assert (saga.state.outcome, saga.state.grade) == (Outcome.DEGRADED, Grade.CRASH)
    assert not saga.state.standing.proved


@pytest.mark.parametrize(
    ("vm", "processing", "code"),
    [
        (facts(power_state="deallocated"), SCRIPTS, Unfit.NOT_RUNNING),
        (facts(), guest(enabled=False), Unfit.DISABLED),
    ],
)
def test_a_vm_without_a_guest_to_hold_leaves_the_group_and_is_kept_only_by_the_rule_rest(
    vm: VmFacts, processing: GuestProcessing, code: Unfit
) -> None:
    by_all = Saga(processing, group=GROUPED).take(Started("r"), FactsRead(vm))
    by_rest = Saga(processing, group=REST).take(Started("r"), FactsRead(vm))

    for saga in (by_all, by_rest):
        assert [left.again for left in saga.done(LeaveGroup)] == [False]
    assert finish(by_all).state.outcome is Outcome.FAILED
    assert finish(by_rest).state.outcome is Outcome.DEGRADED
    for saga in (by_all, by_rest):
        problem = problem_of(saga.state)
        assert problem is not None
        assert (problem.cause, problem.code) == (Cause.GROUP_UNFIT, code)


def test_the_instant_of_an_anchor_is_not_shared() -> None:
    report = replace(quiesce_report(), anchored=True)
    saga = at(Phase.QUIESCING).take(quiesced(report=report))

    assert saga.state.phase is Phase.RESUMING
    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    problem = problem_of(finish(saga).state)
    assert problem is not None
    assert (problem.cause, problem.code) == (Cause.GROUP_UNFIT, Unfit.ANCHORED)
    assert saga.state.reasons[-1] == "the instant of an anchor cannot be shared with others"


def test_a_hold_that_cannot_be_proved_is_not_called_one_instant() -> None:
    """Scripts alone hold nothing that anybody could witness."""
    report = replace(quiesce_report(), held=quiesce_report().held[:1])
    saga = at(Phase.QUIESCING, guest(filesystems=Filesystems.NONE))
    saga.take(quiesced(at=saga.now, report=report), BarrierOpened(1, HELD), captured())
    told = replace(resumed().report, held=resumed().report.held[:1])
    saga.take(BarrierOpened(1, CAPTURED), replace(resumed(), report=told))

    assert saga.state.phase is Phase.CLEANING
    assert [left.again for left in saga.done(LeaveGroup)] == [False]
    assert saga.state.recovery_point == ()


def test_a_group_is_rehearsed_too_up_to_the_proof() -> None:
    saga = Saga(group=GROUPED)
    saga.state = replace(saga.state, spec=replace(saga.state.spec, rehearsal=True))
    saga.take(Started("r"), FactsRead(facts()), ready(), BarrierOpened(1, ARMED))
    saga.take(quiesced(at=saga.now))
    rest = (BarrierOpened(1, HELD), BarrierOpened(1, CAPTURED), resumed(), BarrierOpened(1, PROVED))
    phases = [saga.take(event).state.phase for event in rest]
    saga.take(Cleaned())

    assert phases == [Phase.CAPTURED, Phase.RESUMING, Phase.PROVED, Phase.CLEANING]
    assert saga.state.outcome is Outcome.REHEARSED
    assert [join.barrier for join in saga.done(JoinBarrier)] == list(Barrier)
    assert not saga.done(Capture)
