"""What a saga says and does at the edge of a rule: the very number, the very size, the very words."""

import json
from dataclasses import replace

from shared.policy.guest_processing import GuestProcessing, Script
from shared.saga.causes import Cause
from shared.saga.chain import missing_links
from shared.saga.effects import CheckCopies, Watch
from shared.saga.events import CaptureEnded, CopiesSeen, Started, TimePassed
from shared.saga.evidence import Held, RestorePointReport
from shared.saga.machine import advance
from shared.saga.phases import FIRST_PAUSE_MS, pending
from shared.saga.script_values import LARGEST_EXPANDED, expanded, too_large, values
from shared.saga.state import Outcome, Phase, SagaState, SnapshotCopy, Trouble
from tests.unit.saga.build import (
    DISKS,
    GROUP,
    T0,
    arming,
    capture_of,
    capturing,
    completing,
    facts,
    guest,
    quiescing,
    resumed,
    resuming,
    spec,
)
from tests.unit.saga.test_consistency import holding


def test_watches_are_counted_one_by_one_from_the_first_that_is_sent_before_the_start() -> None:
    started = advance(pending(spec(), T0), TimePassed(1), T0)
    [watch] = [effect for effect in started.effects if isinstance(effect, Watch)]
    later = advance(started.state, TimePassed(watch.number), watch.at)
    [following] = [effect for effect in later.effects if isinstance(effect, Watch)]

    assert (watch.number, following.number) == (2, 3)


def test_a_trouble_has_no_code_subject_or_detail_but_those_that_are_known() -> None:
    saga = arming(guest(attempts=1)).wait_out().take(TimePassed(), after_ms=0)

    assert saga.state.trouble == Trouble(
        cause=Cause.AGENT_SILENT, step=Phase.ARMING, generation=1, code="", subject="", detail=""
    )


def test_a_guest_that_was_released_before_it_held_is_given_up_with_that_reason() -> None:
    saga = quiescing(guest(attempts=1)).take(resumed(released_by="dead-man"))

    assert (saga.state.phase, saga.state.outcome) == (Phase.CLEANING, Outcome.FAILED)
    assert saga.state.reasons == (
        "the guest could not be held: it was released by dead-man before it said that it held",
    )


def test_a_guest_with_an_anchor_went_on_long_before_the_order_and_was_not_paused() -> None:
    evidence = holding(Held("anchor", "vss", mode="anchor"), anchored=True)
    assert evidence.resume_ordered_at is not None
    long_ago = replace(evidence, quiesced_at=evidence.resume_ordered_at - 60_000)

    assert list(missing_links(long_ago)) == []


def test_a_script_may_fill_its_command_to_the_last_byte() -> None:
    def with_argument(length: int) -> SagaState:
        script = Script("/pre", ("x" * length,))
        both = GuestProcessing(pre_script=script, post_script=script)
        return replace(advance(pending(spec(both), T0), Started(), T0).state, facts=facts())

    def size(length: int) -> int:
        state = with_argument(length)
        assert state.spec.guest.pre_script is not None
        full = expanded(state.spec.guest.pre_script, values(state))
        return len(json.dumps([full.path, full.content, full.arguments, dict(full.environment)]))

    room = LARGEST_EXPANDED - size(0)
    assert too_large(with_argument(room)) == ""
    assert str(LARGEST_EXPANDED + 1) in too_large(with_argument(room + 1))


def test_snapshots_that_failed_are_told_by_disk_and_why() -> None:
    ids = [item.disk_id for item in DISKS]
    failed = replace(capture_of(DISKS[0], error="throttled"), detail="it is busy")
    saga = capturing(guest(attempts=1)).take(CaptureEnded(1, (failed, capture_of(DISKS[1]))), resumed())
    names = [disk.rpartition("/")[2] for disk in ids]

    assert saga.state.reasons == (
        f"snapshots failed ({names[0]}: throttled it is busy; {names[2]}: not seen to succeed)",
    )


def test_a_capture_of_which_nothing_was_heard_is_told_as_such() -> None:
    saga = capturing(guest(attempts=1)).take(CaptureEnded(1, ()), resumed())

    assert saga.state.reasons == ("the snapshots were not seen to succeed in time",)


def test_a_restore_point_that_failed_is_told_by_its_name() -> None:
    point = f"{GROUP}/providers/Microsoft.Compute/restorePointCollections/c/restorePoints/p-1"
    failed = tuple(replace(capture_of(disk, error="quota"), detail="all used") for disk in DISKS)
    saga = capturing(guest(attempts=1))
    saga.take(CaptureEnded(1, failed, RestorePointReport(point_id=point, asked="CrashConsistent")), resumed())

    assert saga.state.reasons == ("the restore point p-1 failed: quota all used",)


def test_why_a_grade_is_too_low_is_told_reason_by_reason() -> None:
    saga = resuming(guest(attempts=1)).take(resumed(released_by="dead-man"))

    [why] = saga.state.reasons
    assert why.startswith("only crash consistent: the guest was released by its dead-man, because ")
    assert "was lost; the script /etc/stillframe/pre.sh was not held until the order; " in why


def test_a_copy_is_looked_at_again_after_the_first_pause_and_then_after_twice_that() -> None:
    saga = completing()
    ids = saga.done(CheckCopies)[-1].snapshot_ids
    half = CopiesSeen(tuple(SnapshotCopy(each, 50.0) for each in ids))
    pauses = []
    for _ in range(3):
        [watch] = [effect for effect in saga.take(half).last.effects if isinstance(effect, Watch)]
        pauses.append(watch.at - saga.now)
        saga.take(TimePassed(watch.number), after_ms=watch.at - saga.now)

    assert pauses == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS]
