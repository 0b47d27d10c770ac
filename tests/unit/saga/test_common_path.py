"""The saga when all goes well, step by step, and the two ways past the guest."""

from dataclasses import replace

import pytest

from shared.policy.guest_processing import Filesystems
from shared.protocol import RESUME
from shared.saga.consistency import Grade
from shared.saga.effects import (
    Capture,
    CheckCopies,
    Clean,
    ReadFacts,
    RecordEnd,
    SendCommand,
    StartAgent,
    Watch,
)
from shared.saga.events import (
    AgentReady,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    Released,
    Started,
    TimePassed,
)
from shared.saga.evidence import Held, NotHeld
from shared.saga.group import Barrier
from shared.saga.phases import GRACE_MS, RESUME_RESERVE_MS
from shared.saga.state import Outcome, Phase, SnapshotCopy
from tests.unit.saga.build import (
    DISKS,
    GROUP,
    PRE,
    SCRIPTS,
    Saga,
    arming,
    capture_of,
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


def copied(*percents: float) -> CopiesSeen:
    pairs = zip(DISKS, percents or (100.0, 100.0, 100.0), strict=True)
    return CopiesSeen(tuple(SnapshotCopy(snapshot_of(disk), percent) for disk, percent in pairs))


def common_events() -> list[Event]:
    events: list[Event] = [Started("r"), FactsRead(facts()), ready(), quiesced(), captured(), resumed()]
    return [*events, copied(), Cleaned()]


def test_the_common_path_goes_through_every_phase_and_ends_application_consistent() -> None:
    saga = Saga()
    phases = [saga.take(event).state.phase for event in common_events()]

    aside = {Phase.PENDING, Phase.ADMITTING, Phase.COPYING, *map(Phase, Barrier)}
    assert phases == [phase for phase in Phase if phase not in aside]
    assert saga.state.outcome is Outcome.SUCCEEDED
    assert saga.state.grade is Grade.APPLICATION
    assert [copy.snapshot_id for copy in saga.state.recovery_point] == [snapshot_of(disk) for disk in DISKS]
    assert saga.state.ended_at == saga.now
    assert saga.state.generation == 1


def test_the_common_path_wants_each_thing_done_once_and_in_this_order() -> None:
    saga = completing().take(copied(), Cleaned())

    kinds = [ReadFacts, StartAgent, SendCommand, Capture, SendCommand, CheckCopies, Clean, RecordEnd]
    assert [type(effect) for effect in saga.effects] == kinds
    assert [order.order.kind for order in saga.done(SendCommand)] == ["quiesce", "resume"]
    assert not saga.done(Watch), "the watch that was sent before the start is enough"


def test_orders_are_numbered_upwards_and_carry_their_generation() -> None:
    saga = completing()
    orders = [saga.done(StartAgent)[0].order, *(effect.order for effect in saga.done(SendCommand))]

    assert [order.kind for order in orders] == ["arm", "quiesce", "resume"]
    assert [order.sequence for order in orders] == [1, 2, 3]
    assert {order.generation for order in orders} == {1}


def test_a_quiesce_order_is_void_once_nobody_waits_for_its_answer() -> None:
    saga = quiescing()
    order = saga.done(SendCommand)[0].order

    assert order.expires_at == saga.state.deadline


def test_a_resume_order_is_valid_longer_than_anything_can_be_held() -> None:
    saga = resuming()
    order = saga.done(SendCommand)[-1].order

    assert order.kind == "resume"
    assert order.expires_at >= saga.now + SCRIPTS.freeze_budget_ms + SCRIPTS.resume_timeout_ms


def test_the_capture_ends_before_the_budget_so_that_the_order_to_resume_comes_in_time() -> None:
    saga = quiescing()
    queued_at = saga.now
    saga.take(quiesced(at=queued_at, report=quiesce_report(budget_left_ms=20_000)), after_ms=400)
    effect = saga.done(Capture)[0]

    assert effect.deadline == queued_at + 20_000 - RESUME_RESERVE_MS
    assert effect.not_before == queued_at
    assert effect.disks == DISKS
    assert saga.state.deadline == effect.deadline + GRACE_MS


@pytest.mark.parametrize("claimed_ms", [30_001, 10**15])
def test_a_guest_that_claims_more_budget_than_it_was_given_is_not_believed(claimed_ms: int) -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now, report=quiesce_report(budget_left_ms=claimed_ms)))

    assert saga.done(Capture)[0].deadline <= saga.now + SCRIPTS.freeze_budget_ms - RESUME_RESERVE_MS


def test_a_queue_clock_that_runs_ahead_does_not_prolong_the_capture() -> None:
    saga = quiescing()
    saga.take(quiesced(at=saga.now + 3_600_000))

    assert saga.done(Capture)[0].deadline <= saga.now + SCRIPTS.freeze_budget_ms
    assert saga.done(Capture)[0].not_before == saga.now


def test_the_order_to_resume_follows_the_last_snapshot_without_any_wait() -> None:
    saga = capturing().take(captured())

    assert saga.state.phase is Phase.RESUMING
    assert [type(effect) for effect in saga.last.effects] == [SendCommand]
    assert saga.state.evidence is not None
    assert saga.state.evidence.resume_ordered_at == saga.now


@pytest.mark.parametrize("power_state", ["deallocated", "stopped", "starting", "unknown"])
def test_a_vm_that_is_not_running_is_snapshotted_without_a_guest_and_says_so(power_state: str) -> None:
    saga = Saga().take(Started(), FactsRead(facts(power_state=power_state)))
    saga.take(captured()).take(copied(), Cleaned())

    assert not saga.done(StartAgent)
    assert not saga.done(SendCommand)
    assert saga.state.outcome is Outcome.SUCCEEDED
    assert saga.state.grade is Grade.CRASH
    assert any(power_state in reason for reason in saga.state.reasons)


def test_with_guest_processing_off_the_guest_is_left_alone_and_the_grade_is_crash() -> None:
    saga = Saga(guest(enabled=False)).take(Started(), FactsRead(facts()), captured(), copied(), Cleaned())

    assert not saga.done(StartAgent)
    assert saga.state.outcome is Outcome.SUCCEEDED
    assert saga.state.grade is Grade.CRASH
    assert "guest processing is off" in saga.state.reasons


def test_filesystems_alone_are_enough_when_no_application_is_asked_to_hold_still() -> None:
    processing = guest(scripts=False)
    saga = quiescing(processing)
    saga.take(quiesced(at=saga.now, report=quiesce_report(scripts=False)), captured())
    saga.take(resumed())

    assert saga.state.grade is Grade.FILESYSTEM
    assert saga.take(copied(), Cleaned()).state.outcome is Outcome.SUCCEEDED


SCRIPT_ONLY = (Held("script", PRE),)


def test_scripts_without_filesystems_are_crash_consistent_as_asked_and_say_why() -> None:
    saga = quiescing(guest(filesystems=Filesystems.NONE))
    report = quiesce_report(held=SCRIPT_ONLY)
    saga.take(quiesced(at=saga.now, report=report), captured(), resumed())

    assert saga.state.grade is Grade.CRASH
    assert saga.state.outcome is Outcome.SUCCEEDED
    assert any("a script alone" in reason for reason in saga.state.reasons)


def test_scripts_without_filesystems_that_let_go_too_early_are_not_what_was_asked_for() -> None:
    saga = quiescing(guest(filesystems=Filesystems.NONE, attempts=1))
    report = quiesce_report(held=SCRIPT_ONLY)
    saga.take(quiesced(at=saga.now, report=report), captured(), resumed(released_by="dead-man"))

    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.recovery_point == ()


def test_a_filesystem_that_cannot_be_frozen_is_not_tried_again() -> None:
    saga = quiescing()
    left = (NotHeld("filesystem", "/data", "not_supported"),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=left)), captured(), resumed())

    assert saga.state.generation == 1
    assert saga.state.outcome is Outcome.FAILED


def test_a_guest_that_failed_to_quiesce_and_to_let_go_is_ordered_to_resume() -> None:
    saga = quiescing()
    saga.take(replace(quiesce_failed(), released=False))

    assert saga.state.phase is Phase.RESUMING
    assert not saga.state.guest_released
    assert saga.done(SendCommand)[-1].order.kind == RESUME


def test_a_failed_post_script_is_never_hidden() -> None:
    failed = script_report("/etc/stillframe/post.sh", 7)
    saga = resuming().take(resumed(post_script=failed))

    assert saga.state.outcome is Outcome.DEGRADED
    assert saga.state.grade is Grade.APPLICATION
    assert "generation 1: the post-script /etc/stillframe/post.sh ended with 7" in saga.state.reasons
    assert saga.state.evidence is not None
    assert saga.state.evidence.resumed_at == saga.now
    assert saga.state.trouble is not None
    assert saga.state.trouble.generation == 1


@pytest.mark.parametrize(
    ("timed_out", "words"), [(True, "post.sh ran out of time"), (False, "post.sh ended without an exit code")]
)
def test_a_post_script_that_never_ended_is_told_without_nonsense(*, timed_out: bool, words: str) -> None:
    killed = script_report("/etc/stillframe/post.sh", None, timed_out=timed_out)
    saga = resuming().take(resumed(post_script=killed))

    assert saga.state.outcome is Outcome.DEGRADED
    assert any(reason.endswith(words) for reason in saga.state.reasons)
    assert not any("None" in reason for reason in saga.state.reasons)


# --- preflight ----------------------------------------------------------------------------


def test_an_obstacle_ends_the_saga_before_anything_is_touched() -> None:
    obstacle = "disk db-1-os is still being hydrated"
    saga = Saga().take(Started(), FactsRead(facts(obstacles=(obstacle,))))

    assert saga.state.phase is Phase.CLEANING
    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.reasons == (obstacle,)
    assert not saga.done(StartAgent)
    assert saga.done(Clean)[0].discard == ()


def test_a_vm_without_managed_disks_is_told_so() -> None:
    saga = Saga().take(Started(), FactsRead(facts(disks=())))

    assert saga.state.outcome is Outcome.FAILED
    assert "no managed disk" in saga.state.reasons[-1]


def test_a_vm_that_cannot_be_read_for_now_is_read_again_with_growing_pauses() -> None:
    saga = Saga().take(Started())
    pauses = []
    for _ in range(4):
        saga.take(FactsUnavailable("Throttled", "too many requests", passing=True))
        watch = saga.done(Watch)[-1]
        pauses.append(watch.at - saga.now)
        saga.take(TimePassed(watch.number))
        assert isinstance(saga.last.effects[0], ReadFacts)

    assert pauses == [5_000, 10_000, 20_000, 40_000]
    assert saga.take(FactsRead(facts())).state.phase is Phase.ARMING


def test_a_vm_that_does_not_exist_ends_the_saga_at_once_with_azures_code() -> None:
    saga = Saga().take(Started(), FactsUnavailable("ResourceNotFound", "not found", passing=False))

    assert saga.state.outcome is Outcome.FAILED
    assert "ResourceNotFound" in saga.state.reasons[-1]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("none", "the VM could not be read in time"),
        ("unavailable", "the VM could not be read: too many requests (Throttled)"),
    ],
)
def test_reading_the_vm_is_given_up_at_its_deadline(answer: str, reason: str) -> None:
    saga = Saga().take(Started()).wait_out()
    if answer == "none":
        saga.take(TimePassed(), after_ms=0)
    else:
        saga.take(FactsUnavailable("Throttled", "too many requests", passing=True), after_ms=0)

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons == (reason,)


# --- completing and cleaning --------------------------------------------------------------


def test_a_slow_copy_is_looked_at_with_growing_pauses_until_it_is_whole() -> None:
    saga = completing()
    pauses = []
    for percent in (0.0, 12.5, 60.0, 99.9):
        saga.take(copied(100.0, percent, 100.0))
        watch = saga.done(Watch)[-1]
        pauses.append(watch.at - saga.now)
        assert saga.state.phase is Phase.COMPLETING
        saga.take(TimePassed(watch.number))
        assert isinstance(saga.last.effects[0], CheckCopies)

    assert pauses == sorted(set(pauses))
    assert saga.take(copied()).state.phase is Phase.CLEANING


def test_a_snapshot_that_could_not_be_looked_at_stays_in_the_recovery_point() -> None:
    saga = completing()
    seen = (SnapshotCopy(snapshot_of(DISKS[0]), 100.0),)
    saga.take(CopiesSeen(seen, unreadable="the others: a time-out"))

    assert saga.state.phase is Phase.COMPLETING
    assert {copy.snapshot_id for copy in saga.state.recovery_point} == {snapshot_of(disk) for disk in DISKS}


def test_a_look_that_saw_nothing_at_all_completes_nothing() -> None:
    saga = completing().take(CopiesSeen(()))

    assert saga.state.phase is Phase.COMPLETING


def test_a_copy_that_never_ends_is_kept_and_told() -> None:
    saga = completing().wait_out().take(TimePassed())

    assert saga.state.outcome is Outcome.FAILED
    assert len(saga.done(Clean)[-1].keep) == len(DISKS)
    assert saga.state.grade is Grade.APPLICATION
    assert "did not end in time" in saga.state.reasons[-1]
    assert saga.state.trouble is not None
    assert saga.state.trouble.detail == f"{snapshot_of(DISKS[0]).rpartition('/')[2]} is at 0 %"
    assert any("held everything" in reason for reason in saga.state.reasons), "why it has its grade"


def test_a_lost_snapshot_makes_the_others_worthless() -> None:
    saga = completing().take(CopiesSeen((), lost=(snapshot_of(DISKS[1]),)))

    assert saga.state.outcome is Outcome.FAILED
    assert saga.state.grade is None
    assert saga.done(Clean)[0].keep == ()
    assert set(saga.done(Clean)[0].discard) == {snapshot_of(disk) for disk in DISKS}
    assert "sf-" in saga.state.reasons[-1]


def test_cleaning_is_tried_again_until_nothing_is_left() -> None:
    saga = completing().take(copied(), Cleaned(("snapshot x could not be deleted",)))
    assert saga.state.phase is Phase.CLEANING
    saga.take(TimePassed(saga.done(Watch)[-1].number))
    assert saga.done(Clean)[-1] == saga.done(Clean)[0]

    assert saga.take(Cleaned()).state.phase is Phase.DONE


def test_what_cannot_be_cleaned_for_an_hour_is_recorded() -> None:
    problem = "snapshot x could not be deleted: it is locked (ScopeLocked)"
    saga = completing().take(copied()).wait_out().take(Cleaned((problem,)))

    assert saga.state.phase is Phase.DONE
    assert problem in saga.state.notes


def test_the_end_takes_back_the_first_watch_and_the_run_command() -> None:
    saga = completing().take(copied())
    assert saga.done(Clean)[0].agent_generations == 1
    assert saga.done(RecordEnd) == []  # until then a watch stands

    assert saga.take(Cleaned()).done(RecordEnd)[0].watch_receipt == "receipt-1"


# --- what comes late, twice or astray -----------------------------------------------------


@pytest.mark.parametrize("walk", [arming, quiescing, capturing, resuming, completing])
@pytest.mark.parametrize("generation", [0, 2])
def test_an_ack_of_another_generation_counts_for_nothing(walk: type[Saga], generation: int) -> None:
    saga = walk(SCRIPTS)
    before = saga.state
    for event in (ready(generation), quiesced(generation), captured(generation), resumed(generation)):
        saga.take(event)
        assert "another generation" in saga.last.ignored

    assert saga.state == before


def test_every_event_of_the_common_path_may_come_twice() -> None:
    saga = Saga()
    for event in common_events():
        saga.take(event)
        before = saga.state
        saga.take(event)
        assert saga.last.ignored
        assert not saga.last.effects
        assert saga.state == before


def test_a_late_quiesced_ack_after_the_order_to_resume_starts_no_capture() -> None:
    saga = quiescing().wait_out().take(TimePassed())
    assert saga.state.phase is Phase.RESUMING
    saga.take(quiesced(at=saga.now))

    assert not saga.done(Capture)
    assert saga.state.phase is Phase.RESUMING


def test_the_word_that_a_session_is_over_changes_nothing() -> None:
    saga = capturing()
    before = saga.state

    assert saga.take(Released(1, 9, was_held=False)).state == before


def test_a_dead_man_that_cannot_be_armed_means_that_nothing_is_ever_quiesced() -> None:
    saga = arming().take(AgentReady(1, 1, "boot-1", dead_man_armed=False))

    assert saga.state.outcome is Outcome.FAILED
    assert "quiesce" not in {effect.order.kind for effect in saga.done(SendCommand)}


def test_snapshots_lie_in_the_group_of_their_disk_and_carry_saga_generation_and_slot() -> None:
    names = [snapshot_of(disk) for disk in DISKS]

    assert names[0] == f"{GROUP}/providers/Microsoft.Compute/snapshots/sf-0123456789abcdef0123-g1-os"
    assert [name.rpartition("-")[2] for name in names] == ["os", "0", "1"]
    assert capture_of(DISKS[2], generation=2).snapshot_id.endswith("-g2-1")
