"""Every fault, and every two faults in a row, at every step of the common path: no chance involved."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from shared.policy.concurrency import AdmissionRules
from shared.policy.guest_processing import AgentUse, GuestProcessing, OnGuestFailure
from shared.policy.snapshots import RecoveryPointKind
from shared.saga.state import GroupMember, Phase
from tests.unit.saga.build import GATE, GROUPED, facts, guest, spec
from tests.unit.saga.faults import FAULTS, Fault
from tests.unit.saga.world import World


@dataclass(frozen=True, slots=True)
class Scene:
    """What is asked for, and of which VM."""

    processing: GuestProcessing
    kind: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS
    os_type: str = "Linux"
    admission: AdmissionRules | None = None
    group: GroupMember | None = None


SCENES = {
    "resident": Scene(replace(guest(attempts=2), agent=AgentUse.RESIDENT)),
    "strict": Scene(guest(attempts=2)),
    "behind the gate": Scene(guest(attempts=2), admission=GATE),
    "of a group": Scene(guest(attempts=2), group=GROUPED),
    "lenient": Scene(
        replace(
            guest(scripts=False, attempts=1, on_guest_failure=OnGuestFailure.CONTINUE),
            resume_timeout_ms=1_000,
            freeze_budget_ms=40_000,
        )
    ),
    "restore point in our own freeze": Scene(
        guest(attempts=1, on_guest_failure=OnGuestFailure.CONTINUE), RecoveryPointKind.RESTORE_POINT
    ),
    "restore point left to the platform": Scene(
        guest(scripts=False), RecoveryPointKind.RESTORE_POINT, "Windows"
    ),
}


def after_steps(scene: Scene, steps: int) -> World:
    resident = scene.processing.agent is AgentUse.RESIDENT
    world = World(
        spec(scene.processing, scene.kind, scene.admission, scene.group),
        facts(os_type=scene.os_type),
        resident=resident,
    )
    for _ in range(steps):
        world.go_on()
    return world


def common_steps(scene: Scene) -> int:
    """Count the steps in which a saga without any trouble is done."""
    world, steps = after_steps(scene, 0), 0
    while world.go_on():
        steps += 1
    assert world.state.phase is Phase.DONE
    return steps


def beginnings(scene: Scene) -> Iterator[tuple[int, str, Fault]]:
    """Give every first fault that is possible, with the step before which it happens."""
    for steps in range(common_steps(scene) + 1):
        world = after_steps(scene, steps)
        yield from ((steps, name, fault) for name, fault in FAULTS.items() if fault.possible(world))


def two_faults(scene: Scene, steps: int, first: Fault, between: int, second: Fault) -> bool:
    """Have two faults happen and look at what is left; False when the second is not possible there."""
    world = after_steps(scene, steps)
    first.happen(world)
    for _ in range(between):
        world.go_on()
    if not second.possible(world):
        return False
    second.happen(world)
    world.calm_down()
    world.check_end()
    return True


@pytest.mark.timeout(900)  # thousands of sagas; the machine may be a busy one
@pytest.mark.parametrize(
    ("name", "between", "at_least"),
    [
        *((name, between, 2_000) for name in ("strict", "lenient") for between in (0, 1, 3)),
        ("resident", 1, 2_000),
        ("behind the gate", 0, 2_000),
        ("behind the gate", 1, 2_000),
        ("of a group", 1, 2_000),
        ("restore point in our own freeze", 1, 2_000),
        ("restore point left to the platform", 0, 500),
        ("restore point left to the platform", 1, 500),
    ],
)
def test_after_any_two_faults_the_saga_ends_with_nothing_held_nothing_orphaned_and_no_false_grade(
    name: str, between: int, at_least: int
) -> None:
    tried = 0
    for steps, first, fault in beginnings(SCENES[name]):
        for second, other in FAULTS.items():
            try:
                tried += two_faults(SCENES[name], steps, fault, between, other)
            except AssertionError as error:
                told = f"after {steps} steps {first}; {between} steps later {second}"
                raise AssertionError(f"{told}: {error}") from error

    assert tried > at_least
