"""The real machine in a world that loses, doubles, delays and reorders everything, driven by hypothesis."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.policy.guest_processing import GuestProcessing, OnGuestFailure
from shared.saga.decide import PASSING_REASONS
from shared.saga.events import CancelRequested, Poisoned
from shared.saga.state import Outcome, Phase
from tests.unit.saga.build import facts, guest, spec
from tests.unit.saga.world import Job, World

REASONS = st.sampled_from([*sorted(PASSING_REASONS), "script_failed", "freeze_error", "nothing_to_hold"])
LUCK = st.sampled_from([0, 0, 0, 1, 2, 3])
SECONDS = st.integers(1, 60).map(lambda seconds: seconds * 1_000)
PLACE = st.integers(0, 9)


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
        freeze_budget_ms=budget,
        quiesce_timeout_ms=draw(st.integers(500, budget)),
        arming_timeout_ms=draw(SECONDS),
        resume_timeout_ms=draw(SECONDS),
    )


def when(condition: Callable[[World], Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Allow a move only where it means something."""
    return precondition(lambda adversary: bool(condition(adversary.world)))


class Adversary(RuleBasedStateMachine):
    """Chooses what happens next; calms down at the end and looks at what is left."""

    world: World
    endable: frozenset[Phase]

    @initialize(
        processing=processings(),
        running=st.sampled_from([True, True, True, True, False]),
        endable=st.frozensets(st.sampled_from(Phase), max_size=2),
        head_start=st.sampled_from([0, 4, 6, 9]),
    )
    def begin(
        self,
        *,
        processing: GuestProcessing,
        running: bool,
        endable: frozenset[Phase],
        head_start: int,
    ) -> None:
        self.world = World(spec(processing), facts(power_state="running" if running else "deallocated"))
        self.endable = endable
        self.go_on(head_start)

    # --- what the app does ---------------------------------------------------------------

    @when(lambda world: world.outbox)
    @rule(place=PLACE, again=st.booleans(), luck=LUCK)
    def carry_out(self, *, place: int, again: bool, luck: int) -> None:
        self.world.carry_out(place % len(self.world.outbox), again=again, luck=luck)

    @when(lambda world: world.inbox)
    @rule(place=PLACE, again=st.booleans())
    def deliver(self, place: int, *, again: bool) -> None:
        self.world.deliver(place % len(self.world.inbox), again=again)

    @rule(steps=st.integers(1, 12))
    def go_on(self, steps: int) -> None:
        """Reach the depths more often than pure chance would."""
        for _ in range(steps):
            self.world.go_on()

    @when(lambda world: world.watches)
    @rule(again=st.booleans())
    def watch(self, *, again: bool) -> None:
        self.world.watch(again=again)

    @when(lambda world: world.state.deadline is not None)
    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @rule(ms=st.sampled_from([1, 300, 1_000, 5_000, 20_000, 60_000, 600_000]))
    def wait(self, ms: int) -> None:
        self.world.pass_time_to(self.world.now + ms)

    @precondition(lambda self: self.world.state.phase in self.endable)
    @rule(ending=st.sampled_from([CancelRequested(), Poisoned("the step message")]))
    def end_early(self, ending: CancelRequested | Poisoned) -> None:
        self.world.take(ending)

    # --- what gets lost ------------------------------------------------------------------

    @when(lambda world: world.outbox)
    @rule(place=PLACE)
    def lose_effect(self, place: int) -> None:
        self.world.lose_effect(place % len(self.world.outbox))

    @when(lambda world: world.inbox)
    @rule(place=PLACE)
    def lose_event(self, place: int) -> None:
        self.world.lose_event(place % len(self.world.inbox))

    @when(lambda world: world.commands)
    @rule(place=PLACE)
    def lose_command(self, place: int) -> None:
        self.world.commands.pop(place % len(self.world.commands))

    @when(lambda world: world.watches)
    @rule()
    def lose_watch(self) -> None:
        self.world.lose_watch()

    # --- what the guest does -------------------------------------------------------------

    @when(lambda world: world.commands)
    @rule(place=PLACE, again=st.booleans())
    def command(self, place: int, *, again: bool) -> None:
        self.world.command(place % len(self.world.commands), again=again)

    @when(lambda world: world.guest.alive and world.guest.hold and not world.guest.hold.complete)
    @rule()
    def guest_holds(self) -> None:
        self.world.inbox.extend(self.world.guest.finish(self.world.now))

    @when(lambda world: world.guest.alive and world.guest.hold and not world.guest.hold.complete)
    @rule(reason=REASONS)
    def guest_fails(self, reason: str) -> None:
        self.world.inbox.extend(self.world.guest.fail(reason))

    @when(lambda world: world.guest.hold)
    @rule(released_by=st.sampled_from(["dead-man", "agent", "restart"]))
    def guest_lets_go(self, released_by: str) -> None:
        self.world.inbox.extend(self.world.guest.dead_man_fires(self.world.now, released_by))

    @when(lambda world: world.guest.hold)
    @rule()
    def somebody_thaws_a_mount(self) -> None:
        hold = self.world.guest.hold
        assert hold is not None
        hold.whole = False

    @when(lambda world: world.guest.alive)
    @rule()
    def kill_agent(self) -> None:
        self.world.guest.kill_agent(self.world.now)

    @when(lambda world: not world.guest.alive and world.agents_started)
    @rule()
    def restart_agent(self) -> None:
        self.world.inbox.extend(self.world.guest.restart_agent())

    @when(lambda world: world.guest.alive)
    @rule()
    def reboot(self) -> None:
        self.world.guest.reboot()

    # --- what Azure does -----------------------------------------------------------------

    @when(lambda world: world.jobs)
    @rule(place=PLACE, count=st.integers(1, 3))
    def take_snapshots(self, place: int, count: int) -> None:
        job = self._job(place)
        for _ in range(count):
            if job in self.world.jobs:
                self.world.take_snapshot(job)

    @when(lambda world: world.jobs)
    @rule(place=PLACE, late=st.booleans())
    def snapshot_fails(self, place: int, *, late: bool) -> None:
        job = self._job(place)
        disk = self.world.disk_to_take(job)
        if disk is not None:
            (job.late if late else job.failed).add(disk.disk_id)

    @when(lambda world: world.jobs)
    @rule(place=PLACE)
    def capture_gives_up(self, place: int) -> None:
        self.world.end_job(self._job(place))

    @when(lambda world: world.jobs)
    @rule(place=PLACE)
    def capture_is_killed(self, place: int) -> None:
        self._job(place).lost = True

    def _job(self, place: int) -> Job:
        return self.world.jobs[place % len(self.world.jobs)]

    # --- and in the end ------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.check()
        self.world.calm_down()
        self.world.check_end()
        self._check_outcome()

    def _check_outcome(self) -> None:
        state = self.world.state
        assert state.phase is Phase.DONE
        if state.outcome is Outcome.CANCELLED:
            assert not state.recovery_point
        if state.outcome in (Outcome.SUCCEEDED, Outcome.DEGRADED):
            assert len(state.recovery_point) == len(self.world.vm.disks)
        strict = state.spec.guest.on_guest_failure is OnGuestFailure.FAIL
        assert not (strict and state.agent_generations and state.outcome is Outcome.DEGRADED) or (
            state.grade is not None and state.grade.value != "crash"
        ), "a strict policy keeps nothing less consistent than asked for"


TestAdversary = Adversary.TestCase
TestAdversary.settings = settings(
    max_examples=300,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
