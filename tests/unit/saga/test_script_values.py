"""Preflight settles what holds for this VM: layers by its system and tags, and whether its scripts fit."""

from dataclasses import replace

from shared.policy.guest_processing import GuestProcessing, Script
from shared.policy.layers import Changes, Layer
from shared.saga.events import FactsRead, Started
from shared.saga.machine import advance
from shared.saga.phases import pending
from shared.saga.state import Phase, SagaState
from tests.unit.saga import build

LAYERS = (
    Layer(os="windows", changes=Changes(attempts=5)),
    Layer(os="linux", changes=Changes(attempts=3)),
    Layer(tags=(("Role", "db"),), changes=Changes(enabled=False)),
)


def after_preflight(
    spec_layers: tuple[Layer, ...], base: GuestProcessing = build.SCRIPTS, **facts: object
) -> SagaState:
    spec = replace(build.spec(base), layers=spec_layers)
    state = advance(pending(spec, 0), Started(), 0).state
    return advance(state, FactsRead(replace(build.facts(), **facts)), 1).state  # type: ignore[arg-type]


def test_the_layers_that_fit_the_vm_are_put_on_once_it_is_read() -> None:
    state = after_preflight(LAYERS)

    assert (state.phase, state.spec.guest.attempts, state.spec.layers) == (Phase.ARMING, 3, ())


def test_the_tags_of_the_vm_decide() -> None:
    state = after_preflight(LAYERS, tags=(("role", "db"),))

    assert state.phase is Phase.CAPTURING
    assert "guest processing is off" in state.notes


def test_a_script_whose_values_do_not_fit_its_command_ends_the_saga_before_anything_is_touched() -> None:
    script = Script("/pre", ("%diskNames%",) * 64)
    disks = tuple(replace(build.disk(number), name="d" * 80) for number in range(64))
    changes = Layer(changes=Changes(pre_script=script))

    state = after_preflight((changes,), disks=disks)

    assert state.phase is Phase.CLEANING
    assert any("pre_script comes to" in reason for reason in state.reasons)


def test_a_saga_without_scripts_needs_no_room_for_them() -> None:
    spec = build.spec(GuestProcessing())
    state = advance(pending(spec, 0), Started(), 0).state

    assert advance(state, FactsRead(build.facts()), 1).state.phase is Phase.ARMING


def test_a_post_script_that_is_too_large_is_named_although_there_is_no_pre_script() -> None:
    disks = tuple(replace(build.disk(number), name="d" * 80) for number in range(64))
    changes = Layer(changes=Changes(post_script=Script("/post", ("%diskNames%",) * 64)))

    state = after_preflight((changes,), GuestProcessing(), disks=disks)

    assert any("post_script comes to" in reason for reason in state.reasons)
