"""The session among everything that can happen, in any order."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import moves, orders
from agent.anchors import Anchored
from agent.moves import CommandReceived
from agent.records import Evidence, Hold, ScriptResult
from agent.session import next_deadline, react
from agent.state import PHASES, RESTING, State

PIPED = (moves.ArmDeadMan, moves.ExtendWatch, moves.Freeze, moves.Release)
ANCHOR = Anchored("btrfs", "/data/.snapshot", ("/data",))
SPEC = orders.ScriptSpec("/script", (), 3_000)


def script_result(*, started: bool) -> ScriptResult:
    return ScriptResult(
        path="/script",
        started=started,
        exit_code=0 if started else None,
        timed_out=False,
        duration_ms=1,
        output="",
        reason="" if started else "script_missing",
    )


@dataclass
class World:
    """A guest: it does what the session orders, some time, well or badly; the dead-man acts on its own."""

    state: State = field(default_factory=State)
    now: int = 0
    pending: list[moves.Action] = field(default_factory=list)
    dead_man: bool = False
    watching: int = 0
    frozen: set[int] = field(default_factory=set)
    quiet: set[int] = field(default_factory=set)
    anchors: set[int] = field(default_factory=set)
    started: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    posts: dict[int, int] = field(default_factory=dict)
    acks: list[moves.SendAck] = field(default_factory=list)
    ordered_posts: list[int] = field(default_factory=list)
    #: What the dead-man said and the agent has not read yet.
    unread: list[moves.Input] = field(default_factory=list)

    def give(self, given: moves.Input) -> None:
        self.state, actions = react(self.state, given, self.now)
        assert self.state.phase in PHASES
        for action in actions:
            self._obey(action)

    def _obey(self, action: moves.Action) -> None:
        if isinstance(action, moves.SendAck):
            self.acks.append(action)
        elif isinstance(action, moves.RunScript) and action.phase == "post":
            self.ordered_posts.append(action.generation)
            self.pending.append(action)
        elif isinstance(action, moves.Disarm):
            self.watching = 0
        elif not isinstance(action, (moves.Refuse, moves.Defer, moves.End)):
            if isinstance(action, (moves.Freeze, moves.HoldHandlers, moves.CreateAnchor)):
                self.started.add(action.generation)
            self.pending.append(action)

    def run_post(self, generation: int) -> ScriptResult:
        """Once per generation, as the claims see to."""
        self.posts.setdefault(generation, 1)
        assert generation not in self.frozen, "a post-script ran while a filesystem was frozen"
        assert generation not in self.quiet, "a post-script ran while an application was held"
        return script_result(started=True)

    def thaw(self, generation: int) -> tuple[Evidence, ...]:
        whole = generation in self.frozen
        self.frozen.discard(generation)
        return (Evidence("filesystem", "/data", whole=whole),)

    def step(self, index: int, *, good: bool) -> None:
        """Let one pending action come to its end."""
        if not self.pending:
            return
        index %= len(self.pending)
        if isinstance(self.pending[index], PIPED):  # the dead-man's control is a pipe: first in, first out
            index = next(i for i, action in enumerate(self.pending) if isinstance(action, PIPED))
        action = self.pending.pop(index)
        if isinstance(action, moves.StartDeadMan):
            self.dead_man = good
            self.give(moves.DeadManReady(locked=True) if good else moves.DeadManLost("refused"))
        elif isinstance(action, moves.ArmDeadMan):
            self.dead_man, self.watching = good, action.generation if good else 0
            armed = moves.DeadManArmed(action.generation, locked=True, not_held=())
            failed = moves.FreezeFailed(action.generation, "mount_unusable", "")
            self.give(armed if good else failed)
        elif isinstance(action, moves.RunScript):
            self._script(action, good=good)
        elif isinstance(action, moves.Freeze) and self.dead_man and self.watching == action.generation:
            self._freeze(action.generation, good=good)
        elif isinstance(action, moves.Release) and self.dead_man and self.watching == action.generation:
            self.give(moves.FilesystemsReleased(action.generation, self.thaw(action.generation)))
        elif isinstance(action, moves.ThawOurselves):
            self.dead_man, self.watching = False, 0
            thawed = self.thaw(action.generation)
            self.unread = self.unread[:1]  # it is killed before its last word
            self.read()
            self.give(moves.FilesystemsReleased(action.generation, thawed))
        else:
            self._hold(action, good=good)

    def _hold(self, action: moves.Action, *, good: bool) -> None:
        if isinstance(action, moves.HoldHandlers):
            self._hold_handlers(action.generation, good=good)
        elif isinstance(action, moves.ReleaseHandlers):
            self.give(moves.HandlersReleased(action.generation, self.let_go(action.generation)))
        elif isinstance(action, moves.CreateAnchor):
            if good:
                self.anchors.add(action.generation)
                self.give(moves.AnchorCreated(action.generation, ANCHOR))
            else:
                self.give(moves.AnchorFailed(action.generation, "anchor_failed", ""))
        elif isinstance(action, moves.DropAnchor):
            self.give(moves.AnchorDropped(action.generation, self.drop(action.generation)))

    def _hold_handlers(self, generation: int, *, good: bool) -> None:
        if generation in self.closed:  # released before it came to it
            good = False
        if good:
            self.quiet.add(generation)
            self.give(moves.HandlersHeld(generation, (Hold("handler", "postgresql:5432", "frozen"),)))
        else:
            self.give(moves.HandlersFailed(generation, "refused", ""))

    def let_go(self, generation: int) -> tuple[Evidence, ...]:
        assert generation not in self.frozen, "an application was let go while a filesystem was frozen"
        self.closed.add(generation)
        whole = generation in self.quiet
        self.quiet.discard(generation)
        return (Evidence("handler", "postgresql:5432", whole=whole),)

    def drop(self, generation: int) -> tuple[Evidence, ...]:
        whole = generation in self.anchors
        self.anchors.discard(generation)
        return (Evidence("filesystem", "/data", whole=whole),)

    def lose_handler(self) -> None:
        for generation in tuple(self.quiet):
            self.quiet.discard(generation)
            self.give(moves.HandlerLost(generation, "postgresql", "killed"))

    def _script(self, action: moves.RunScript, *, good: bool) -> None:
        if action.phase == "post":
            result = self.run_post(action.generation)
        else:
            if good:
                self.started.add(action.generation)
            result = script_result(started=good)
        self.give(moves.ScriptEnded(action.generation, action.phase, result))

    def _freeze(self, generation: int, *, good: bool) -> None:
        self.frozen.add(generation)
        held = moves.FilesystemsHeld(generation, (Hold("filesystem", "/data"),), ())
        self.give(held if good else moves.FreezeFailed(generation, "freeze_error", "io"))

    def fire(self, *, unread: bool = False) -> None:
        """The dead-man's deadline; an agent that is stopped reads of it later, or never."""
        if not self.dead_man or not self.watching:
            return
        generation, self.watching = self.watching, 0
        self._say(moves.DeadManFired(generation, self.thaw(generation)), unread=unread)
        self.let_go(generation)
        result = self.run_post(generation) if generation in self.started else None
        self.drop(generation)
        self._say(moves.ScriptEnded(generation, "post", result), unread=unread)

    def _say(self, word: moves.Input, *, unread: bool) -> None:
        self.unread.append(word)
        if not unread:
            self.read()

    def read(self) -> None:
        while self.unread:
            self.give(self.unread.pop(0))

    def lose_dead_man(self) -> None:
        if self.dead_man:
            self.dead_man, self.watching = False, 0
            self.give(moves.DeadManLost("killed"))

    def settle(self) -> None:
        """Let everything under way come to its end, time included."""
        for _ in range(200):
            self.read()
            while self.pending:
                self.step(0, good=True)
            due = next_deadline(self.state)
            if due is None or self.state.phase in RESTING:
                return
            self.now = max(self.now, due)
            self.give(moves.Tick())
        raise AssertionError(self.state)


HANDLERS = (orders.HandlerSpec("postgresql"),)
ANCHORED = orders.AnchorSpec("btrfs", 20_000)
PLANS = [
    orders.Quiesce(5_000, 10_000, pre, post, orders.ALL, handlers, anchor=anchor)
    for pre in (SPEC, None)
    for post in (SPEC, None)
    for handlers in ((), HANDLERS)
    for anchor in (None, ANCHORED)
]


@st.composite
def commands(draw: st.DrawFn) -> orders.Order:
    kind = draw(st.sampled_from(["arm", "quiesce", "quiesce", "resume", "release"]))
    details: dict[str, orders.Details] = {
        "arm": orders.Arm(10_000, 60_000, 5_000),
        "quiesce": draw(st.sampled_from(PLANS)),
        "resume": orders.Resume(),
        "release": orders.Release(),
    }
    saga = draw(st.sampled_from(["a", "a", "a", "b"]))
    generation, sequence = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    return orders.Order(kind, saga, generation, sequence, details[kind])


EVENTS = st.one_of(
    commands().map(lambda order: ("command", order)),
    st.tuples(st.just("step"), st.tuples(st.integers(0, 3), st.booleans())),
    st.tuples(st.just("step"), st.tuples(st.integers(0, 3), st.just(value=True))),
    st.tuples(st.just("fire"), st.booleans()),
    st.tuples(st.just("read"), st.none()),
    st.tuples(st.just("lose"), st.none()),
    st.tuples(st.just("lose handler"), st.none()),
    st.tuples(st.just("time"), st.integers(0, 12_000)),
    st.tuples(st.just("stop"), st.none()),
)


def play(world: World, events: list[tuple[str, object]]) -> None:
    for what, value in events:
        if what == "command":
            assert isinstance(value, orders.Order)
            world.give(CommandReceived(value))
        elif what == "step":
            assert isinstance(value, tuple)
            world.step(value[0], good=value[1])
        elif what == "fire":
            world.fire(unread=bool(value))
        elif what == "read":
            world.read()
        elif what == "lose":
            world.lose_dead_man()
        elif what == "lose handler":
            world.lose_handler()
        elif what == "time":
            assert isinstance(value, int)
            world.now += value
            world.give(moves.Tick())
        else:
            world.give(moves.Stopping())


STARTS: list[list[tuple[str, object]]] = [
    [
        ("command", orders.Order("arm", "a", 0, 1, orders.Arm(10_000, 60_000, 5_000))),
        ("step", (0, True)),
        ("command", orders.Order("quiesce", "a", 1, 2, plan)),
    ]
    for plan in PLANS
]
#: Two sagas armed side by side, and the first of them quiesced.
BOTH: list[tuple[str, object]] = [
    *STARTS[0][:2],
    ("command", orders.Order("arm", "b", 0, 1, orders.Arm(10_000, 60_000, 5_000))),
    *STARTS[0][1:],
]
#: With both scripts.
FULL = [plan for plan in PLANS if plan.pre_script and plan.post_script]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*STARTS, BOTH, []]), st.lists(EVENTS, max_size=30))
def test_whatever_happens_everything_is_let_go(
    begun: list[tuple[str, object]], events: list[tuple[str, object]]
) -> None:
    world = World()
    play(world, begun + events)

    world.settle()

    assert world.state.attempt is None
    assert not world.frozen
    assert not world.quiet
    assert not world.anchors
    assert not world.state.waiting


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FULL), st.lists(EVENTS, max_size=30))
def test_the_post_script_runs_once_and_only_if_its_generation_began(
    plan: orders.Quiesce, events: list[tuple[str, object]]
) -> None:
    world = World()
    play(world, STARTS[PLANS.index(plan)] + [event for event in events if not _other_plan(event, plan)])

    world.settle()

    assert set(world.posts) == world.started
    assert len(world.ordered_posts) == len(set(world.ordered_posts))


def _other_plan(event: tuple[str, object], plan: orders.Quiesce) -> bool:
    """One saga and one plan, so that a generation's number names it."""
    order = event[1]
    if not isinstance(order, orders.Order):
        return False
    return order.saga != "a" or (order.kind == "quiesce" and order.details != plan)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*STARTS, BOTH]), st.lists(EVENTS, max_size=30))
def test_no_ack_proves_a_hold_that_the_dead_man_or_the_agent_ended(
    start: list[tuple[str, object]], events: list[tuple[str, object]]
) -> None:
    world = World()
    play(world, start + events)
    world.settle()

    sequences = [(ack.answer.saga, ack.answer.sequence) for ack in dict.fromkeys(world.acks)]
    assert len(sequences) == len(set(sequences))
    for ack in world.acks:
        facts = ack.answer.facts
        if ack.answer.kind == "resumed" and facts.held_until_order:  # type: ignore[union-attr]
            assert facts.released_by == "order"  # type: ignore[union-attr]
            assert all(evidence.whole for evidence in facts.held)  # type: ignore[union-attr]
