"""A simulated guest: an agent that keeps the agent's rules, a dead-man that keeps the budget, no network."""

from dataclasses import dataclass, replace

from shared.policy.guest_processing import AgentInstall, GuestProcessing
from shared.protocol import ARM, QUIESCE, RESUME
from shared.saga.effects import Order
from shared.saga.events import AgentReady, Quiesced, QuiesceFailed, Released, Resumed
from shared.saga.evidence import (
    GuestWarning,
    Held,
    HeldUntil,
    QuiesceReport,
    ResumeReport,
    ScriptReport,
)
from tests.unit.saga.build import MOUNTS, POST, PRE, script_report

Said = AgentReady | Quiesced | QuiesceFailed | Resumed | Released


@dataclass(slots=True)
class Hold:
    """What is held for one generation since ``since`` (ms). ``whole`` until somebody lets a part of it go.

    A guest that was ``paused`` finds its wall clock put forward by that much (ms).
    """

    generation: int
    sequence: int
    since: int
    complete: bool = False
    whole: bool = True
    paused: int = 0


class Guest:
    """Every method gives the acks that the guest then sends."""

    def __init__(self, processing: GuestProcessing) -> None:
        self._processing = processing
        self.alive = False
        self.version = "0.1.0"
        self.hold: Hold | None = None
        self.warnings: tuple[GuestWarning, ...] = ()
        self._boot = 1
        self._forget()

    def _forget(self) -> None:
        self._last_sequence = 0
        self._answer: Said | None = None
        self._closed = 0
        self._acks = 0
        self._results: dict[int, ResumeReport] = {}
        self._unsaid: Said | None = None

    @property
    def things(self) -> tuple[Held, ...]:
        """What a complete hold holds."""
        mounts = tuple(Held("filesystem", mount) for mount in MOUNTS)
        return (Held("script", PRE), *mounts) if self._processing.pre_script else mounts

    def started(self, order: Order, now: int) -> list[Said]:
        """The run command started the agent, having installed the newest where that is allowed."""
        self.alive = True
        if self._processing.agent_install is AgentInstall.UPGRADE:
            self.version = "0.1.0"
        return self.obey(order, now)

    def obey(self, order: Order, now: int) -> list[Said]:
        """A command arrived."""
        if not self.alive or now > order.expires_at or order.sequence < self._last_sequence:
            return []
        if order.sequence == self._last_sequence:
            return [self._answer] if self._answer else []
        if order.kind == ARM and self.hold:
            return []  # left in the queue until nothing is held
        self._last_sequence, self._answer = order.sequence, None
        if order.kind == ARM:
            ready = AgentReady(order.generation, self._number(), f"boot-{self._boot}", dead_man_armed=True)
            return self._say(replace(ready, agent_version=self.version))
        if order.kind == QUIESCE:
            return self._quiesce(order, now)
        self._closed = max(self._closed, order.generation)
        if order.kind == RESUME:
            return self._say(Resumed(order.generation, self._number(), self._resume(order, now)))
        was_held = self.hold is not None
        self.hold = None
        return self._say(Released(order.generation, self._number(), was_held))

    def finish(self, now: int) -> list[Said]:
        """Everything is held now."""
        hold = self._incomplete()
        hold.complete = True
        budget_left = hold.since + self._processing.freeze_budget_ms - now
        report = QuiesceReport(
            boot_id=f"boot-{self._boot}",
            dead_man_armed=True,
            held=self.things,
            not_held=(),
            quiesce_ms=now - hold.since,
            budget_left_ms=budget_left,
            script=self._script(PRE),
            warnings=self.warnings,
        )
        return self._say(Quiesced(hold.generation, self._number(), report, now))

    def fail(self, reason: str) -> list[Said]:
        """Something could not be held; what was is let go."""
        hold = self._incomplete()
        self.hold = None
        self._closed = max(self._closed, hold.generation)
        failed = QuiesceFailed(
            hold.generation, self._number(), reason, f"It failed: {reason}.", warnings=self.warnings
        )
        return self._say(failed)

    def dead_man_fires(self, now: int, released_by: str = "dead-man") -> list[Said]:
        """Everything is let go without an order, and the agent says so."""
        said = self._let_go(now, released_by)
        return [said] if said and self.alive else []

    def kill_agent(self, now: int) -> None:
        """Kill the agent: its dead-man lets go, and nobody says so until it is started again."""
        self._unsaid = self._let_go(now, "dead-man")
        self.alive = False

    def pause(self, for_ms: int) -> None:
        """The host pauses the VM: the guest's monotonic clock stands still, and its budget lasts longer."""
        assert self.hold is not None
        self.hold.since += for_ms
        self.hold.paused += for_ms

    def restart_agent(self) -> list[Said]:
        """Start the agent on the journal of the one before."""
        self.alive = True
        said, self._unsaid = self._unsaid, None
        return [said] if said else []

    def reboot(self) -> None:
        """Restart the whole guest: nothing is held, no agent runs, everything is forgotten."""
        self.hold, self.alive = None, False
        self._boot += 1
        self._forget()

    def next_due(self) -> int | None:
        """Give the time (ms) at which the guest acts by itself."""
        if self.hold is None:
            return None
        budget_end = self.hold.since + self._processing.freeze_budget_ms
        if self.hold.complete or not self.alive:
            return budget_end
        return min(budget_end, self.hold.since + self._processing.quiesce_timeout_ms)

    def act(self, now: int) -> list[Said]:
        """Do what is due."""
        due = self.next_due()
        if self.hold is None or due is None or now < due:
            return []
        if self.hold.complete or now >= self.hold.since + self._processing.freeze_budget_ms:
            return self.dead_man_fires(now)
        return self.fail("quiesce_timeout")

    def _quiesce(self, order: Order, now: int) -> list[Said]:
        if order.generation <= self._closed:
            closed = QuiesceFailed(order.generation, self._number(), "generation_closed", "It is over.")
            return self._say(closed)
        self.hold = Hold(order.generation, order.sequence, now)
        return []

    def _resume(self, order: Order, now: int) -> ResumeReport:
        hold = self.hold
        if hold is None:
            return self._results.get(order.generation) or self._report("order", now, now, until_order=False)
        self.hold = None
        whole = hold.complete and hold.whole and hold.generation == order.generation
        report = self._report("order", hold.since, now, until_order=whole, jump=hold.paused)
        self._results[hold.generation] = report
        return report

    def _let_go(self, now: int, released_by: str) -> Said | None:
        hold = self.hold
        if hold is None:
            return None
        self.hold = None
        self._closed = max(self._closed, hold.generation)
        report = self._report(released_by, hold.since, now, until_order=False)
        self._results[hold.generation] = report
        return Resumed(hold.generation, self._number(), report)

    def _report(
        self, released_by: str, since: int, now: int, *, until_order: bool, jump: int = 0
    ) -> ResumeReport:
        return ResumeReport(
            boot_id=f"boot-{self._boot}",
            released_by=released_by,
            held_until_order=until_order,
            held=tuple(HeldUntil(thing.kind, thing.name, until_order) for thing in self.things),
            window_ms=now - since,
            script=self._script(POST),
            clock_jump_ms=jump,
            warnings=self.warnings,
        )

    def _script(self, path: str) -> ScriptReport | None:
        return script_report(path) if self._processing.pre_script else None

    def _incomplete(self) -> Hold:
        assert self.hold is not None
        assert not self.hold.complete
        return self.hold

    def _number(self) -> int:
        self._acks += 1
        return self._acks

    def _say(self, said: Said) -> list[Said]:
        self._answer = said
        return [said]
