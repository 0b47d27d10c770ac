"""Two or three real sagas and the real group: whatever goes wrong, what is called one instant was one."""

from dataclasses import dataclass, replace
from random import Random

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from shared.policy.concurrency import AdmissionRules
from shared.policy.guest_processing import AgentUse, GuestProcessing, OnGuestFailure
from shared.saga.barriers import shares_instant
from shared.saga.group import GroupRules, OnMemberFailure, TimePassed
from shared.saga.one_instant import share_of, why_not_one_instant
from shared.saga.state import GroupMember, Outcome, Phase
from tests.unit.saga.build import GATE, facts, guest, spec
from tests.unit.saga.faults import FAULTS
from tests.unit.saga.world import CALM_STEPS, Hub, World


@dataclass(slots=True)
class Party:
    """Worlds that share a group and a clock."""

    hub: Hub

    @property
    def worlds(self) -> list[World]:
        return self.hub.worlds

    def meet(self) -> None:
        """Bring all worlds to the same time."""
        now = max(world.now for world in self.worlds)
        for world in self.worlds:
            if world.now < now:
                world.hear_the_gate()
            world.pass_time_to(now)

    def go_on(self, first: int = 0) -> bool:
        """Do the next thing that needs no waiting, in world ``first`` if it can."""
        for turn in range(len(self.worlds)):
            if self.worlds[(first + turn) % len(self.worlds)].go_on():
                self.meet()
                return True
        return False

    def calm_down(self) -> None:
        """No more faults: everything happens, in all worlds, until every saga is done."""
        for step in range(CALM_STEPS):
            if all(world.state.phase is Phase.DONE and not world.outbox for world in self.worlds):
                return
            if not self.go_on(step):
                self._wait()
        raise AssertionError(f"they do not end: {[world.state.phase for world in self.worlds]}")

    def _wait(self) -> None:
        """Wait for the watch, or the sweep, that comes first."""
        dues = []
        for number, world in enumerate(self.worlds):
            if world.state.phase is Phase.DONE:
                continue
            watch = world.watches[0][0] if world.watches else None
            if watch is None or (world.robbed and world.overdue_at and watch > world.overdue_at):
                assert world.robbed, f"no message will ever come while {world.state.phase}"
                dues.append((world.overdue_at or world.now, number, "sweep"))
            else:
                dues.append((watch, number, "watch"))
        at, number, how = min(dues)
        for world in self.worlds:
            world.pass_time_to(max(at, world.now))
        world = self.worlds[number]
        if how == "watch":
            world.watch()
        else:
            world.sweep()
        self.meet()

    def check_end(self) -> None:
        for world in self.worlds:
            world.check_end()
        if self.hub.state.deadline is not None:
            now = max(self.hub.state.deadline, *(world.now for world in self.worlds))
            for _ in range(8):  # one deadline after the other
                self.hub.bring(TimePassed(), now)
                now = max(now, self.hub.state.deadline or 0)
        assert self.hub.state.ended or self.hub.state.deadline is None, "the group never ends"
        self._check_instant()

    def _check_instant(self) -> None:
        proved = {int(saga) for saga in self.hub.state.proved}
        kept = {number for number, world in enumerate(self.worlds) if world.state.standing.proved}
        assert kept <= proved, "a saga takes for proved what the group does not"
        for number in proved:
            state = self.worlds[number].state
            if not state.recovery_point:
                continue
            assert state.evidence is not None
            assert shares_instant(state.evidence)
            for copy in state.recovery_point:
                at_once = self.worlds[number].shots[copy.snapshot_id].with_it
                assert proved <= at_once, f"{proved} are called one instant, held were {set(at_once)}"
        shares = [
            share_of(w.state.evidence) for n, w in enumerate(self.worlds) if n in proved and w.state.evidence
        ]
        assert not proved or not why_not_one_instant(shares)
        for number, world in enumerate(self.worlds):
            if world.state.recovery_point and number not in proved:
                group = world.state.spec.group
                assert group is not None
                assert group.rules.on_member_failure is OnMemberFailure.REST, (
                    "one keeps what all were to share"
                )
                assert world.state.outcome is not Outcome.SUCCEEDED


def party(
    processings: list[GuestProcessing], rules: GroupRules, admission: AdmissionRules | None = None
) -> Party:
    hub = Hub(rules, len(processings))
    member = GroupMember(key="run-1/shop", name="shop", rules=rules)
    for processing in processings:
        resident = processing.agent is AgentUse.RESIDENT
        World(spec(processing, admission=admission, group=member), facts(), resident=resident, hub=hub)
    return Party(hub)


@st.composite
def processings(draw: st.DrawFn) -> GuestProcessing:
    budget = draw(st.sampled_from([5_000, 20_000, 30_000]))
    return replace(
        guest(
            scripts=draw(st.booleans()),
            on_guest_failure=draw(st.sampled_from(OnGuestFailure)),
            attempts=draw(st.integers(1, 3)),
            enabled=draw(st.sampled_from([True, True, True, True, False])),
        ),
        agent=draw(st.sampled_from(AgentUse)),
        freeze_budget_ms=budget,
        quiesce_timeout_ms=draw(st.integers(500, budget)),
        arming_timeout_ms=30_000,
    )


RULES = st.builds(
    GroupRules,
    on_member_failure=st.sampled_from(OnMemberFailure),
    armed_timeout_ms=st.sampled_from([20_000, 600_000]),
    held_timeout_ms=st.sampled_from([2_000, 15_000]),
    proved_timeout_ms=st.sampled_from([20_000, 600_000]),
)

#: How far a member goes on at most until a fault means something to it.
MORE_STEPS = 12

#: Each fault with the world in which it happens, and the number of undisturbed steps before it.
PLANS = st.lists(
    st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 2), st.integers(0, 40)), max_size=8
)


@given(
    members=st.lists(processings(), min_size=2, max_size=3),
    rules=RULES,
    admission=st.sampled_from([None, GATE]),
    plan=PLANS,
    turns=st.randoms(use_true_random=False),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_goes_wrong_a_group_and_its_sagas_end_and_one_instant_was_one(
    members: list[GuestProcessing],
    rules: GroupRules,
    admission: AdmissionRules | None,
    plan: list[tuple[str, int, int]],
    turns: Random,
) -> None:
    together = party(members, rules, admission)
    for name, where, steps in plan:
        for _ in range(steps):
            together.go_on(turns.randrange(len(members)))
        world = together.worlds[where % len(members)]
        for _ in range(MORE_STEPS):  # many faults mean something for a moment only
            if FAULTS[name].possible(world) or not together.go_on(where):
                break
        if FAULTS[name].possible(world):
            FAULTS[name].happen(world)
            world.check()
            together.meet()
    together.calm_down()
    together.check_end()
    told = "broken" if together.hub.state.broken else f"{len(together.hub.state.proved)} of one instant"
    event(f"{rules.on_member_failure}: {told} of {len(members)} in attempt {together.hub.state.attempt}")
