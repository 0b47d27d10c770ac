"""Every fault, and every two faults in a row, at every step of the common path: no chance involved."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.policy.guest_processing import GuestProcessing, OnGuestFailure
from shared.saga.state import Phase
from tests.unit.saga.build import facts, guest, spec
from tests.unit.saga.faults import FAULTS, Fault
from tests.unit.saga.world import World

POLICIES = {
    "strict": guest(attempts=2),
    "lenient": replace(
        guest(scripts=False, attempts=1, on_guest_failure=OnGuestFailure.CONTINUE),
        resume_timeout_ms=1_000,
        freeze_budget_ms=40_000,
    ),
}


def after_steps(processing: GuestProcessing, steps: int) -> World:
    world = World(spec(processing), facts())
    for _ in range(steps):
        world.go_on()
    return world


def common_steps(processing: GuestProcessing) -> int:
    """Count the steps in which a saga without any trouble is done."""
    world, steps = after_steps(processing, 0), 0
    while world.go_on():
        steps += 1
    assert world.state.phase is Phase.DONE
    return steps


def beginnings(processing: GuestProcessing) -> Iterator[tuple[int, str, Fault]]:
    """Give every first fault that is possible, with the step before which it happens."""
    for steps in range(common_steps(processing) + 1):
        world = after_steps(processing, steps)
        yield from ((steps, name, fault) for name, fault in FAULTS.items() if fault.possible(world))


def two_faults(processing: GuestProcessing, steps: int, first: Fault, between: int, second: Fault) -> bool:
    """Have two faults happen and look at what is left; False when the second is not possible there."""
    world = after_steps(processing, steps)
    first.happen(world)
    for _ in range(between):
        world.go_on()
    if not second.possible(world):
        return False
    second.happen(world)
    world.calm_down()
    world.check_end()
    return True


@pytest.mark.parametrize("between", [0, 1, 3])
@pytest.mark.parametrize("policy", POLICIES)
def test_after_any_two_faults_the_saga_ends_with_nothing_held_nothing_orphaned_and_no_false_grade(
    policy: str, between: int
) -> None:
    tried = 0
    for steps, first, fault in beginnings(POLICIES[policy]):
        for second, other in FAULTS.items():
            try:
                tried += two_faults(POLICIES[policy], steps, fault, between, other)
            except AssertionError as error:
                told = f"after {steps} steps {first}; {between} steps later {second}"
                raise AssertionError(f"{told}: {error}") from error

    assert tried > 2_000
