"""What a saga says and does at the edge of a rule: the very number, the very size, the very words."""

import json
from dataclasses import replace

from shared.policy.guest_processing import GuestProcessing, Script
from shared.saga.causes import Cause
from shared.saga.chain import missing_links
from shared.saga.effects import Watch
from shared.saga.events import Started, TimePassed
from shared.saga.evidence import Held
from shared.saga.machine import advance
from shared.saga.phases import pending
from shared.saga.script_values import LARGEST_EXPANDED, expanded, too_large, values
from shared.saga.state import Outcome, Phase, SagaState, Trouble
from tests.unit.saga.build import T0, arming, facts, guest, quiescing, resumed, spec
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
