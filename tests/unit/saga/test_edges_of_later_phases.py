"""What the gate, rehearsals and copies say and do at the edge of a rule: the very number, the very words."""

from dataclasses import replace

import pytest

from shared.policy.snapshots import RecoveryPointKind
from shared.saga.causes import Cause, Limit
from shared.saga.effects import CopySnapshots, Watch
from shared.saga.events import Admitted, Cleaned, FactsRead, MustWait, Poisoned, Started, TimePassed
from shared.saga.evidence import Held, NotHeld
from shared.saga.phases import FIRST_PAUSE_MS, first_watch_ms
from shared.saga.rehearsing import as_if_captured, best_verdict, left_for_snapshots_ms, what_was_held
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import (
    SAGA,
    T0,
    admitting,
    copied,
    copying,
    facts,
    guest,
    held_things,
    quiesce_report,
    quiesced,
    ready,
    resume_report,
    resumed,
    resuming,
    whole_evidence,
)
from tests.unit.saga.test_copying import done, half, seen
from tests.unit.saga.test_saga_rehearsals import rehearsal


def test_the_end_of_a_wait_for_admission_repeats_what_was_waited_for() -> None:
    saga = admitting().take(MustWait(1, T0 + 20_000, Limit.HELD, "2 are held already"))
    saga.wait_out().take(TimePassed(saga.state.watch_number))

    assert saga.state.reasons == ("it was not admitted to be held in time: 2 are held already",)
    assert saga.state.trouble is not None
    assert (saga.state.trouble.cause, saga.state.trouble.code) == (Cause.NOT_ADMITTED, Limit.HELD)


def test_a_wait_for_admission_that_nobody_answered_says_so() -> None:
    saga = admitting()
    saga.wait_out().take(TimePassed(saga.state.watch_number))

    assert saga.state.reasons == ("it was not admitted to be held in time: nobody said why",)
    assert saga.state.trouble is not None
    assert (saga.state.trouble.cause, saga.state.trouble.code) == (Cause.NOT_ADMITTED, "")


def test_a_saga_whose_watch_brought_it_to_the_gate_is_watched_again_when_it_is_admitted() -> None:
    saga = admitting().take(TimePassed(1)).take(Admitted(1))

    assert saga.state.phase is Phase.QUIESCING
    [watch] = [each for each in saga.last.effects if isinstance(each, Watch)]
    assert watch.at == saga.now + first_watch_ms(saga.state.spec)


def test_a_rehearsal_of_less_than_was_asked_for_says_how_much_there_would_be_and_all_reasons() -> None:
    saga = rehearsal(guest(attempts=1)).take(Started(""), FactsRead(facts()), ready())
    missing = (NotHeld("filesystem", "/data", "freeze_error"), NotHeld("filesystem", "/log", "freeze_error"))
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=missing)), resumed(), Cleaned())

    assert saga.state.outcome is Outcome.FAILED
    [reason] = [each for each in saga.state.reasons if each.startswith("a recovery point would be")]
    assert reason.startswith("a recovery point would be only crash consistent: ")
    assert len(reason.split("; ")) >= 2


def test_a_rehearsal_keeps_its_own_evidence_and_not_the_imagined_snapshots() -> None:
    saga = rehearsal(guest(attempts=1)).take(Started(""), FactsRead(facts()), ready())
    missing = (NotHeld("filesystem", "/data", "freeze_error"),)
    saga.take(quiesced(at=saga.now, report=quiesce_report(not_held=missing)), resumed(), Cleaned())

    assert saga.state.evidence is not None
    assert saga.state.evidence.captures == ()


def test_an_imagined_snapshot_has_no_name_and_lies_at_the_order_to_resume() -> None:
    evidence = replace(whole_evidence(), captures=())
    imagined = as_if_captured(evidence)

    assert [each.snapshot_id for each in imagined.captures] == [""] * len(evidence.disks)
    assert {(each.put_sent_at, each.time_created, each.succeeded_seen_at) for each in imagined.captures} == {
        (evidence.resume_ordered_at,) * 3
    }


@pytest.mark.parametrize("kind", RecoveryPointKind)
@pytest.mark.parametrize("frozen", [True, False])
def test_azures_word_decides_only_of_a_restore_point_whose_filesystems_nobody_else_freezes(
    kind: RecoveryPointKind, *, frozen: bool
) -> None:
    word = "Azure's word decides how consistent a restore point is, and only a real one has it"
    saga = rehearsal(guest(attempts=1), kind).take(Started(""), FactsRead(facts()), ready())
    scripts = tuple(each for each in held_things() if each.kind == "script")
    report = quiesce_report() if frozen else replace(quiesce_report(), held=scripts)
    saga.take(quiesced(at=saga.now, report=report), resumed())

    assert (word in best_verdict(saga.state).reasons) is (
        kind is RecoveryPointKind.RESTORE_POINT and not frozen
    )


def test_no_time_is_left_for_snapshots_where_the_reserve_takes_it_all() -> None:
    evidence = replace(whole_evidence(), quiesced=quiesce_report(budget_left_ms=5))

    assert left_for_snapshots_ms(evidence) == 0


def test_what_a_script_stopped_was_not_held_for_less_than_no_time_and_without_a_script_nobody_knows() -> None:
    evidence = whole_evidence()
    assert evidence.quiesced is not None
    assert evidence.quiesced.script is not None
    by_script = Held("script", "pre")
    took = evidence.quiesced.script.duration_ms
    quick = replace(
        evidence,
        quiesced=replace(evidence.quiesced, held=(by_script,)),
        resumed=replace(resume_report(), window_ms=took, script=None),
    )
    [found] = what_was_held(quick)
    assert (found.took_ms, found.held_ms) == (took, 0)

    longer = replace(quick, resumed=replace(resume_report(), window_ms=took + 70, script=None))
    assert [each.held_ms for each in what_was_held(longer)] == [70]

    assert quick.quiesced is not None
    silent = replace(quick, quiesced=replace(quick.quiesced, script=None))
    assert [(each.took_ms, each.held_ms) for each in what_was_held(silent)] == [(None, None)]


def test_a_rehearsal_without_a_guest_to_hold_says_why_in_its_notes_too() -> None:
    saga = rehearsal(guest(enabled=False)).take(Started(""), FactsRead(facts()))

    assert saga.state.outcome is Outcome.REHEARSED
    assert saga.state.notes
    assert saga.state.notes == saga.state.reasons


def test_copies_that_nobody_could_follow_say_which_message_failed() -> None:
    saga = seen(copying(), half).take(Poisoned("the queue's message cannot be read"))

    [first, *_] = saga.state.warnings
    assert first.code == "copy_abandoned"
    assert first.detail == "a message could not be processed: the queue's message cannot be read"


def test_a_copy_that_is_late_says_how_far_it_is_and_is_warned_of_by_name_code_and_detail() -> None:
    saga = seen(copying(), half)
    saga.wait_out().take(TimePassed(saga.state.watch_number))

    [first, *_] = saga.state.warnings
    assert (first.kind, first.name) == ("copy", f"sf-northeurope-{SAGA}-g1-os")
    assert (first.code, first.detail) == ("copy_late", "it is at 50 %")


def test_the_pauses_between_looks_begin_anew_with_the_next_region() -> None:
    saga = copying()
    for _ in range(4):
        seen(saga, half)
        saga.take(TimePassed(saga.state.watch_number))
    seen(saga, done)

    assert saga.done(CopySnapshots)[-1].copies[0].region == "swedencentral"
    seen(saga, half)
    assert saga.done(Watch)[-1].at == saga.now + FIRST_PAUSE_MS


def test_copies_are_named_by_the_template_of_their_snapshots() -> None:
    saga = resuming()
    assert saga.state.spec.snapshots.copy_to == ()
    with_copies = copying().state.spec.snapshots.copy_to
    named = replace(saga.state.spec.snapshots, name="%vmName%-%diskName%", copy_to=with_copies)
    saga.state = replace(saga.state, spec=replace(saga.state.spec, snapshots=named))
    saga.take(resumed(), copied())

    names = [copy.snapshot_id.rpartition("/")[2] for copy in saga.state.copies]
    assert names[0].startswith("db-1-db-1-os-")
    assert names[1].startswith("db-1-db-1-data-0-")
