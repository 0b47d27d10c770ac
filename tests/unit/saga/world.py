"""A simulated world around the real machine: Azure, a guest, queues, and everything that can go wrong.

Whoever drives it decides what happens next. The world itself keeps only what is certain: the dead-man keeps
the budget, messages that expired are not obeyed, a capture sends nothing after its deadline.
"""

from dataclasses import dataclass, field

from shared.saga.admitting import lease_until
from shared.saga.causes import Cause
from shared.saga.consistency import Grade
from shared.saga.effects import (
    Admit,
    Alert,
    Capture,
    CheckCopies,
    Clean,
    Effect,
    JoinBarrier,
    Leave,
    LeaveGroup,
    Order,
    ReadFacts,
    RecordEnd,
    SendCommand,
    StartAgent,
    TakeRestorePoint,
    Watch,
)
from shared.saga.events import (
    Admitted,
    AgentNotStarted,
    BarrierOpened,
    CaptureEnded,
    Cleaned,
    CopiesSeen,
    Event,
    FactsRead,
    FactsUnavailable,
    GroupBroke,
    MustWait,
    QuiesceFailed,
    Resumed,
    Started,
    TimePassed,
)
from shared.saga.evidence import DiskCapture, RestorePointReport
from shared.saga.facts import DiskFacts, VmFacts
from shared.saga.group import (
    Barrier,
    Break,
    Fell,
    GroupEvent,
    GroupRules,
    Joined,
    Open,
    advance_group,
    new_group,
)
from shared.saga.machine import advance
from shared.saga.names import snapshot_id
from shared.saga.phases import GRACE_MS, first_watch_ms, pending
from shared.saga.problems import problem_of
from shared.saga.state import Outcome, Phase, SagaSpec, SagaState, SagaWarning, SnapshotCopy
from tests.unit.saga.build import SAGA, T0
from tests.unit.saga.guest import Guest, Hold

#: The sweep looks at a saga this long after its deadline.
SWEEP_AFTER_MS = 5_000
CALM_STEPS = 5_000


@dataclass(slots=True)
class Shot:
    """A snapshot that exists. ``hold`` is what was held at its instant, ``with_it`` in which worlds."""

    at: int
    hold: Hold | None
    with_it: frozenset[int] = frozenset()


@dataclass(slots=True)
class Job:
    """An invocation that captures. A disk that is not mentioned in ``failed`` or ``late`` may yet succeed.

    A restore point is taken, fails or comes late as a whole. ``reached`` is what the platform makes of one
    that is left to it.
    """

    effect: Capture | TakeRestorePoint
    reached: str
    failed: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    lost: bool = False


class Hub:
    """The group that worlds share: it hears at once what a saga tells it, and answers into inboxes."""

    def __init__(self, rules: GroupRules, size: int) -> None:
        self.state = new_group(rules, tuple(str(number) for number in range(size)))
        self.worlds: list[World] = []

    def hear(self, number: int, effect: JoinBarrier | LeaveGroup, now: int) -> None:
        """Bring to the group what a member tells it."""
        saga = str(number)
        if isinstance(effect, JoinBarrier):
            self.bring(Joined(saga, effect.generation, effect.barrier, effect.until), now)
        else:
            self.bring(Fell(saga, effect.generation, effect.why, effect.again), now)

    def bring(self, event: GroupEvent, now: int) -> None:
        """Bring an event to the group, and its words to its members."""
        step = advance_group(self.state, event, now)
        self.state = step.state
        for told in step.effects:
            for saga in told.sagas:
                self.worlds[int(saga)].inbox.append(_heard(told))

    def holding(self) -> frozenset[int]:
        """Say in which worlds everything is held."""
        return frozenset(number for number, world in enumerate(self.worlds) if world.whole_hold() is not None)


def _heard(told: Open | Break) -> Event:
    if isinstance(told, Open):
        return BarrierOpened(told.attempt, told.barrier)
    return GroupBroke(told.attempt, told.why, told.again)


class World:
    """All there is besides the saga's decisions; ``hub`` is the group that it shares with others."""

    def __init__(
        self, spec: SagaSpec, vm: VmFacts, *, resident: bool = False, hub: Hub | None = None
    ) -> None:
        self.now = T0
        self.hub = hub if hub or not spec.group else Hub(spec.group.rules, 1)
        self.number = len(self.hub.worlds) if self.hub else 0
        if self.hub:
            self.hub.worlds.append(self)
        self.vm = vm
        self.state = pending(spec, T0)
        self.guest = Guest(spec.guest)
        self.guest.alive = resident
        self.outbox: list[Effect] = []
        self.inbox: list[Event] = []
        self.commands: list[Order] = []
        self.watches: list[tuple[int, int]] = [(T0 + first_watch_ms(spec), 1)]
        self.jobs: list[Job] = []
        self.late_puts: list[tuple[int, str]] = []
        self.shots: dict[str, Shot] = {}
        self.condemned: set[str] = set()
        self.quiesce_ordered: set[int] = set()
        self.resume_ordered: set[int] = set()
        self.guest_spoke: set[int] = set()
        self.agents_started: set[int] = set()
        self.platform_reaches = "ApplicationConsistent" if vm.is_windows else "FileSystemConsistent"
        self.alerted: list[SagaWarning] = []
        self.robbed = False
        self.admitted: set[int] = set()
        self.places: dict[int, int] = {}
        self.no_room = 0
        self.left_to_lease = False
        self.inbox.append(Started("1"))

    # --- the saga ------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Bring an event to the saga, and note what it wants done."""
        if isinstance(event, QuiesceFailed | Resumed):
            self.guest_spoke.add(event.generation)
        before = self.state
        transition = advance(before, event, self.now)
        assert not (transition.ignored and transition.effects), "what counts for nothing has no effects"
        self.state = transition.state
        self._check_together(before)
        for effect in transition.effects:
            self.outbox.append(effect)
            if isinstance(effect, SendCommand) and effect.order.kind == "resume":
                self.resume_ordered.add(effect.order.generation)
            if isinstance(effect, Clean):
                self.condemned |= set(effect.discard)
        self.check()

    def check(self) -> None:
        """What must be true at every moment."""
        state = self.state
        self._check_places()
        if state.guest_released:
            assert self.guest.hold is None, f"{state.phase}: the guest is held, the saga believes it is not"
        if state.phase in (Phase.COMPLETING, Phase.CLEANING, Phase.DONE):
            assert self.guest.hold is None, "the saga decided while its guest was held"
        kept = {copy.snapshot_id for copy in state.recovery_point}
        assert not kept & set(state.discard), "a snapshot is both kept and discarded"
        assert not kept & self.condemned, "a kept snapshot was to be deleted"
        if kept and state.grade is not None and state.grade.at_least(Grade.FILESYSTEM):
            self._check_grade(kept)
        assert (state.phase is Phase.DONE) == (state.ended_at is not None)
        assert state.phase in (Phase.PENDING, Phase.DONE) or state.deadline is not None

    def _check_together(self, before: SagaState) -> None:
        """Nobody asks for snapshots before all that are left are held, or lets go before all have theirs."""
        state, evidence = self.state, self.state.evidence
        if self.hub is None or state.standing.out or state.standing.fell >= state.generation:
            return
        opened, attempt = self.hub.state.opened, self.hub.state.attempt
        entered = state.phase is not before.phase
        if entered and state.phase is Phase.CAPTURING and attempt == state.generation:
            assert opened in (Barrier.HELD, Barrier.CAPTURED, Barrier.PROVED), "it captures before all hold"
        if entered and state.phase is Phase.RESUMING and attempt == state.generation:
            assert evidence is not None
            assert opened in (Barrier.CAPTURED, Barrier.PROVED), "it lets go before all have their snapshots"

    def _check_places(self) -> None:
        """Who is held was admitted, and its place is nobody else's before it goes on."""
        hold = self.guest.hold
        if self.state.spec.admission is None or hold is None:
            return
        assert hold.generation in self.admitted, "the guest is held, and was never admitted"
        assert hold.generation in self.places, "the guest is held, and its place was given up"
        assert self.now <= self.places[hold.generation], "the guest is held, and its place may be another's"

    def _check_grade(self, kept: set[str]) -> None:
        assert self.state.evidence is not None
        point = self.state.evidence.restore_point
        assert len(kept) == (1 if point else len(self.vm.disks))
        if point is not None and point.asked == "":
            assert self.state.grade is not None
            assert point.reached != "CrashConsistent", "the platform held nothing"
            assert not self.state.grade.at_least(Grade.APPLICATION) or point.reached.startswith("App")
            return
        holds = [self.shots[name].hold if name in self.shots else None for name in kept]
        assert holds[0] is not None, "a consistent grade, but nothing was held at the snapshot"
        assert all(hold is holds[0] for hold in holds), "a consistent grade, but not of one hold"
        assert not holds[0].paused, "a consistent grade, but the guest was paused"

    # --- effects -------------------------------------------------------------------------

    def carry_out(self, index: int, *, again: bool = False, luck: int = 0) -> None:
        """Carry out an effect; ``again`` leaves it to be done once more, ``luck`` 0 is the best."""
        effect = self.outbox[index] if again else self.outbox.pop(index)
        match effect:
            case ReadFacts():
                self.inbox.append(self._facts(luck))
            case StartAgent(order):
                self._start_agent(order, luck)
            case SendCommand(order):
                self._command(order)
            case Admit() | Leave() | JoinBarrier() | LeaveGroup():
                self._ask(effect)
            case Capture() | TakeRestorePoint():
                self.jobs.append(Job(effect, self.platform_reaches))
            case CheckCopies(snapshot_ids):
                self.inbox.append(self._copies(snapshot_ids, luck))
            case Clean():
                self._clean(luck)
            case Watch() | RecordEnd():
                self._watch(effect)
            case Alert(warnings):
                self.alerted.extend(warnings)

    def lose_effect(self, index: int) -> None:
        """Lose an effect for good; a saga without its watch, admission or cleaning is left to the sweep."""
        effect = self.outbox.pop(index)
        self.robbed |= isinstance(effect, Watch | Clean | Admit)
        self.left_to_lease |= isinstance(effect, Leave)

    def lose_event(self, index: int) -> None:
        """Lose a message on its way to the saga."""
        event = self.inbox.pop(index)
        self.robbed |= isinstance(event, Cleaned | Admitted | MustWait)
        self.left_to_lease |= isinstance(event, Admitted)

    def lose_watch(self) -> None:
        """Lose the next watch."""
        self.watches.pop(0)
        self.robbed = True

    def _facts(self, luck: int) -> Event:
        if luck == 0:
            return FactsRead(self.vm)
        return FactsUnavailable("Throttled", "too many requests", passing=luck != 3)

    def _command(self, order: Order) -> None:
        self.commands.append(order)
        if order.kind == "quiesce":
            self.quiesce_ordered.add(order.generation)

    def _ask(self, effect: Admit | Leave | JoinBarrier | LeaveGroup) -> None:
        """Tell the gate or the group."""
        if isinstance(effect, JoinBarrier | LeaveGroup):
            assert self.hub is not None
            self.hub.hear(self.number, effect, self.now)
        elif isinstance(effect, Admit):
            self.inbox.append(self._admit(effect.generation, effect.expires_at))
        else:
            self.places.pop(effect.generation, None)

    def _admit(self, generation: int, expires_at: int) -> Event:
        if self.no_room:
            self.no_room -= 1
            return MustWait(generation, self.now + 20_000, "held", "2 of policy-nightly are held already")
        self.admitted.add(generation)
        self.places[generation] = max(expires_at, lease_until(self.state, self.now))
        self.left_to_lease |= self.state.phase is not Phase.ADMITTING
        return Admitted(generation)

    def _start_agent(self, order: Order, luck: int) -> None:
        if luck:
            event = AgentNotStarted(order.generation, "Conflict", "the VM is busy", passing=luck != 3)
            self.inbox.append(event)
        elif order.generation not in self.agents_started:  # the same run command runs once
            self.agents_started.add(order.generation)
            self.inbox.extend(self.guest.started(order, self.now))

    def _copies(self, snapshot_ids: tuple[str, ...], luck: int) -> Event:
        if luck == 3:
            return CopiesSeen((), lost=snapshot_ids[:1])
        if luck == 2:
            return CopiesSeen((SnapshotCopy(snapshot_ids[0], 100.0),), unreadable="the others: a time-out")
        percent = 100.0 if luck == 0 else 40.0
        return CopiesSeen(tuple(SnapshotCopy(name, percent) for name in snapshot_ids))

    def _clean(self, luck: int) -> None:
        self.inbox.append(Cleaned(("a snapshot could not be deleted",) if luck else ()))

    def _watch(self, effect: Watch | RecordEnd) -> None:
        """Send a watch; the end takes the first one back."""
        if isinstance(effect, Watch):
            self.watches = sorted([*self.watches, (effect.at, effect.number)])
        elif effect.watch_receipt:
            self.watches = [watch for watch in self.watches if watch[1] != 1]

    # --- time and messages ---------------------------------------------------------------

    def deliver(self, index: int, *, again: bool = False) -> None:
        """Bring a message to the saga; ``again`` leaves a duplicate of it."""
        self.take(self.inbox[index] if again else self.inbox.pop(index))

    def command(self, index: int, *, again: bool = False) -> None:
        """Bring a command to the guest; ``again`` leaves a duplicate of it."""
        order = self.commands[index] if again else self.commands.pop(index)
        self.inbox.extend(self.guest.obey(order, self.now))

    def watch(self, *, again: bool = False) -> None:
        """Bring the first watch to the saga, waiting until it is due."""
        at, number = self.watches[0] if again else self.watches.pop(0)
        self.pass_time_to(max(at, self.now))
        self.take(TimePassed(number))

    @property
    def overdue_at(self) -> int | None:
        """When the sweep takes notice of the saga."""
        return self.state.deadline + SWEEP_AFTER_MS if self.state.deadline is not None else None

    def sweep(self) -> None:
        """Have the sweep look at the saga as soon as it may."""
        if self.overdue_at is not None:
            self.pass_time_to(max(self.now, self.overdue_at + 1))
        self.take(TimePassed())

    def hear_the_gate(self) -> None:
        """Bring what the gate has answered: who asks hears it in the same invocation, or asks again."""
        for answer in [each for each in self.inbox if isinstance(each, Admitted | MustWait)]:
            self.deliver(self.inbox.index(answer))

    def pass_time_to(self, moment: int) -> None:
        """Let time pass, and happen what is due in the meantime, in order."""
        while (due := self._next_due()) is not None and due <= moment:
            self.now = max(self.now, due)
            self._happen()
        self.now = max(self.now, moment)

    def _next_due(self) -> int | None:
        dues = [job.effect.deadline for job in self.jobs]
        dues += [at for at, _ in self.late_puts]
        guest_due = self.guest.next_due()
        return min(dues if guest_due is None else [*dues, guest_due], default=None)

    def _happen(self) -> None:
        self.inbox.extend(self.guest.act(self.now))
        for job in [job for job in self.jobs if job.effect.deadline <= self.now]:
            self.end_job(job)
        for at, name in [put for put in self.late_puts if put[0] <= self.now]:
            self.late_puts.remove((at, name))
            self._shoot(name)

    # --- snapshots -----------------------------------------------------------------------

    def disk_to_take(self, job: Job) -> DiskFacts | None:
        """Give the disk whose snapshot is next."""
        decided = job.failed | job.late | job.taken
        if decided and isinstance(job.effect, TakeRestorePoint):
            return None
        return next((disk for disk in job.effect.disks if disk.disk_id not in decided), None)

    def take_snapshot(self, job: Job) -> None:
        """Take the snapshot of the next disk; a PUT on a name that exists takes none."""
        disk = self.disk_to_take(job)
        if disk is not None:
            self._shoot(_name(disk, job))
            job.taken.add(disk.disk_id)
        if self.disk_to_take(job) is None:
            self.end_job(job)

    def end_job(self, job: Job) -> None:
        """End a capture and have it say what it saw; what it left under way may still succeed."""
        self.jobs.remove(job)
        for disk in job.effect.disks:
            if disk.disk_id in job.late:
                self.late_puts.append((job.effect.deadline + GRACE_MS - 1, _name(disk, job)))
        if not job.lost:
            captures = tuple(self._seen(disk, job) for disk in job.effect.disks)
            self.inbox.append(CaptureEnded(job.effect.generation, captures, self._point(job, captures)))

    def _point(self, job: Job, captures: tuple[DiskCapture, ...]) -> RestorePointReport | None:
        if not isinstance(job.effect, TakeRestorePoint):
            return None
        asked = job.effect.consistency
        reached = (asked or job.reached) if all(capture.captured for capture in captures) else ""
        return RestorePointReport(point_id=job.effect.point_id, asked=asked, reached=reached)

    def _shoot(self, name: str) -> None:
        with_it = self.hub.holding() if self.hub else frozenset()
        self.shots.setdefault(name, Shot(self.now, self.whole_hold(), with_it))

    def whole_hold(self) -> Hold | None:
        """Give what is held, if it is all of it."""
        hold = self.guest.hold
        return hold if hold is not None and hold.complete and hold.whole else None

    def _seen(self, disk: DiskFacts, job: Job) -> DiskCapture:
        name = _name(disk, job)
        taken = disk.disk_id in job.taken or (isinstance(job.effect, TakeRestorePoint) and job.taken)
        good = taken and self.shots[name].at >= job.effect.not_before
        return DiskCapture(
            disk_id=disk.disk_id,
            lun=disk.lun,
            snapshot_id=name,
            put_sent_at=job.effect.not_before,
            time_created=self.shots[name].at if good else None,
            succeeded_seen_at=self.now if good else None,
            error="" if good else "deadline",
        )

    # --- the end -------------------------------------------------------------------------

    def calm_down(self) -> None:
        """No more faults: everything is carried out and delivered, and time passes until the saga is done."""
        for _ in range(CALM_STEPS):
            if self.state.phase is Phase.DONE and not self.outbox:
                return
            if not self.go_on():
                self._wait_for_a_message()
        raise AssertionError(f"the saga does not end: {self.state.phase}, deadline {self.state.deadline}")

    def go_on(self) -> bool:
        """Do the next thing that needs no waiting, and do it well; False when there is none."""
        incomplete = self.guest.hold is not None and not self.guest.hold.complete
        if self.outbox:
            self.carry_out(0)
        elif self.inbox:
            self.deliver(0)
        elif self.commands:
            self.command(0)
        elif incomplete and self.guest.alive:
            self.inbox.extend(self.guest.finish(self.now))
        elif self.jobs:
            self.take_snapshot(self.jobs[0])
        else:
            return False
        return True

    def _wait_for_a_message(self) -> None:
        if self.watches and not (self.overdue_at and self.watches[0][0] > self.overdue_at and self.robbed):
            self.watch()
        else:
            assert self.robbed, f"no message will ever come while {self.state.phase}, and none was lost"
            self.sweep()

    def check_end(self) -> None:
        """What must be true once the saga is done."""
        self.pass_time_to(self.now + 10 * GRACE_MS)
        state = self.state
        assert state.phase is Phase.DONE
        assert state.outcome is not None
        assert state.reasons, "a saga that ended says why in words"
        self._check_problem()
        assert self.guest.hold is None
        assert self.left_to_lease or not self.places, f"a place was never given up: {self.places}"
        assert self.quiesce_ordered <= self.resume_ordered | self.guest_spoke, "stopped, but never started"
        if any(warning.generation == state.generation for warning in state.warnings):
            assert state.outcome is not Outcome.SUCCEEDED, "a person would not look at it"
        assert set(self.alerted) <= set(state.warnings)
        kept = {copy.snapshot_id for copy in state.recovery_point}
        orphans = set(self.shots) - kept - self.condemned
        assert not orphans, f"neither kept nor discarded: {orphans}"
        assert kept <= set(self.shots), "a kept snapshot was never taken"
        assert bool(kept) == (state.grade is not None)

    def _check_problem(self) -> None:
        """What did not go well is told, with where it was and what to do; what went well is not."""
        problem = problem_of(self.state)
        if self.state.outcome is Outcome.SUCCEEDED:
            assert problem is None or problem.cause is Cause.LEFT_OVER
            return
        assert problem is not None, "a saga that did not end well says what to do"
        assert problem.cause is not Cause.UNRECORDED, "a saga did not note what went wrong"
        assert problem.sentence.endswith(".")
        assert problem.what_to_do.endswith(".")
        assert "{" not in problem.sentence + problem.what_to_do


def _name(disk: DiskFacts, job: Job) -> str:
    if isinstance(job.effect, TakeRestorePoint):
        return job.effect.point_id
    return snapshot_id(disk, None, SAGA, job.effect.generation)
