"""The guest: the real session, and around it what carries it out: dead-man, scripts, kernel, journal.

``agent/session.py`` decides here as in a guest. The rules of the processes around it (``runner``, ``hands``,
``deadman``, ``recovery``, ``hooks``) are written down once more, each as a step that may happen or be late:

- what was decided is in the journal before any of it is done, so a dead agent leaves what it was;
- the dead-man acts at its deadline and when its agent is gone: it thaws, ends the pre-script, runs the
  post-script if it is owed, and says so; orders reach it at once (one that comes after it fired is void);
- the post-script runs once per generation, whoever wants it; it is owed once something began;
- the next start of the agent undoes what the one before left.

All of a guest is one value; every function gives the guests that may follow.
"""

from typing import Any

from agent import moves, session
from agent.orders import Order
from agent.records import (
    BY_DEAD_MAN,
    BY_ORDER,
    BY_RESTART,
    FILESYSTEM,
    POST,
    PRE,
    Hold,
)
from agent.state import State
from tests.model import wire
from tests.model.guest import (
    ALL,
    IDLE,
    KILLED,
    KILLED_BEFORE,
    LAUNCHED,
    LEFT_RUNNING,
    MOUNT,
    OVERRUN_MS,
    PART,
    RUNNING,
    SESSIONS,
    DeadMan,
    Frozen,
    Guest,
    Left,
    Next,
    after_thaw,
    kernel_evidence,
    noting,
    pre_killed,
    saying,
    script_result,
)
from tests.model.times import FAR_MS, MONOTONIC, canonical_session, shift_session


class Rules:
    """What a guest may do. ``resident``: its agent is started again by the system, and stays."""

    def __init__(self, *, resident: bool, post_script: bool) -> None:
        self._resident = resident
        self._post_script = post_script

    def first(self) -> Guest:
        """Give the guest before anything happened."""
        return Guest(alive=self._resident, session=IDLE)

    # --- commands -----------------------------------------------------------------------------

    def receive(self, guest: Guest, command: int, expires_in: int) -> list[Next] | None:
        """Take a command from the queue; None while nobody takes it (it stays there)."""
        if not guest.alive:
            return None
        order = wire.received(command, expires_in)
        if order is None:
            return [Next("an expired command is dropped", "", guest)]
        return self._command(guest, order, f"the agent takes {wire.kind(command)}")

    def started(self, guest: Guest, command: int, expires_in: int) -> list[Next]:
        """Run the run command: it starts an agent, or hands its command to the one that runs."""
        label = f"the run command runs: {wire.kind(command)}"
        if guest.alive:
            return [Next(label, "", guest._replace(handed=(*guest.handed, (command, expires_in))))]
        found = []
        for one in self._restarted(guest, label):
            order = wire.received(command, expires_in)
            taken = None if order is None else self._command(one.guest, order, label)
            found += [one] if taken is None else [t._replace(acks=one.acks + t.acks) for t in taken]
        return found

    def _command(self, guest: Guest, order: Order, label: str) -> list[Next] | None:
        given = moves.CommandReceived(order, guest.jump)
        state, actions = session.react(guest.state, given, MONOTONIC)
        if any(isinstance(action, moves.Defer) for action in actions):
            return None
        return self._done(guest, state, actions, label)

    # --- what happens by itself ---------------------------------------------------------------

    def steps(self, guest: Guest) -> list[Next]:
        """Give all that may happen in this guest by itself, but for what goes wrong out of the blue."""
        found = self._agent(guest) + self._scripts(guest) + self._dead_man(guest)
        if not guest.alive and self._resident:
            found += self._restarted(guest, "the system starts the agent again")
        return found

    def _agent(self, guest: Guest) -> list[Next]:
        if not guest.alive:
            return []
        if guest.words:
            word, rest = guest.words[0], guest._replace(words=guest.words[1:])
            return self._react(rest, word, f"the agent hears {type(word).__name__}", urgent=True)
        due = session.next_deadline(guest.state)
        if due is not None and due <= MONOTONIC:
            return self._react(guest, moves.Tick(), "the agent sees that time has passed", urgent=True)
        if guest.handed and guest.state.attempt is None:
            (command, expires_in), *others = guest.handed
            rest, order = guest._replace(handed=tuple(others)), wire.received(command, expires_in)
            if order is None:
                return [Next("a command that was handed over has expired", "", rest)]
            return self._command(rest, order, "the agent takes what was handed over") or []
        return []

    def _scripts(self, guest: Guest) -> list[Next]:
        found = []
        generation, stage = guest.pre
        if stage == LAUNCHED:
            begun = noting(guest, generation, begun=True, pre_began=True)
            found.append(Next("the pre-script begins", "", begun._replace(pre=(generation, RUNNING))))
        elif stage in (RUNNING, KILLED_BEFORE, KILLED):
            reason = "" if stage == RUNNING else "killed"
            found.append(self._pre_ends(guest, reason))
            if stage == RUNNING:
                found.append(self._pre_ends(guest, "script_failed")._replace(fault="fail"))
        if guest.post and guest.alive:
            ran = self._run_post(guest, guest.post)
            word = moves.ScriptEnded(guest.post, POST, script_result("/post", started=True))
            ended = saying(ran._replace(post=0), word)
            found.append(Next("the agent's post-script ends", "", ended, urgent=True))
        if guest.thaw and guest.alive:
            evidence = kernel_evidence(guest, guest.thaw)
            thawed = after_thaw(guest, guest.thaw)._replace(thaw=0)
            told = saying(thawed, moves.FilesystemsReleased(guest.thaw, evidence))
            found.append(Next("the agent thaws by itself", "", told, urgent=True))
        return found

    def _pre_ends(self, guest: Guest, reason: str) -> Next:
        generation, stage = guest.pre
        result = script_result("/pre", started=stage != KILLED_BEFORE, reason=reason)
        word = moves.ScriptEnded(generation, PRE, result)
        told = f" ({reason})" if reason else ""
        after = saying(guest._replace(pre=(0, 0)), word)
        return Next(f"the pre-script ends{told}", "", after, urgent=stage != RUNNING)

    def _run_post(self, guest: Guest, generation: int) -> Guest:
        """Run the post-script, unless it has been run: the claim in the journal is made once."""
        if guest.hook(generation).posts:
            return guest
        held = guest.frozen is not None and guest.frozen.generation == generation
        wrong = "the post-script ran while filesystems were frozen" if held else ""
        return noting(guest, generation, posts=1, wrong=wrong)

    # --- the dead-man -------------------------------------------------------------------------

    def _dead_man(self, guest: Guest) -> list[Next]:
        found = []
        one = guest.dead_man
        if guest.orphan is not None:
            found += self._orphan(guest, guest.orphan)
        if one is None:
            return found
        if not one.ready:
            if guest.orphan is None:
                found.append(self._gets_ready(guest, one))
            return found
        if one.firing:
            ended, word = self._settle_post(guest, one.generation)
            told = saying(ended._replace(dead_man=DeadMan(ready=True)), word)
            for order in one.pending:
                told = self._tell(told, order)
            found.append(Next("the dead-man ends its release", "", told, urgent=True))
        elif one.generation and not one.released:
            if one.deadline <= 0:
                found.append(self._fires(guest, one))
            elif one.freezing:
                found += self._freezing_ends(guest, one)
        return found

    def _gets_ready(self, guest: Guest, one: DeadMan) -> Next:
        ready = saying(guest._replace(dead_man=DeadMan(ready=True)), moves.DeadManReady(locked=True))
        for order in one.pending:
            ready = self._tell(ready, order)
        return Next("the dead-man is ready", "", ready)

    def _fires(self, guest: Guest, one: DeadMan) -> Next:
        evidence = kernel_evidence(guest, one.generation)
        thawed = after_thaw(guest, one.generation)._replace(
            left=Left(one.generation, BY_DEAD_MAN, evidence),
            dead_man=one._replace(freezing=False, released=True, firing=True),
        )
        if not one.asked:
            thawed = pre_killed(thawed)
        word = moves.DeadManFired(one.generation, evidence)
        return Next("the dead-man fires", "", saying(thawed, word), urgent=True)

    def _freezing_ends(self, guest: Guest, one: DeadMan) -> list[Next]:
        still = one._replace(freezing=False)
        whole = Frozen(one.generation, ALL, whole=True)
        part = Frozen(one.generation, PART, whole=True)
        log = (one.generation, "frozen")
        held = moves.FilesystemsHeld(one.generation, (Hold(FILESYSTEM, MOUNT),), ())
        failed = moves.FreezeFailed(one.generation, "freeze_error", "a mount could not be frozen")
        good = saying(guest._replace(dead_man=still, frozen=whole, log=log), held)
        bad = saying(guest._replace(dead_man=still, frozen=part, log=log), failed)
        return [
            Next("the filesystems are frozen", "", good),
            Next("a filesystem cannot be frozen, another is", "fail", bad),
        ]

    def _orphan(self, guest: Guest, orphan: tuple[int, bool, bool]) -> list[Next]:
        generation, thawed, asked = orphan
        if not thawed:
            evidence = kernel_evidence(guest, generation)
            after = after_thaw(guest, generation)._replace(
                orphan=(generation, True, asked), left=Left(generation, BY_DEAD_MAN, evidence)
            )
            after = after if asked else pre_killed(after)
            return [Next("the dead-man lets go: its agent is gone", "", after, urgent=True)]
        ended, _ = self._settle_post(guest, generation)
        return [
            Next(
                "the dead-man whose agent is gone ends its release",
                "",
                ended._replace(orphan=None),
                urgent=True,
            )
        ]

    def _settle_post(self, guest: Guest, generation: int) -> tuple[Guest, moves.Input]:
        """Run the post-script if it is owed, as the dead-man does, and give its word on it."""
        if not self._post_script or not guest.hook(generation).begun:
            return guest, moves.ScriptEnded(generation, POST, None)
        result = script_result("/post", started=True)
        return self._run_post(guest, generation), moves.ScriptEnded(generation, POST, result)

    def _tell(self, guest: Guest, order: Any) -> Guest:
        """Have the dead-man obey an order: it is read at once, and void where it is about nothing watched."""
        one = guest.dead_man
        if one is None:
            return guest
        if not one.ready or one.firing:
            return guest._replace(dead_man=one._replace(pending=(*one.pending, order)))
        if isinstance(order, moves.ArmDeadMan):
            watch = DeadMan(ready=True, generation=order.generation, deadline=order.deadline - MONOTONIC)
            word = moves.DeadManArmed(order.generation, locked=True, not_held=())
            return saying(guest._replace(dead_man=watch, log=(order.generation, "")), word)
        if order.generation != one.generation:
            return guest
        if isinstance(order, moves.Freeze):
            return guest._replace(dead_man=one._replace(asked=True, freezing=not one.released))
        if isinstance(order, moves.Release):
            evidence = kernel_evidence(guest, one.generation)
            thawed = after_thaw(guest, one.generation)._replace(
                dead_man=one._replace(freezing=False, released=True),
                left=Left(one.generation, BY_ORDER, evidence),
            )
            return saying(thawed, moves.FilesystemsReleased(one.generation, evidence))
        assert isinstance(order, moves.Disarm)
        return guest._replace(dead_man=DeadMan(ready=True))

    # --- the agent's actions ------------------------------------------------------------------

    def _react(self, guest: Guest, given: moves.Input, label: str, *, urgent: bool = False) -> list[Next]:
        state, actions = session.react(guest.state, given, MONOTONIC)
        return [n._replace(urgent=urgent) for n in self._done(guest, state, actions, label)]

    def _done(self, guest: Guest, state: State, actions: moves.Actions, label: str) -> list[Next]:
        """Save, then do: all of it, or as far as a dying agent gets."""
        guest = guest._replace(session=SESSIONS.number(canonical_session(state)))
        answers = [wire.ANSWERS.number(a.answer) for a in actions if isinstance(a, moves.SendAck)]
        found, said = [], 0
        for done, action in enumerate(actions):
            if done == 0 or isinstance(actions[done - 1], moves.SendAck) or isinstance(action, moves.SendAck):
                unsent = guest._replace(unsent=(*guest.unsent, *answers[said:]))
                dead = self._dies(unsent)
                found.append(
                    Next(f"{label}, and dies after {done} actions", "crash", dead, tuple(answers[:said]))
                )
            guest = self._do(guest, action)
            said += isinstance(action, moves.SendAck)
        return [Next(label, "", guest, tuple(answers)), *found]

    def _do(self, guest: Guest, action: Any) -> Guest:  # noqa: C901, PLR0911 - a table of actions
        match action:
            case moves.StartDeadMan():
                if guest.dead_man is None:
                    return guest._replace(dead_man=DeadMan())
                return saying(guest, moves.DeadManReady(locked=True)) if guest.dead_man.ready else guest
            case moves.ArmDeadMan():
                there = guest._replace(budget=(action.generation, action.deadline - MONOTONIC))
                there = there if there.dead_man is not None else there._replace(dead_man=DeadMan())
                return self._tell(there, action)
            case moves.RunScript(_, generation, phase):
                if phase == PRE:
                    return guest._replace(pre=(generation, LAUNCHED))
                again = guest.hook(generation).asked
                wrong = "the agent ran the post-script twice" if again else guest.hook(generation).wrong
                return noting(guest._replace(post=generation), generation, asked=True, wrong=wrong)
            case moves.KillScript(generation):
                later = {LAUNCHED: KILLED_BEFORE, RUNNING: KILLED}
                return guest._replace(pre=(generation, later.get(guest.pre[1], guest.pre[1])))
            case moves.Freeze(generation):
                return self._tell(noting(guest, generation, begun=True), action)
            case moves.Release() | moves.Disarm():
                return self._tell(guest, action)
            case moves.ThawOurselves(generation):
                return guest._replace(dead_man=None, thaw=generation)
            case moves.End():
                return self._ends(guest)
            case _:
                return guest

    def _ends(self, guest: Guest) -> Guest:
        over = guest._replace(dead_man=None, words=())
        return over if self._resident or guest.handed else over._replace(alive=False)

    def _restarted(self, guest: Guest, label: str) -> list[Next]:
        """Start the agent on the journal of the one before: it lets go of what that one left."""
        state = guest.state
        unsent, guest = guest.unsent, guest._replace(alive=True, unsent=(), forsaken=False)
        attempt = state.attempt
        if attempt is None:
            given = moves.AgentRestarted(BY_RESTART, (), None)
        else:
            generation, left = attempt.generation, guest.left
            if left is None or left.generation != generation:
                left = Left(generation, BY_RESTART, kernel_evidence(guest, generation))
            guest = after_thaw(guest, generation)
            guest = guest._replace(pre=(0, 0)) if attempt.pre_running else guest
            result = None
            if attempt.plan.post_script is not None and guest.hook(generation).begun:
                guest, result = self._run_post(guest, generation), script_result("/post", started=True)
            given = moves.AgentRestarted(left.by, left.evidence, result)
        return [n._replace(acks=unsent + n.acks) for n in self._react(guest, given, label)]

    # --- faults -------------------------------------------------------------------------------

    def faults(self, guest: Guest) -> list[Next]:
        """Give what may go wrong in this guest out of the blue."""
        found = []
        if guest.alive:
            found.append(Next("the agent dies", "crash", self._dies(guest)))
        if guest.dead_man is not None:
            lost = moves.DeadManLost("it ended with -9")
            killed = guest._replace(dead_man=None)
            found.append(Next("the dead-man dies", "crash", saying(killed, lost)))
        if guest.orphan is not None:
            forsaken = guest._replace(orphan=None, forsaken=not guest.alive)
            found.append(Next("the dead-man whose agent is gone dies", "crash", forsaken))
        if guest.frozen is not None and guest.frozen.whole and guest.frozen.level == ALL:
            thawed = guest._replace(frozen=guest.frozen._replace(whole=False))
            found.append(Next("somebody else thaws a filesystem", "fail", thawed))
        if guest.boot == 1 and (guest.alive or guest.dead_man or guest.orphan):
            again = Guest(alive=self._resident, session=IDLE, boot=2, jump=guest.jump)
            found.append(Next("the guest reboots", "crash", again))
        return found

    def _dies(self, guest: Guest) -> Guest:
        """Kill the agent: its threads and its pipes are gone, and its dead-man notices."""
        generation, stage = guest.pre
        pre = (generation, LEFT_RUNNING) if stage in (RUNNING, KILLED, LEFT_RUNNING) else (0, 0)
        one = guest.dead_man
        orphan = guest.orphan
        if one is not None and one.generation:
            orphan = (one.generation, one.released, one.asked)
        return guest._replace(
            forsaken=orphan is None and guest.state.attempt is not None,
            alive=False,
            words=(),
            pre=pre,
            post=0,
            thaw=0,
            handed=(),
            dead_man=None,
            orphan=orphan,
        )

    # --- time ---------------------------------------------------------------------------------

    def due(self, guest: Guest) -> list[int]:
        """Give in how many ms something is due by itself."""
        found = []
        one = guest.dead_man
        if one is not None and one.generation and not one.released:
            found.append(one.deadline)
        if guest.alive:
            due = session.next_deadline(guest.state)
            if due is not None and due <= MONOTONIC + FAR_MS:
                found.append(due - MONOTONIC)
        if guest.budget[0]:
            found.append(guest.budget[1] + OVERRUN_MS)
        return [at for at in found if at > 0]

    def shift(self, guest: Guest, by: int, *, paused: bool) -> Guest:
        """Let time pass; while the host paused the guest, only its wall clock was put forward."""
        handed = tuple((command, at - by) for command, at in guest.handed)
        if paused:
            return guest._replace(jump=guest.jump + by, handed=handed)
        one = guest.dead_man
        if one is not None and one.generation:
            one = one._replace(deadline=max(one.deadline - by, -1))
        generation, until = guest.budget
        until = max(until - by, -OVERRUN_MS) if generation else 0
        number = SESSIONS.number(shift_session(guest.state, by))
        return guest._replace(session=number, dead_man=one, budget=(generation, until), handed=handed)
