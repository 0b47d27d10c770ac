"""Whatever happens in whatever order, the machine has an answer, and the same event twice decides once."""

from dataclasses import replace
from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.policy.guest_processing import GuestProcessing, OnGuestFailure
from shared.saga.consistency import Grade
from shared.saga.effects import Watch
from shared.saga.events import (
    BarrierOpened,
    CopiesSeen,
    Event,
    FactsRead,
    GroupBroke,
    Started,
    TimePassed,
)
from shared.saga.facts import VmFacts
from shared.saga.group import Barrier, GroupRules, OnMemberFailure
from shared.saga.machine import advance
from shared.saga.phases import pending
from shared.saga.state import GroupMember, Outcome, Phase, SagaState, SnapshotCopy
from tests.unit.saga import strategies
from tests.unit.saga.build import (
    DISKS,
    GROUPED,
    T0,
    captured,
    facts,
    guest,
    quiesce_failed,
    quiesced,
    ready,
    resumed,
    snapshot_of,
    spec,
)

VMS = st.sampled_from([facts(), facts(power_state="stopped"), facts(disks=()), facts(disks=DISKS[:1])])
GENERATION = st.integers(0, 4)
PROCESSINGS = st.builds(
    guest,
    scripts=st.booleans(),
    on_guest_failure=st.sampled_from(OnGuestFailure),
    attempts=st.integers(0, 3),
    enabled=st.booleans(),
)

#: A VM by itself, and of a group with each of its rules.
GROUPS = st.sampled_from(
    [
        None,
        GROUPED,
        replace(GROUPED, rules=GroupRules(on_member_failure=OnMemberFailure.REST)),
    ]
)

#: What a guest says is arbitrary within its types; what Azure says of a VM is a VM.
CHOSEN = {**strategies.PLAIN, VmFacts: VMS}

#: The fields that say what was decided; the others count looks and tries.
DECISIONS = (
    "phase",
    "generation",
    "sequence",
    "guest_released",
    "capture_ended",
    "ending",
    "grade",
    "outcome",
    "recovery_point",
    "discard",
    "evidence",
    "reasons",
    "standing",
)


@st.composite
def any_events(draw: st.DrawFn) -> Any:
    event: Any = draw(st.one_of([strategies.of(kind, CHOSEN) for kind in get_args(Event)]))
    return replace(event, generation=draw(GENERATION)) if hasattr(event, "generation") else event


@st.composite
def likely_events(draw: st.DrawFn) -> Event:
    generation = draw(GENERATION)
    likely: list[Event] = [
        Started("receipt"),
        FactsRead(facts()),
        ready(generation),
        quiesced(generation, at=draw(st.integers(T0, T0 + 10_000))),
        quiesce_failed(generation, draw(st.sampled_from(["already_frozen", "script_failed"]))),
        captured(generation, errors=("", draw(st.sampled_from(["", "Conflict"])), "")),
        resumed(generation, released_by=draw(st.sampled_from(["order", "dead-man"]))),
        CopiesSeen(tuple(SnapshotCopy(snapshot_of(disk, generation), 100.0) for disk in DISKS)),
        BarrierOpened(generation, draw(st.sampled_from(Barrier))),
        GroupBroke(generation, "another one failed", again=draw(st.booleans())),
        TimePassed(),
    ]
    return draw(st.sampled_from(likely))


STEPS = st.lists(
    st.tuples(likely_events() | any_events(), st.sampled_from([0, 1, 500, 30_000, 4_000_000])), max_size=25
)
WALKS = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def decisions(state: SagaState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in DECISIONS}


@given(processing=PROCESSINGS, group=GROUPS, steps=STEPS)
@WALKS
def test_every_event_has_an_answer_in_every_state_that_can_be_reached(
    processing: GuestProcessing, group: GroupMember | None, steps: list[tuple[Event, int]]
) -> None:
    state, now = pending(spec(processing, group=group), T0), T0
    for event, later in steps:
        now += later
        transition = advance(state, event, now)
        after = transition.state
        if transition.ignored:
            assert after == state
            assert not transition.effects
        if state.phase is Phase.DONE:
            assert transition.ignored
        assert after.generation >= state.generation
        assert after.sequence >= state.sequence
        assert after.watch_number >= state.watch_number
        assert set(after.discard) >= set(state.discard), "what is to be deleted is never forgotten"
        if state.phase is Phase.CLEANING:
            kept = ("outcome", "grade", "reasons", "recovery_point", "discard")
            assert all(getattr(after, name) == getattr(state, name) for name in kept), "decided is decided"
        watches = [effect.number for effect in transition.effects if isinstance(effect, Watch)]
        assert watches in ([], [after.watch_number]), "only the newest watch counts"
        state = after
    check_what_is_kept(state)


def check_what_is_kept(state: SagaState) -> None:
    """What is kept has a grade and says why, and is never called better than it was asked to be."""
    if state.recovery_point:
        assert state.grade is not None
        assert state.reasons
    if state.grade is Grade.APPLICATION:
        assert state.spec.guest.enabled
    if state.outcome in (Outcome.SUCCEEDED, Outcome.DEGRADED):
        assert state.grade is not None


@given(processing=PROCESSINGS, group=GROUPS, steps=STEPS)
@WALKS
def test_the_same_event_twice_decides_what_it_decides_once(
    processing: GuestProcessing, group: GroupMember | None, steps: list[tuple[Event, int]]
) -> None:
    state, now = pending(spec(processing, group=group), T0), T0
    for event, later in steps:
        now += later
        once = advance(state, event, now).state
        twice = advance(once, event, now).state
        assert decisions(twice) == decisions(once)
        state = once
