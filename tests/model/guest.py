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

from typing import Any, NamedTuple

from agent import moves, session
from agent.orders import Order
from agent.records import (
    BY_DEAD_MAN,
    BY_ORDER,
    BY_RESTART,
    FILESYSTEM,
    POST,
    PRE,
    Answer,
    Evidence,
    Hold,
    ScriptResult,
)
from agent.state import State
from tests.model import wire
from tests.model.interning import Table
from tests.model.times import FAR_MS, MONOTONIC, canonical_session, shift_session

MOUNT = "/data"

#: The pre-script: about to start, running; the same, with an order to kill it; left by a dead agent.
LAUNCHED, RUNNING, KILLED_BEFORE, KILLED, LEFT_RUNNING = range(1, 6)

#: How much of the filesystems is frozen.
PART, ALL = 1, 2

#: A held guest whose deadline passed this long ago has been forgotten by everybody (ms): the dead-man's
#: silence is taken for its death after 2 s, and the agent then needs a moment.
OVERRUN_MS = 3_000

SESSIONS: Table[State] = Table()


class DeadMan(NamedTuple):
    """The dead-man's process. ``deadline`` in ms from now; generation 0 means that it watches nothing."""

    ready: bool = False
    generation: int = 0
    deadline: int = 0
    asked: bool = False
    freezing: bool = False
    released: bool = False
    firing: bool = False
    pending: tuple[Any, ...] = ()


class Frozen(NamedTuple):
    """What the kernel holds for a generation."""

    generation: int
    level: int
    whole: bool


class Hook(NamedTuple):
    """What the journal and the scripts themselves know of a generation.

    ``asked``: the agent asked for the post-script. ``wrong`` says in a sentence what should not have been.
    """

    generation: int
    begun: bool = False
    pre_began: bool = False
    posts: int = 0
    asked: bool = False
    wrong: str = ""


class Left(NamedTuple):
    """What the dead-man's release showed, for the next agent."""

    generation: int
    by: str
    evidence: tuple[Evidence, ...]


class Guest(NamedTuple):
    """A guest. ``session`` is the number of the journal's session, which is the agent's own while it lives.

    ``words`` are inputs on their way to the agent. ``orphan`` is a dead-man whose agent is gone: the
    generation that it watches, whether it has thawed, and whether the pre-script had ended. ``log`` is the
    last word of the freeze log. ``budget`` is the newest generation and until when it may hold (ms from now).
    ``forsaken``: the last process that could have let go of a generation died at it.
    """

    alive: bool = False
    session: int = 0
    unsent: tuple[int, ...] = ()
    handed: tuple[tuple[int, int], ...] = ()
    words: tuple[moves.Input, ...] = ()
    pre: tuple[int, int] = (0, 0)
    post: int = 0
    thaw: int = 0
    dead_man: DeadMan | None = None
    orphan: tuple[int, bool, bool] | None = None
    frozen: Frozen | None = None
    log: tuple[int, str] = (0, "")
    hooks: tuple[Hook, ...] = ()
    left: Left | None = None
    budget: tuple[int, int] = (0, 0)
    forsaken: bool = False
    boot: int = 1
    jump: int = 0

    @property
    def state(self) -> State:
        """The session."""
        return SESSIONS.value(self.session)

    def hook(self, generation: int) -> Hook:
        """Give what is known of a generation."""
        return next((hook for hook in self.hooks if hook.generation == generation), Hook(generation))


class Next(NamedTuple):
    """A guest that may follow: what happened, what of the faults it takes (empty: none), and what it says."""

    label: str
    fault: str
    guest: Guest
    acks: tuple[int, ...] = ()
    urgent: bool = False


IDLE = SESSIONS.number(State())


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
            begun = _noting(guest, generation, begun=True, pre_began=True)
            found.append(Next("the pre-script begins", "", begun._replace(pre=(generation, RUNNING))))
        elif stage in (RUNNING, KILLED_BEFORE, KILLED):
            reason = "" if stage == RUNNING else "killed"
            found.append(self._pre_ends(guest, reason))
            if stage == RUNNING:
                found.append(self._pre_ends(guest, "script_failed")._replace(fault="fail"))
        if guest.post and guest.alive:
            ran = self._run_post(guest, guest.post)
            word = moves.ScriptEnded(guest.post, POST, _result("/post", started=True))
            ended = _saying(ran._replace(post=0), word)
            found.append(Next("the agent's post-script ends", "", ended, urgent=True))
        if guest.thaw and guest.alive:
            evidence = _evidence(guest, guest.thaw)
            thawed = _thawed(guest, guest.thaw)._replace(thaw=0)
            told = _saying(thawed, moves.FilesystemsReleased(guest.thaw, evidence))
            found.append(Next("the agent thaws by itself", "", told, urgent=True))
        return found

    def _pre_ends(self, guest: Guest, reason: str) -> Next:
        generation, stage = guest.pre
        result = _result("/pre", started=stage != KILLED_BEFORE, reason=reason)
        word = moves.ScriptEnded(generation, PRE, result)
        told = f" ({reason})" if reason else ""
        after = _saying(guest._replace(pre=(0, 0)), word)
        return Next(f"the pre-script ends{told}", "", after, urgent=stage != RUNNING)

    def _run_post(self, guest: Guest, generation: int) -> Guest:
        """Run the post-script, unless it has been run: the claim in the journal is made once."""
        if guest.hook(generation).posts:
            return guest
        held = guest.frozen is not None and guest.frozen.generation == generation
        wrong = "the post-script ran while filesystems were frozen" if held else ""
        return _noting(guest, generation, posts=1, wrong=wrong)

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
            told = _saying(ended._replace(dead_man=DeadMan(ready=True)), word)
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
        ready = _saying(guest._replace(dead_man=DeadMan(ready=True)), moves.DeadManReady(locked=True))
        for order in one.pending:
            ready = self._tell(ready, order)
        return Next("the dead-man is ready", "", ready)

    def _fires(self, guest: Guest, one: DeadMan) -> Next:
        evidence = _evidence(guest, one.generation)
        thawed = _thawed(guest, one.generation)._replace(
            left=Left(one.generation, BY_DEAD_MAN, evidence),
            dead_man=one._replace(freezing=False, released=True, firing=True),
        )
        if not one.asked:
            thawed = _pre_killed(thawed)
        word = moves.DeadManFired(one.generation, evidence)
        return Next("the dead-man fires", "", _saying(thawed, word), urgent=True)

    def _freezing_ends(self, guest: Guest, one: DeadMan) -> list[Next]:
        still = one._replace(freezing=False)
        whole = Frozen(one.generation, ALL, whole=True)
        part = Frozen(one.generation, PART, whole=True)
        log = (one.generation, "frozen")
        held = moves.FilesystemsHeld(one.generation, (Hold(FILESYSTEM, MOUNT),), ())
        failed = moves.FreezeFailed(one.generation, "freeze_error", "a mount could not be frozen")
        good = _saying(guest._replace(dead_man=still, frozen=whole, log=log), held)
        bad = _saying(guest._replace(dead_man=still, frozen=part, log=log), failed)
        return [
            Next("the filesystems are frozen", "", good),
            Next("a filesystem cannot be frozen, another is", "fail", bad),
        ]

    def _orphan(self, guest: Guest, orphan: tuple[int, bool, bool]) -> list[Next]:
        generation, thawed, asked = orphan
        if not thawed:
            evidence = _evidence(guest, generation)
            after = _thawed(guest, generation)._replace(
                orphan=(generation, True, asked), left=Left(generation, BY_DEAD_MAN, evidence)
            )
            after = after if asked else _pre_killed(after)
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
        result = _result("/post", started=True)
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
            return _saying(guest._replace(dead_man=watch, log=(order.generation, "")), word)
        if order.generation != one.generation:
            return guest
        if isinstance(order, moves.Freeze):
            return guest._replace(dead_man=one._replace(asked=True, freezing=not one.released))
        if isinstance(order, moves.Release):
            evidence = _evidence(guest, one.generation)
            thawed = _thawed(guest, one.generation)._replace(
                dead_man=one._replace(freezing=False, released=True),
                left=Left(one.generation, BY_ORDER, evidence),
            )
            return _saying(thawed, moves.FilesystemsReleased(one.generation, evidence))
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
                return _saying(guest, moves.DeadManReady(locked=True)) if guest.dead_man.ready else guest
            case moves.ArmDeadMan():
                there = guest._replace(budget=(action.generation, action.deadline - MONOTONIC))
                there = there if there.dead_man is not None else there._replace(dead_man=DeadMan())
                return self._tell(there, action)
            case moves.RunScript(_, generation, phase):
                if phase == PRE:
                    return guest._replace(pre=(generation, LAUNCHED))
                again = guest.hook(generation).asked
                wrong = "the agent ran the post-script twice" if again else guest.hook(generation).wrong
                return _noting(guest._replace(post=generation), generation, asked=True, wrong=wrong)
            case moves.KillScript(generation):
                later = {LAUNCHED: KILLED_BEFORE, RUNNING: KILLED}
                return guest._replace(pre=(generation, later.get(guest.pre[1], guest.pre[1])))
            case moves.Freeze(generation):
                return self._tell(_noting(guest, generation, begun=True), action)
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
                left = Left(generation, BY_RESTART, _evidence(guest, generation))
            guest = _thawed(guest, generation)
            guest = guest._replace(pre=(0, 0)) if attempt.pre_running else guest
            result = None
            if attempt.plan.post_script is not None and guest.hook(generation).begun:
                guest, result = self._run_post(guest, generation), _result("/post", started=True)
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
            found.append(Next("the dead-man dies", "crash", _saying(killed, lost)))
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


def settled(guest: Guest) -> Guest:
    """Leave out what nobody in the guest looks at again: guests that differ in that alone are one."""
    attempt = guest.state.attempt
    live = {guest.pre[0], guest.post, guest.thaw}
    live |= {attempt.generation} if attempt is not None else set()
    live |= {guest.orphan[0]} if guest.orphan is not None else set()
    live |= {guest.dead_man.generation} if guest.dead_man is not None else set()
    live |= {guest.frozen.generation} if guest.frozen is not None else set()
    hooks = tuple(hook for hook in guest.hooks if hook.generation in live or hook.posts != int(hook.begun))
    owed = {hook.generation for hook in hooks}
    return guest._replace(
        hooks=hooks,
        left=guest.left if guest.left is not None and guest.left.generation in live else None,
        log=guest.log if guest.log[0] in live else (0, ""),
        budget=guest.budget if guest.budget[0] in live | owed else (0, 0),
    )


def held_generation(guest: Guest) -> int:
    """Give the generation of which everything is held now; 0 while something is not."""
    frozen = guest.frozen
    if frozen is None or frozen.level != ALL or not frozen.whole or guest.pre[1]:
        return 0
    return 0 if guest.hook(frozen.generation).posts else frozen.generation


def overheld(guest: Guest, *, post_script: bool) -> bool:
    """Say whether something is held longer than its budget, although a process of ours is alive to end it."""
    generation, until = guest.budget
    if not generation or until > -OVERRUN_MS or not has_somebody(guest):
        return False
    hook = guest.hook(generation)
    return guest.frozen is not None or (post_script and hook.begun and not hook.posts)


def has_somebody(guest: Guest) -> bool:
    """Say whether a process of ours is alive in the guest."""
    return guest.alive or guest.dead_man is not None or guest.orphan is not None


def _saying(guest: Guest, word: moves.Input) -> Guest:
    return guest._replace(words=(*guest.words, word))


def _noting(guest: Guest, generation: int, **known: Any) -> Guest:
    others = tuple(hook for hook in guest.hooks if hook.generation != generation)
    hooks = sorted((*others, guest.hook(generation)._replace(**known)))
    return guest._replace(hooks=tuple(hooks))


def _pre_killed(guest: Guest) -> Guest:
    """Kill the pre-script's processes: of one that has not started yet there are none."""
    generation, stage = guest.pre
    if stage == RUNNING:
        return guest._replace(pre=(generation, KILLED))
    return guest._replace(pre=(0, 0)) if stage == LEFT_RUNNING else guest


def _evidence(guest: Guest, generation: int) -> tuple[Evidence, ...]:
    """Give what the kernel answers to the thaw, or answered to an earlier one."""
    if guest.frozen is not None and guest.frozen.generation == generation:
        return (Evidence(FILESYSTEM, MOUNT, whole=guest.frozen.whole),)
    if guest.log[0] == generation and guest.log[1] in ("whole", "broken"):
        return (Evidence(FILESYSTEM, MOUNT, whole=guest.log[1] == "whole"),)
    return ()


def _thawed(guest: Guest, generation: int) -> Guest:
    if guest.frozen is None or guest.frozen.generation != generation:
        return guest
    return guest._replace(frozen=None, log=(generation, "whole" if guest.frozen.whole else "broken"))


def _result(path: str, *, started: bool, reason: str = "") -> ScriptResult:
    return ScriptResult(
        path=path,
        started=started,
        exit_code=0 if started and not reason else None,
        timed_out=False,
        duration_ms=1,
        output="",
        reason=reason,
    )


def said(number: int) -> Answer:
    """Give the answer that has this number."""
    return wire.ANSWERS.value(number)
