"""What a guest is: its agent, its dead-man, its kernel and its journal, as one value."""

from typing import Any, NamedTuple

from agent import moves
from agent.records import (
    FILESYSTEM,
    Evidence,
    ScriptResult,
)
from agent.state import State
from tests.model.interning import Table

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


def saying(guest: Guest, word: moves.Input) -> Guest:
    """Put an input on its way to the agent."""
    return guest._replace(words=(*guest.words, word))


def noting(guest: Guest, generation: int, **known: Any) -> Guest:
    """Note what is known of a generation now."""
    others = tuple(hook for hook in guest.hooks if hook.generation != generation)
    hooks = sorted((*others, guest.hook(generation)._replace(**known)))
    return guest._replace(hooks=tuple(hooks))


def pre_killed(guest: Guest) -> Guest:
    """Kill the pre-script's processes: of one that has not started yet there are none."""
    generation, stage = guest.pre
    if stage == RUNNING:
        return guest._replace(pre=(generation, KILLED))
    return guest._replace(pre=(0, 0)) if stage == LEFT_RUNNING else guest


def kernel_evidence(guest: Guest, generation: int) -> tuple[Evidence, ...]:
    """Give what the kernel answers to the thaw, or answered to an earlier one."""
    if guest.frozen is not None and guest.frozen.generation == generation:
        return (Evidence(FILESYSTEM, MOUNT, whole=guest.frozen.whole),)
    if guest.log[0] == generation and guest.log[1] in ("whole", "broken"):
        return (Evidence(FILESYSTEM, MOUNT, whole=guest.log[1] == "whole"),)
    return ()


def after_thaw(guest: Guest, generation: int) -> Guest:
    """Thaw what is frozen for a generation."""
    if guest.frozen is None or guest.frozen.generation != generation:
        return guest
    return guest._replace(frozen=None, log=(generation, "whole" if guest.frozen.whole else "broken"))


def script_result(path: str, *, started: bool, reason: str = "") -> ScriptResult:
    """Give the result of a script."""
    return ScriptResult(
        path=path,
        started=started,
        exit_code=0 if started and not reason else None,
        timed_out=False,
        duration_ms=1,
        output="",
        reason=reason,
    )
