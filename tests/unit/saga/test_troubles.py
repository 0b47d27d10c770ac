"""What goes wrong, one thing at a time: the guest, the snapshots, time, cancelling, poison."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.policy.guest_processing import GuestProcessing, OnGuestFailure
from shared.saga.consistency import Grade
from shared.saga.effects import Capture, CheckCopies, Clean, ReadFacts, SendCommand, StartAgent, Watch
from shared.saga.events import (
    AgentNotStarted,
    CancelRequested,
    CaptureEnded,
    Cleaned,
    CopiesSeen,
    FactsRead,
    Poisoned,
    QuiesceFailed,
    Started,
    TimePassed,
)
from shared.saga.state import Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import (
    DISKS,
    SCRIPTS,
    Saga,
    arming,
    captured,
    capturing,
    completing,
    facts,
    guest,
    quiesce_failed,
    quiesce_report,
    quiesced,
    quiescing,
    ready,
    resumed,
    resuming,
    script_report,
    snapshot_of,
)

Walk = Callable[[GuestProcessing], Saga]

ONCE = guest(attempts=1)
LENIENT = guest(attempts=1, on_guest_failure=OnGuestFailure.CONTINUE)


def orders(saga: Saga) -> list[str]:
    return [effect.order.kind for effect in saga.done(SendCommand)]


def all_snapshots(generation: int = 1) -> set[str]:
    return {snapshot_of(disk, generation) for disk in DISKS}


def unheld(processing: GuestProcessing = SCRIPTS) -> Saga:
    return Saga(processing).take(Started(), FactsRead(facts(power_state="deallocated")))


def preflight(processing: GuestProcessing = SCRIPTS) -> Saga:
    return Saga(processing).take(Started("receipt-1"))


def whole_copies() -> tuple[SnapshotCopy, ...]:
    return tuple(SnapshotCopy(snapshot_of(disk), 100.0) for disk in DISKS)


def cleaning(processing: GuestProcessing = SCRIPTS) -> Saga:
    return completing(processing).take(CancelRequested())


# --- the guest cannot be held -------------------------------------------------------------


def test_under_fail_a_guest_that_cannot_hold_means_no_snapshot_at_all() -> None:
    saga = quiescing(guest(attempts=3)).take(quiesce_failed())

    assert saga.state.phase is Phase.CLEANING
    assert saga.state.outcome is Outcome.FAILED
    assert not saga.done(Capture)
    assert "exit code 3" in saga.state.reasons[-1]


def test_under_continue_it_goes_on_crash_consistently_and_says_so() -> None:
    saga = quiescing(LENIENT).take(quiesce_failed())
    assert saga.state.phase is Phase.CAPTURING
    assert saga.done(Capture)[0].generation == 2
    saga = saga.take(captured(2))

    assert saga.state.phase is Phase.COMPLETING
    assert saga.state.outcome is Outcome.DEGRADED
    assert saga.state.grade is Grade.CRASH
    assert any("exit code 3" in reason for reason in saga.state.reasons)


def test_a_failed_script_is_not_tried_again() -> None:
    assert len(quiescing(guest(attempts=5)).take(quiesce_failed()).done(StartAgent)) == 1


def test_what_may_pass_is_tried_again_as_another_generation() -> None:
    saga = quiescing().take(quiesce_failed(reason="already_frozen"))
    assert saga.state.phase is Phase.ARMING
    assert saga.state.generation == 2
    saga.take(ready(2), quiesced(2, at=saga.now), captured(2), resumed(2))

    assert saga.state.outcome is Outcome.SUCCEEDED
    assert saga.state.grade is Grade.APPLICATION
    assert {copy.snapshot_id for copy in saga.state.recovery_point} == all_snapshots(2)
    assert any(reason.startswith("generation 1:") for reason in saga.state.reasons)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_attempts_are_counted_and_end(attempts: int) -> None:
    saga = arming(guest(attempts=attempts))
    for generation in range(1, attempts + 1):
        saga.take(ready(generation), quiesce_failed(generation, "already_frozen"))

    assert saga.state.outcome is Outcome.FAILED
    assert len(saga.done(StartAgent)) == attempts


def test_a_killed_script_is_not_tried_again_although_it_was_a_matter_of_time() -> None:
    killed = script_report("/etc/stillframe/pre.sh", None, timed_out=True)
    saga = quiescing().take(QuiesceFailed(1, 2, "quiesce_timeout", "It took too long.", script=killed))

    assert saga.state.phase is Phase.CLEANING


def test_a_failing_post_script_after_a_failed_quiesce_is_told() -> None:
    failed = script_report("/etc/stillframe/post.sh", 9)
    saga = quiescing().take(QuiesceFailed(1, 2, "script_failed", "It failed.", post_script=failed))

    assert any("post.sh failed" in note for note in saga.state.notes)


def test_a_refusal_that_comes_after_the_deadline_still_gives_the_true_reason_and_no_second_try() -> None:
    saga = quiescing().wait_out().take(TimePassed(), quiesce_failed())

    assert saga.state.phase is Phase.CLEANING
    assert len(saga.done(StartAgent)) == 1
    assert "exit code 3" in saga.state.reasons[-1]


def test_a_guest_that_says_it_was_released_before_it_held_is_tried_again() -> None:
    saga = quiescing().take(resumed(released_by="restart"))

    assert saga.state.phase is Phase.ARMING
    assert saga.state.generation == 2


def test_too_little_budget_left_is_not_spent_on_snapshots() -> None:
    saga = quiescing(ONCE)
    saga.take(quiesced(at=saga.now, report=quiesce_report(budget_left_ms=1_900)))
    assert not saga.done(Capture)
    assert orders(saga) == ["quiesce", "resume"]

    assert saga.take(resumed()).state.outcome is Outcome.FAILED


def test_an_ack_that_lay_in_the_queue_for_the_whole_budget_is_not_spent_on_snapshots() -> None:
    saga = quiescing(ONCE)
    saga.take(quiesced(at=saga.now - 29_000))

    assert saga.state.phase is Phase.RESUMING
    assert not saga.done(Capture)


def test_a_guest_that_holds_without_its_dead_man_is_resumed_at_once() -> None:
    saga = quiescing(ONCE)
    saga.take(quiesced(at=saga.now, report=quiesce_report(dead_man_armed=False)))
    assert orders(saga)[-1] == "resume"
    assert not saga.done(Capture)
    saga.take(resumed())

    assert "dead-man" in saga.state.reasons[-1]


# --- the agent does not start -------------------------------------------------------------


def test_an_agent_that_cannot_be_started_for_now_is_started_again_by_the_watch() -> None:
    saga = arming().take(AgentNotStarted(1, "Conflict", "the VM is busy", passing=True))
    assert saga.state.phase is Phase.ARMING
    saga.take(TimePassed(1))

    assert len(saga.done(StartAgent)) == 2
    assert saga.done(StartAgent)[0] == saga.done(StartAgent)[1]


def test_an_agent_that_can_never_be_started_is_given_up_with_azures_code() -> None:
    saga = arming().take(AgentNotStarted(1, "VMAgentMissing", "there is no VM agent", passing=False))

    assert (saga.state.outcome, saga.state.generation) == (Outcome.FAILED, 1)
    assert "VMAgentMissing" in saga.state.reasons[-1]


def test_under_continue_an_agent_that_cannot_be_started_leaves_a_degraded_recovery_point() -> None:
    saga = arming(LENIENT).take(AgentNotStarted(1, "VMAgentMissing", "there is no VM agent", passing=False))
    saga.take(captured(2))

    assert saga.state.outcome is Outcome.DEGRADED
    assert any("VMAgentMissing" in reason for reason in saga.state.reasons)


def test_an_agent_that_never_answers_is_told_to_go_when_the_saga_gives_up() -> None:
    saga = arming(ONCE).wait_out().take(TimePassed())

    assert saga.state.outcome is Outcome.FAILED
    assert orders(saga) == ["release"]


# --- deadlines and lost messages ----------------------------------------------------------


@pytest.mark.parametrize(
    ("walk", "repeated"),
    [
        (preflight, ReadFacts),
        (arming, SendCommand),
        (quiescing, SendCommand),
        (resuming, SendCommand),
        (completing, CheckCopies),
        (cleaning, Clean),
    ],
)
def test_a_watch_before_the_deadline_repeats_what_may_have_been_lost_and_watches_on(
    walk: Walk, repeated: type
) -> None:
    saga = walk(SCRIPTS)
    phase, last = saga.state.phase, saga.last.effects
    saga.take(TimePassed(saga.state.watch_number))

    assert saga.state.phase is phase
    assert [type(effect) for effect in saga.last.effects] == [repeated, Watch]
    if phase in (Phase.QUIESCING, Phase.RESUMING):
        assert saga.last.effects[0] == last[-1], "the same order, with the same sequence"


def test_a_watch_while_capturing_repeats_nothing_inside_the_freeze() -> None:
    saga = capturing().take(TimePassed(1))

    assert [type(effect) for effect in saga.last.effects] == [Watch]


@pytest.mark.parametrize("walk", [preflight, arming, quiescing, capturing, resuming, completing, cleaning])
def test_every_look_at_a_waiting_saga_leaves_exactly_one_new_watch_no_later_than_needed(walk: Walk) -> None:
    saga = walk(SCRIPTS)
    saga.take(TimePassed(saga.state.watch_number))
    for _ in range(3):
        watches = [effect for effect in saga.last.effects if isinstance(effect, Watch)]
        assert [watch.number for watch in watches] == [saga.state.watch_number]
        assert saga.state.deadline is not None
        assert saga.now < watches[0].at <= max(saga.state.deadline, saga.now + 30_000)
        saga.now = watches[0].at
        saga.take(TimePassed(watches[0].number))


@pytest.mark.parametrize("walk", [preflight, arming, quiescing, capturing, resuming, completing])
def test_an_old_watch_counts_for_nothing(walk: Walk) -> None:
    saga = walk(SCRIPTS)
    saga.take(TimePassed(saga.state.watch_number))
    before = saga.state
    saga.wait_out().take(TimePassed(before.watch_number - 1))

    assert saga.last.ignored
    assert saga.state == before


@pytest.mark.parametrize("watch", [None, 0, 1])
def test_a_saga_whose_start_was_lost_is_started_by_whatever_looks_at_it(watch: int | None) -> None:
    saga = Saga().take(TimePassed(watch))

    assert saga.state.phase is Phase.PREFLIGHT
    assert [type(effect) for effect in saga.last.effects] == [ReadFacts, Watch]
    assert saga.done(Watch)[0].number == saga.state.watch_number


def test_a_guest_that_never_says_that_it_held_is_resumed_first() -> None:
    saga = quiescing(ONCE).wait_out().take(TimePassed())
    assert orders(saga) == ["quiesce", "resume"]
    assert saga.state.phase is Phase.RESUMING

    saga.take(resumed())
    assert saga.state.outcome is Outcome.FAILED
    assert not saga.done(Capture)


def test_a_capture_that_never_answers_is_followed_by_resume_and_by_deleting_what_it_may_have_made() -> None:
    saga = capturing(ONCE).wait_out().take(TimePassed())
    assert orders(saga)[-1] == "resume"
    saga.take(resumed())

    assert saga.state.outcome is Outcome.FAILED
    assert set(saga.done(Clean)[0].discard) == all_snapshots()


def test_a_capture_without_a_guest_that_never_answers_ends_the_saga() -> None:
    saga = unheld().wait_out().take(TimePassed())

    assert saga.state.phase is Phase.CLEANING
    assert saga.state.outcome is Outcome.FAILED
    assert set(saga.done(Clean)[0].discard) == all_snapshots()


def test_a_lost_resumed_ack_lowers_the_grade_and_is_tried_again_before_it_is_given_up() -> None:
    saga = resuming().wait_out().take(TimePassed())
    assert saga.state.phase is Phase.ARMING
    saga.take(ready(2), quiesced(2, at=saga.now), captured(2)).wait_out().take(TimePassed())

    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.recovery_point == ()
    assert "never said" in saga.state.reasons[-1]
    assert set(saga.done(Clean)[0].discard) == all_snapshots(1) | all_snapshots(2)


def test_under_continue_a_lost_resumed_ack_leaves_a_crash_consistent_recovery_point() -> None:
    saga = resuming(LENIENT).wait_out().take(TimePassed())

    assert saga.state.phase is Phase.COMPLETING
    assert saga.state.grade is Grade.CRASH
    assert saga.state.outcome is Outcome.DEGRADED


@pytest.mark.parametrize("walk", [quiescing, capturing])
@pytest.mark.parametrize(("budget", "resume_timeout"), [(30_000, 60_000), (30_000, 1_000), (60_000, 5_000)])
def test_the_saga_waits_for_the_guests_word_until_the_dead_man_must_have_acted(
    walk: Walk, budget: int, resume_timeout: int
) -> None:
    processing = replace(ONCE, freeze_budget_ms=budget, resume_timeout_ms=resume_timeout)
    saga = walk(processing)
    quiesce = saga.done(SendCommand)[0].order
    held = saga.state.phase is Phase.CAPTURING
    saga.take(CancelRequested())

    latest_start = saga.now if held else quiesce.expires_at
    assert saga.state.deadline is not None
    assert saga.state.deadline > latest_start + budget


# --- the dead-man acts --------------------------------------------------------------------


def test_a_dead_man_that_fires_while_capturing_makes_it_no_better_than_crash() -> None:
    saga = capturing(LENIENT).take(resumed(released_by="dead-man"))
    assert saga.state.phase is Phase.CAPTURING, "the snapshots under way are waited for"
    saga = saga.take(captured())

    assert saga.state.phase is Phase.COMPLETING
    assert saga.state.grade is Grade.CRASH
    assert any("dead-man" in reason for reason in saga.state.reasons)


def test_a_dead_man_that_fires_before_the_order_arrives_lowers_the_grade() -> None:
    saga = resuming(LENIENT).take(resumed(released_by="dead-man"))

    assert saga.state.grade is Grade.CRASH
    assert saga.state.outcome is Outcome.DEGRADED


def test_a_dead_man_that_fires_under_fail_is_another_generation_and_the_first_ones_snapshots_go() -> None:
    saga = capturing().take(resumed(released_by="dead-man"), captured())
    assert saga.state.phase is Phase.ARMING
    saga.take(ready(2), quiesced(2, at=saga.now), captured(2), resumed(2))

    assert saga.state.grade is Grade.APPLICATION
    assert set(saga.state.discard) == all_snapshots(1)


# --- snapshots fail -----------------------------------------------------------------------


def test_a_failed_snapshot_resumes_the_guest_before_anything_is_decided() -> None:
    saga = capturing(ONCE).take(captured(errors=("", "Conflict", "")))
    assert saga.state.phase is Phase.RESUMING
    assert orders(saga)[-1] == "resume"
    saga.take(resumed())

    assert saga.state.outcome is Outcome.FAILED
    assert set(saga.done(Clean)[0].discard) == all_snapshots()
    assert "db-1-data-0: Conflict" in saga.state.reasons[-1]


def test_a_failed_snapshot_is_tried_again_under_another_name() -> None:
    saga = capturing().take(captured(errors=("", "Conflict", "")), resumed())
    assert saga.state.phase is Phase.ARMING
    saga.take(ready(2), quiesced(2, at=saga.now), captured(2), resumed(2))

    assert {copy.snapshot_id for copy in saga.state.recovery_point} == all_snapshots(2)
    assert set(saga.state.discard) == all_snapshots(1)


@pytest.mark.parametrize("walk", [capturing, unheld])
@pytest.mark.parametrize("known", [0, 1, 2])
def test_a_capture_that_does_not_speak_of_every_disk_is_no_recovery_point(walk: Walk, known: int) -> None:
    saga = walk(replace(LENIENT, attempts=1))
    saga.take(CaptureEnded(1, captured(at=saga.now).captures[:known]))
    if saga.state.phase is Phase.RESUMING:
        saga.take(resumed())

    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.recovery_point == ()
    assert set(saga.state.discard) == all_snapshots()


def test_a_capture_that_ends_after_it_was_given_up_counts_for_nothing() -> None:
    saga = capturing(LENIENT).wait_out().take(TimePassed(), captured(), resumed())

    assert saga.state.outcome is Outcome.FAILED
    assert set(saga.state.discard) == all_snapshots()


# --- cancelling and poison ----------------------------------------------------------------

ENDINGS = [
    pytest.param(CancelRequested(), Outcome.CANCELLED, id="cancel"),
    pytest.param(Poisoned("the step message"), Outcome.FAILED, id="poison"),
]


@pytest.mark.parametrize(("ending", "outcome"), ENDINGS)
@pytest.mark.parametrize("walk", [Saga, preflight, arming])
def test_ending_before_anything_is_held_ends_at_once(
    walk: Walk, ending: CancelRequested | Poisoned, outcome: Outcome
) -> None:
    saga = walk(SCRIPTS).take(ending)

    assert saga.state.phase is Phase.CLEANING
    assert saga.take(Cleaned()).state.outcome is outcome
    told = {Outcome.CANCELLED: "cancelled on request"}
    assert saga.state.reasons == (told.get(outcome, "a message could not be processed: the step message"),)


@pytest.mark.parametrize(("ending", "outcome"), ENDINGS)
def test_ending_while_arming_tells_an_agent_that_comes_late_to_go(
    ending: CancelRequested | Poisoned, outcome: Outcome
) -> None:
    saga = arming().take(ending, ready())

    assert orders(saga) == ["release"]
    assert saga.state.outcome is outcome


@pytest.mark.parametrize(("ending", "outcome"), ENDINGS)
@pytest.mark.parametrize("walk", [quiescing, capturing, resuming])
def test_ending_while_the_guest_may_be_held_resumes_it_first(
    walk: Walk, ending: CancelRequested | Poisoned, outcome: Outcome
) -> None:
    saga = walk(SCRIPTS)
    was = saga.state.phase
    saga.take(ending)
    assert saga.state.phase is Phase.RESUMING
    assert orders(saga).count("resume") == 1
    assert not saga.done(Clean)

    saga.take(resumed())
    if was is Phase.CAPTURING:
        assert not saga.done(Clean), "the capture is still under way"
        saga.take(captured())
    assert saga.state.outcome is outcome
    assert saga.state.recovery_point == ()
    assert set(saga.done(Clean)[0].discard) == all_snapshots()


@pytest.mark.parametrize(("ending", "outcome"), ENDINGS)
def test_a_guest_that_could_not_be_held_after_all_lets_the_saga_end_as_it_was_to(
    ending: CancelRequested | Poisoned, outcome: Outcome
) -> None:
    saga = quiescing().take(ending, quiesce_failed())

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, outcome)
    assert saga.state.generation == 1


def test_a_guest_that_says_that_it_failed_after_it_had_held_is_not_believed_to_have_held() -> None:
    saga = resuming(ONCE).take(quiesce_failed())

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons[-1].startswith("only crash consistent: ")


@pytest.mark.parametrize(("ending", "outcome"), ENDINGS)
def test_ending_a_capture_without_a_guest_waits_for_its_snapshots_and_deletes_them(
    ending: CancelRequested | Poisoned, outcome: Outcome
) -> None:
    saga = unheld().take(ending)
    assert saga.state.phase is Phase.CAPTURING
    saga.take(captured())

    assert saga.state.outcome is outcome
    assert set(saga.done(Clean)[0].discard) == all_snapshots()


def test_cancelling_while_completing_deletes_the_recovery_point() -> None:
    saga = completing().take(CancelRequested())

    assert saga.state.outcome is Outcome.CANCELLED
    assert saga.state.grade is None
    assert set(saga.done(Clean)[0].discard) == all_snapshots()
    assert saga.done(Clean)[0].keep == ()


def test_poison_while_completing_keeps_what_was_proved_consistent() -> None:
    saga = completing().take(Poisoned("the step message"))

    assert saga.state.outcome is Outcome.FAILED
    assert set(saga.done(Clean)[0].keep) == all_snapshots()
    assert saga.state.grade is Grade.APPLICATION
    assert "the step message" in saga.state.reasons[-1]


def test_poison_while_cleaning_does_not_leave_the_cleaning_undone() -> None:
    saga = cleaning().take(Poisoned("an ack that came twice"))
    assert saga.state.phase is Phase.CLEANING
    watch = saga.done(Watch)[-1]
    saga.take(TimePassed(watch.number))
    assert isinstance(saga.last.effects[0], Clean)
    saga = saga.take(Cleaned())

    assert saga.state.phase is Phase.DONE
    assert saga.state.outcome is Outcome.CANCELLED
    assert any("an ack that came twice" in note for note in saga.state.notes)


def test_cleaning_that_is_poisoned_again_and_again_ends_at_its_deadline() -> None:
    saga = completing().take(CopiesSeen(whole_copies()))
    saga.take(*(Poisoned("the watch") for _ in range(5))).wait_out()
    assert saga.state.phase is Phase.CLEANING
    saga.take(Poisoned("the watch"), after_ms=0)

    assert (saga.state.phase, saga.state.ended_at) == (Phase.DONE, saga.now)
    assert saga.state.notes == ("a message could not be processed: the watch",)
    assert saga.state.trouble is not None
    assert saga.state.trouble.detail == saga.state.notes[0]


@pytest.mark.parametrize("first", [CancelRequested(), Poisoned("the step message")])
@pytest.mark.parametrize("second", [CancelRequested(), Poisoned("another")])
@pytest.mark.parametrize("walk", [quiescing, capturing, resuming])
def test_the_first_reason_to_end_stands(
    walk: Walk, first: CancelRequested | Poisoned, second: CancelRequested | Poisoned
) -> None:
    once = walk(SCRIPTS).take(first).state
    twice = walk(SCRIPTS).take(first, second).state

    assert twice == once


def test_a_saga_that_succeeded_is_not_cancelled_while_it_cleans_up() -> None:
    saga = completing().take(CancelRequested(), CancelRequested(), Cleaned(), CancelRequested())

    assert saga.state.phase is Phase.DONE
    assert saga.last.ignored


def test_a_retry_remembers_nothing_of_the_generation_before_but_its_snapshots_and_what_it_says() -> None:
    first = arming().state
    saga = capturing().take(captured(errors=("", "Conflict", "")), resumed())
    second = saga.state

    fresh = ("phase", "evidence", "guest_released", "capture_ended", "agent_refused", "grade", "ending")
    assert {name: getattr(second, name) for name in fresh} == {name: getattr(first, name) for name in fresh}
    assert second.guest_failure == ""
    assert set(second.discard) == all_snapshots(1)
    assert len(second.notes) == 1


def test_snapshots_that_end_before_the_guest_has_gone_on_do_not_let_the_saga_decide() -> None:
    saga = capturing().take(CancelRequested(), captured())

    assert saga.state.phase is Phase.RESUMING
    assert not saga.done(Clean)


def test_snapshots_seen_after_the_order_to_resume_are_not_recorded_as_taken_inside_the_freeze() -> None:
    saga = capturing().take(CancelRequested(), captured())

    assert saga.state.evidence is not None
    assert len(saga.state.evidence.captures) == len(DISKS)
    assert saga.state.evidence.captured_at is None
