"""An adversary with many faults and any policy: hypothesis chooses what goes wrong, and when."""

from dataclasses import replace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from shared.policy.concurrency import AdmissionRules
from shared.policy.guest_processing import (
    AgentInstall,
    AgentUse,
    ApplicationAware,
    GuestProcessing,
    OnGuestFailure,
)
from shared.policy.snapshots import RecoveryPointKind
from shared.saga.consistency import Grade
from shared.saga.state import Outcome, SagaState
from tests.unit.saga.build import GATE, facts, guest, spec
from tests.unit.saga.faults import FAULTS
from tests.unit.saga.world import World

SECONDS = st.integers(1, 60).map(lambda seconds: seconds * 1_000)


@st.composite
def processings(draw: st.DrawFn) -> GuestProcessing:
    budget = draw(SECONDS)
    return replace(
        guest(
            scripts=draw(st.booleans()),
            on_guest_failure=draw(st.sampled_from(OnGuestFailure)),
            attempts=draw(st.integers(1, 3)),
            enabled=draw(st.sampled_from([True, True, True, False])),
        ),
        application_aware=draw(st.sampled_from([None, None, *ApplicationAware])),
        agent=draw(st.sampled_from(AgentUse)),
        agent_install=draw(st.sampled_from(AgentInstall)),
        freeze_budget_ms=budget,
        quiesce_timeout_ms=draw(st.integers(500, budget)),
        arming_timeout_ms=5_000 + draw(SECONDS),
        resume_timeout_ms=draw(SECONDS),
    )


#: Each fault with the number of undisturbed steps before it; the first may lie anywhere on the path.
PLANS = st.tuples(
    st.integers(0, 24),
    st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 5)), min_size=1, max_size=12),
)


#: Whether an agent lives in the guest and its version; and whether the app believes that one does.
RESIDENTS = st.tuples(st.booleans(), st.sampled_from(["0.1.0", "0.1.0", "0.0.9", "1.0.0"]), st.booleans())


@given(
    processing=processings(),
    resident=RESIDENTS,
    running=st.sampled_from([True, True, True, False]),
    kind=st.sampled_from(RecoveryPointKind),
    admission=st.sampled_from([None, GATE]),
    os_type=st.sampled_from(["Linux", "Linux", "Windows"]),
    plan=PLANS,
)
@settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_goes_wrong_the_saga_ends_with_nothing_held_nothing_orphaned_and_no_false_grade(
    *,
    processing: GuestProcessing,
    resident: tuple[bool, str, bool],
    running: bool,
    kind: RecoveryPointKind,
    admission: AdmissionRules | None,
    os_type: str,
    plan: tuple[int, list[tuple[str, int]]],
) -> None:
    steps, faults = plan
    power_state = "running" if running else "deallocated"
    there, version, believed = resident
    vm = replace(facts(power_state=power_state, os_type=os_type), resident_agent=believed)
    world = World(spec(processing, kind, admission), vm, resident=there)
    world.guest.version = version
    for name, pause in faults:
        for _ in range(steps):
            world.go_on()
        if FAULTS[name].possible(world):
            FAULTS[name].happen(world)
            world.check()
        steps = pause
    world.calm_down()
    world.check_end()

    one = kind is RecoveryPointKind.RESTORE_POINT
    check_outcome(world.state, kept=1 if one else len(world.vm.disks))
    event(f"{world.state.outcome}, grade {world.state.grade}, generation {world.state.generation}")


def check_outcome(state: SagaState, *, kept: int) -> None:
    """What the outcome says is what is there."""
    assert state.outcome is not Outcome.CANCELLED or not state.recovery_point
    if state.outcome in (Outcome.SUCCEEDED, Outcome.DEGRADED):
        assert len(state.recovery_point) == kept
    if state.spec.guest.application_required and state.recovery_point:
        assert state.grade is Grade.APPLICATION, "what is required is kept, and nothing less"
    strict = state.spec.guest.on_guest_failure is OnGuestFailure.FAIL
    if strict and state.sequence and state.outcome is not Outcome.FAILED:
        asked = Grade.APPLICATION if state.spec.guest.quiesces_applications else Grade.FILESYSTEM
        assert state.grade is None or state.grade.at_least(asked), "a strict policy keeps nothing less"
