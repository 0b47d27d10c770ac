"""The session, alone: what it answers, in which order it holds and lets go."""

from typing import Any

import pytest

from agent import moves, orders, releasing
from agent.anchors import Anchored
from agent.moves import CommandReceived
from agent.records import (
    Answer,
    Evidence,
    Failure,
    Hold,
    NotHeld,
    Quiesced,
    QuiesceFailed,
    Ready,
    Released,
    Resumed,
    ScriptResult,
    Warning_,
)
from agent.session import next_deadline, react
from agent.state import State

PRE = orders.ScriptSpec("/pre", (), 5_000)
POST = orders.ScriptSpec("/post", ("a",), 5_000)
PLAN = orders.Quiesce(8_000, 30_000, PRE, POST, orders.ALL)
DISK = Evidence("filesystem", "/data", whole=True)
BROKEN = Evidence("filesystem", "/data", whole=False, detail="thawed before")


def result(path: str = "/pre", reason: str = "", *, started: bool = True) -> ScriptResult:
    code = None if not started else (1 if reason else 0)
    timed_out = reason == "script_timed_out"
    return ScriptResult(path, started, code, timed_out, 10, "", reason)


class Table:
    """Plays inputs against the session and keeps what follows."""

    def __init__(self) -> None:
        self.state = State()
        self.now = 1_000
        self.actions: list[moves.Action] = []
        self._sequence = 0

    def give(self, given: moves.Input, after: int = 0) -> list[moves.Action]:
        self.now += after
        self.state, actions = react(self.state, given, self.now)
        self.actions += actions
        return list(actions)

    def command(self, kind: str, generation: int = 1, **more: Any) -> list[moves.Action]:
        self._sequence += 1
        return self.order(kind, generation, more.pop("sequence", self._sequence), **more)

    def order(
        self, kind: str, generation: int, sequence: int, saga: str = "saga", plan: orders.Quiesce = PLAN
    ) -> list[moves.Action]:
        details: dict[str, orders.Details] = {
            "arm": orders.Arm(30_000, 600_000, 15_000),
            "quiesce": plan,
            "resume": orders.Resume(),
            "release": orders.Release("done"),
        }
        return self.give(CommandReceived(orders.Order(kind, saga, generation, sequence, details[kind])))

    def armed(self) -> "Table":
        self.command("arm", 0)
        self.give(moves.DeadManReady(locked=True))
        return self

    def pre_running(self, plan: orders.Quiesce = PLAN) -> "Table":
        self.armed().command("quiesce", plan=plan)
        self.give(
            moves.DeadManArmed(
                1, locked=True, not_held=(NotHeld("filesystem", "/boot/efi", "not_supported"),)
            )
        )
        return self

    def freezing(self, plan: orders.Quiesce = PLAN) -> "Table":
        self.pre_running(plan)
        if plan.pre_script:
            self.give(moves.ScriptEnded(1, "pre", result()))
        return self

    def held(self, plan: orders.Quiesce = PLAN) -> "Table":
        self.freezing(plan)
        self.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))
        return self

    @property
    def acks(self) -> list[Answer]:
        return [a.answer for a in self.actions if isinstance(a, moves.SendAck)]

    @property
    def last(self) -> Any:
        return self.acks[-1].facts


def kinds(actions: list[moves.Action]) -> list[type]:
    return [type(action) for action in actions]


def test_arm_is_answered_when_the_dead_man_runs() -> None:
    table = Table()

    assert kinds(table.command("arm", 0)) == [moves.StartDeadMan]
    table.give(moves.DeadManReady(locked=True))

    assert table.acks == [Answer("ready", "saga", 0, 1, 1, Ready(armed=True, locked=True))]


def test_arm_says_so_when_the_dead_man_cannot_be_started() -> None:
    table = Table()
    table.command("arm", 0)

    table.give(moves.DeadManLost("no memory"))

    assert table.last == Ready(armed=False, locked=False)


def test_quiesce_holds_script_then_filesystems_and_resume_lets_go_in_reverse() -> None:
    table = Table().armed()
    steps = [
        table.command("quiesce"),
        table.give(moves.DeadManArmed(1, locked=True, not_held=())),
        table.give(moves.ScriptEnded(1, "pre", result())),
        table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()), after=70),
        table.command("resume"),
        table.give(moves.FilesystemsReleased(1, (DISK,)), after=900),
        table.give(moves.ScriptEnded(1, "post", result("/post")), after=30),
    ]

    assert [kinds(step) for step in steps] == [
        [moves.ArmDeadMan],
        [moves.RunScript],
        [moves.Freeze],
        [moves.SendAck],
        [moves.Release],
        [moves.RunScript],
        [moves.Disarm, moves.SendAck],
    ]
    quiesced, resumed = table.acks[1].facts, table.last
    assert isinstance(quiesced, Quiesced)
    assert quiesced.held == (Hold("script", "/pre"), Hold("filesystem", "/data"))
    assert (quiesced.quiesce_ms, quiesced.budget_left_ms) == (70, 29_930)
    assert isinstance(resumed, Resumed)
    assert (resumed.released_by, resumed.held_until_order, resumed.window_ms) == ("order", True, 1000)
    assert [e.whole for e in resumed.held] == [True, True]
    assert resumed.script == result("/post")


def test_a_repeated_command_gets_its_stored_ack_and_changes_nothing() -> None:
    table = Table().held()
    state, first = table.state, table.acks[-1]

    again = table.order("quiesce", 1, 2)

    assert again == [moves.SendAck(first)]
    assert table.state == state


def test_a_repeated_command_that_is_under_way_changes_nothing() -> None:
    table = Table().freezing()
    state = table.state

    assert table.order("quiesce", 1, 2) == []
    assert table.state == state


def test_a_lower_sequence_is_refused() -> None:
    table = Table().held()

    assert table.order("arm", 0, 1) == [moves.Refuse("replayed", 1)]


def test_a_quiesce_after_its_resume_is_refused() -> None:
    table = Table().armed()
    table.command("resume", generation=3)

    for generation in (2, 3):
        table.command("quiesce", generation=generation)

        assert isinstance(table.last, QuiesceFailed)
        assert table.last.failure.reason == "generation_closed"
    assert kinds(table.command("quiesce", generation=4)) == [moves.ArmDeadMan]


def test_a_quiesce_without_a_session_is_refused() -> None:
    table = Table()

    table.command("quiesce")

    assert table.last.failure.reason == "not_armed"
    assert table.state.attempt is None


def test_a_quiesce_that_comes_before_the_dead_man_is_ready_is_no_failure() -> None:
    table = Table()
    table.command("arm", 0)

    assert kinds(table.command("quiesce")) == [moves.ArmDeadMan]
    table.give(moves.DeadManReady(locked=True))
    table.give(moves.DeadManArmed(1, locked=True, not_held=()))

    assert [ack.answers for ack in table.acks] == [1]
    assert kinds(table.actions[-1:]) == [moves.RunScript]


def test_a_refused_pre_script_owes_no_post_script() -> None:
    table = Table().pre_running()

    table.give(moves.ScriptEnded(1, "pre", result(reason="script_missing", started=False)))
    done = table.give(moves.FilesystemsReleased(1, ()))

    assert kinds(done) == [moves.Disarm, moves.SendAck]
    assert table.last.failure.reason == "script_missing"
    assert table.last.window_ms == 0


@pytest.mark.parametrize("reason", ["script_failed", "script_timed_out"])
def test_a_failed_pre_script_is_followed_by_the_post_script(reason: str) -> None:
    table = Table().pre_running()

    table.give(moves.ScriptEnded(1, "pre", result(reason=reason)))
    post = table.give(moves.FilesystemsReleased(1, ()))
    table.give(moves.ScriptEnded(1, "post", result("/post", "script_failed")))

    assert kinds(post) == [moves.RunScript]
    assert table.last.failure.reason == reason
    assert table.last.post_script.reason == "script_failed"


def test_a_failed_freeze_releases_what_is_frozen_and_runs_the_post_script() -> None:
    table = Table().freezing()

    steps = [
        table.give(moves.FreezeFailed(1, "already_frozen", "/data: busy")),
        table.give(moves.FilesystemsReleased(1, (DISK,))),
        table.give(moves.ScriptEnded(1, "post", result("/post"))),
    ]

    assert [kinds(step) for step in steps] == [
        [moves.Release],
        [moves.RunScript],
        [moves.Disarm, moves.SendAck],
    ]
    assert table.last.failure == ("already_frozen", "/data: busy")
    assert table.last.released


def test_nothing_to_hold_is_a_failure() -> None:
    table = Table().freezing(orders.Quiesce(8_000, 30_000, None, None, orders.ALL))

    table.give(moves.FilesystemsHeld(1, (), (NotHeld("filesystem", "/", "holds_agent_state"),)))
    table.give(moves.FilesystemsReleased(1, ()))

    assert table.last.failure.reason == "nothing_to_hold"


def test_a_quiesce_that_takes_too_long_kills_the_script_before_the_post_script() -> None:
    table = Table().pre_running()
    assert next_deadline(table.state) == table.now + 8_000

    steps = [
        table.give(moves.Tick(), after=8_000),
        table.give(moves.ScriptEnded(1, "pre", result(reason="script_killed"))),
        table.give(moves.FilesystemsReleased(1, ())),
        table.give(moves.ScriptEnded(1, "post", result("/post"))),
    ]

    assert [kinds(step) for step in steps] == [
        [moves.KillScript],
        [moves.Release],
        [moves.RunScript],
        [moves.Disarm, moves.SendAck],
    ]
    assert table.last.failure.reason == "quiesce_timeout"


def test_the_dead_mans_release_is_told_unasked_and_answers_the_late_resume() -> None:
    table = Table().held()

    table.give(moves.DeadManFired(1, (DISK,)), after=30_000)
    table.give(moves.ScriptEnded(1, "post", result("/post")))
    table.command("resume")

    unasked, late = table.acks[-2:]
    assert (unasked.kind, unasked.answers, late.kind, late.answers) == ("resumed", 0, "resumed", 3)
    assert unasked.facts == late.facts
    assert table.last.released_by == "dead-man"
    assert not table.last.held_until_order
    assert [e.whole for e in table.last.held] == [False, True]


@pytest.mark.parametrize("end", [moves.DeadManFired(1, (DISK,)), moves.DeadManLost("killed")])
def test_filesystems_alone_that_were_let_go_without_an_order_prove_nothing(end: moves.Input) -> None:
    table = Table().held(orders.Quiesce(8_000, 30_000, None, None, orders.ALL))

    table.give(end)
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", None))

    assert [e.whole for e in table.last.held] == [True]
    assert not table.last.held_until_order


def test_the_dead_man_overrides_an_order_that_it_did_not_hear_in_time() -> None:
    table = Table().held()
    table.command("resume")

    table.give(moves.DeadManFired(1, (DISK,)))
    table.give(moves.FilesystemsReleased(1, (BROKEN,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert table.last.released_by == "dead-man"
    assert not table.last.held_until_order


def test_a_lost_dead_man_is_replaced_by_the_agent_at_once() -> None:
    table = Table().held()

    steps = [
        table.give(moves.DeadManLost("killed")),
        table.give(moves.FilesystemsReleased(1, (DISK,))),
        table.give(moves.ScriptEnded(1, "post", result("/post"))),
    ]

    assert [kinds(step) for step in steps] == [
        [moves.ThawOurselves],
        [moves.RunScript],
        [moves.Disarm, moves.SendAck],
    ]
    assert (table.last.released_by, table.last.held_until_order) == ("agent", False)


def test_a_dead_man_that_is_silent_after_the_budget_counts_as_lost() -> None:
    table = Table().held()

    assert table.give(moves.Tick(), after=30_000) == []
    assert kinds(table.give(moves.Tick(), after=2_000)) == [moves.ThawOurselves]


def test_a_dead_man_that_is_silent_after_the_order_counts_as_lost_and_the_kernel_still_bears_witness() -> (
    None
):
    table = Table().held()
    table.command("resume")

    assert kinds(table.give(moves.Tick(), after=2_000)) == [moves.ThawOurselves]
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert (table.last.released_by, table.last.held_until_order) == ("order", True)


def test_a_dead_man_that_dies_in_its_post_script_is_taken_over() -> None:
    table = Table().held()
    table.give(moves.DeadManFired(1, (DISK,)))

    assert kinds(table.give(moves.DeadManLost("killed"))) == [moves.ThawOurselves]
    assert kinds(table.give(moves.FilesystemsReleased(1, (DISK,)))) == [moves.RunScript]
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert table.last.released_by == "dead-man"


def test_what_a_dead_man_said_before_the_agent_took_over_is_read_after_it_and_waits_for_nothing() -> None:
    table = Table().held()
    table.give(moves.Tick(), after=32_000)  # the agent was stopped, and reads its dead-man's words only now

    table.give(moves.DeadManFired(1, (DISK,)))
    steps = [
        table.give(moves.FilesystemsReleased(1, (DISK,))),
        table.give(moves.ScriptEnded(1, "post", result("/post"))),
    ]

    assert [kinds(step) for step in steps] == [[moves.RunScript], [moves.Disarm, moves.SendAck]]
    assert (table.last.released_by, table.last.held_until_order) == ("dead-man", False)


def test_a_filesystem_that_was_thawed_before_the_order_breaks_the_proof() -> None:
    table = Table().held()
    table.command("resume")

    table.give(moves.FilesystemsReleased(1, (BROKEN,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert not table.last.held_until_order


def test_a_resume_that_overtakes_the_quiesce_ends_both_and_proves_nothing() -> None:
    table = Table().freezing()

    assert kinds(table.command("resume")) == [moves.Release]
    assert table.give(moves.FilesystemsHeld(1, (), ())) == []
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    failed, resumed = table.acks[-2:]
    assert (failed.kind, failed.answers, failed.facts.failure.reason) == ("quiesce_failed", 2, "overtaken")  # type: ignore[union-attr]
    assert (resumed.kind, resumed.answers, table.last.held_until_order) == ("resumed", 3, False)


def test_a_resume_of_an_older_generation_is_refused() -> None:
    table = Table().armed()
    table.command("quiesce", generation=2)

    assert table.command("resume", generation=1) == [moves.Refuse("stale_generation", 3)]


def test_release_while_held_resumes_first_and_hides_nothing() -> None:
    table = Table().held()

    assert kinds(table.command("release")) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    end = table.give(moves.ScriptEnded(1, "post", result("/post", "script_failed")))

    assert kinds(end) == [moves.Disarm, moves.SendAck, moves.SendAck, moves.End]
    assert table.last == Released(was_held=True)
    unasked = table.acks[-2].facts
    assert isinstance(unasked, Resumed)
    assert unasked.script == result("/post", "script_failed")


def test_a_second_generation_is_quiesced_after_the_first_was_resumed() -> None:
    table = Table().held()
    table.command("resume")
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert kinds(table.command("quiesce", generation=2)) == [moves.ArmDeadMan]


def test_a_quiesce_while_another_is_held_lets_go_of_everything() -> None:
    table = Table().held()

    assert kinds(table.command("quiesce", generation=2)) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert (table.acks[-2].kind, table.acks[-2].answers) == ("resumed", 0)
    assert (table.acks[-1].kind, table.last.failure.reason) == ("quiesce_failed", "still_held")


def test_a_post_script_without_a_pre_script_runs_too() -> None:
    table = Table().held(orders.Quiesce(8_000, 30_000, None, POST, orders.ALL))
    table.command("resume")

    assert kinds(table.give(moves.FilesystemsReleased(1, (DISK,)))) == [moves.RunScript]


def test_another_sagas_arm_waits_while_something_is_held() -> None:
    table = Table().held()

    assert kinds(table.order("arm", 0, 1, saga="other")) == [moves.Defer]
    assert table.state.saga == "saga"


def test_another_sagas_arm_takes_the_place_of_a_resting_session_and_old_commands_stay_refused() -> None:
    table = Table().armed()

    table.order("arm", 0, 1, saga="other")
    table.give(moves.DeadManReady(locked=False))

    assert (table.acks[-1].saga, table.acks[-1].sequence) == ("other", 1)
    assert kinds(table.order("arm", 0, 1)) == [moves.SendAck]
    assert table.order("quiesce", 0, 0) == [moves.Refuse("replayed", 0)]
    assert table.state.saga == "other"


def both_armed() -> Table:
    """Two sagas of overlapping runs: ``saga`` was armed first, then ``other``."""
    table = Table().armed()
    table.order("arm", 0, 1, saga="other")
    table.give(moves.DeadManReady(locked=True))
    return table


def let_go(table: Table) -> None:
    """Everything that is held is let go as it should."""
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))


def hold(table: Table, saga: str) -> None:
    table.order("quiesce", 1, 2, saga=saga)
    table.give(moves.DeadManArmed(1, locked=True, not_held=()))
    table.give(moves.ScriptEnded(1, "pre", result()))
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))


@pytest.mark.parametrize("first", ["saga", "other"])
def test_two_sagas_are_armed_side_by_side_and_held_one_after_the_other(first: str) -> None:
    table, second = both_armed(), {"saga": "other", "other": "saga"}[first]

    for each in (first, second):
        hold(table, each)
        assert (table.acks[-1].saga, table.acks[-1].kind) == (each, "quiesced")
        table.order("resume", 1, 3, saga=each)
        let_go(table)
        assert (table.acks[-1].saga, table.last.held_until_order) == (each, True)


def test_what_is_to_be_held_for_another_saga_waits_until_the_first_has_been_let_go() -> None:
    table = both_armed()
    hold(table, "other")

    assert kinds(table.order("quiesce", 1, 2)) == [moves.Defer]
    table.order("resume", 1, 3, saga="other")
    let_go(table)

    assert kinds(table.order("quiesce", 1, 2)) == [moves.ArmDeadMan]


@pytest.mark.parametrize("how", ["release", "its time"])
def test_the_end_of_one_session_does_not_end_the_agent_while_another_saga_is_armed(how: str) -> None:
    table = both_armed()
    if how == "release":
        assert kinds(table.order("release", 1, 2, saga="other")) == [moves.SendAck]
    else:
        hold(table, "other")
        table.order("resume", 1, 3, saga="other")
        let_go(table)
        assert table.give(moves.Tick(), after=15_000) == []

    assert (table.state.saga, next_deadline(table.state)) == ("saga", 601_000)
    assert kinds(table.command("release")) == [moves.SendAck, moves.End]


def test_a_session_that_was_put_aside_is_over_when_its_time_is() -> None:
    table = both_armed()

    table.give(moves.Tick(), after=600_000)
    table.order("quiesce", 1, 2)

    assert (table.acks[-1].kind, table.last.failure.reason) == ("quiesce_failed", "not_armed")


def test_an_agent_that_is_stopped_leaves_no_session_armed() -> None:
    table = both_armed()

    assert kinds(table.give(moves.Stopping())) == [moves.End]
    table.order("quiesce", 1, 2)

    assert table.last.failure.reason == "not_armed"


def test_a_session_that_is_let_go_while_it_is_put_aside_is_not_held_any_more() -> None:
    table = both_armed()
    hold(table, "other")

    table.order("resume", 1, 3)
    assert (table.acks[-1].saga, table.last.held_until_order) == ("saga", False)
    table.order("resume", 1, 3, saga="other")
    let_go(table)

    assert table.order("quiesce", 1, 2) == [moves.Refuse("replayed", 2)]


def test_a_recorded_session_cannot_be_played_back_once_it_has_ended() -> None:
    table = Table().held()
    table.command("release")
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    replayed = [table.order(kind, 1, number) for number, kind in enumerate(("arm", "quiesce"), 1)]

    assert replayed == [[moves.Refuse("replayed", 1)], [moves.Refuse("replayed", 2)]]
    assert isinstance(table.order("release", 1, 3)[0], moves.SendAck)


def test_the_session_ends_when_its_time_is_over() -> None:
    table = Table().armed()

    assert table.give(moves.Tick(), after=599_999) == []
    assert kinds(table.give(moves.Tick(), after=1)) == [moves.End]


def test_the_session_lingers_after_its_result() -> None:
    table = Table().held()
    table.command("resume")
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert next_deadline(table.state) == table.now + 15_000


def test_a_stopping_agent_lets_go_first() -> None:
    table = Table().held()

    assert kinds(table.give(moves.Stopping())) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    end = table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert isinstance(end[-1], moves.End)
    assert table.last.released_by == "agent"


@pytest.mark.parametrize(
    ("left_by", "told"), [("dead-man", "dead-man"), ("restart", "restart"), ("order", "restart")]
)
def test_a_restarted_agent_tells_who_released(left_by: str, told: str) -> None:
    table = Table().held()

    table.give(moves.AgentRestarted(left_by, (DISK,), result("/post")))

    assert (table.acks[-1].answers, table.last.released_by, table.last.held_until_order) == (0, told, False)


def test_an_order_survives_the_agents_death_if_the_dead_man_carried_it_out() -> None:
    table = Table().held()
    table.command("resume")

    table.give(moves.AgentRestarted("order", (DISK,), result("/post")))

    assert (table.last.released_by, table.last.held_until_order) == ("order", True)


def test_a_pre_script_that_may_be_missing_and_is_holds_nothing_and_stops_nothing() -> None:
    table = Table().pre_running()
    table.give(moves.ScriptEnded(1, "pre", result(started=False)))
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))

    assert table.last.held == (Hold("filesystem", "/data"),)


def test_a_pre_script_may_use_its_retries_within_the_time_that_is_left() -> None:
    again = PRE._replace(timeout_ms=2_000, retries=2, retry_delay_ms=500)
    for retries, total in ((2, 7_000), (9, 8_000)):
        table = Table().pre_running(PLAN._replace(pre_script=again._replace(retries=retries)))
        run = next(a for a in table.actions if isinstance(a, moves.RunScript))
        assert run.timeout_ms == total


def test_the_dead_mans_silence_is_not_taken_for_its_loss_while_the_post_script_is_retried() -> None:
    again = POST._replace(timeout_ms=2_000, retries=3, retry_delay_ms=1_000)
    table = Table().held(PLAN._replace(post_script=again))
    table.give(moves.DeadManFired(1, (DISK,)))

    assert next_deadline(table.state) == table.now + again.total_ms + releasing.SILENCE_MS


# --- handlers and anchors ---------------------------------------------------------------

HANDLED = PLAN._replace(handlers=(orders.HandlerSpec("postgresql"),))
ANCHORED = HANDLED._replace(anchor=orders.AnchorSpec("btrfs", 60_000))
BASE = Hold("handler", "postgresql:5432", "frozen")
BASE_WHOLE = Evidence("handler", "postgresql:5432", whole=True)
ANCHOR = Anchored("btrfs", "/data/.snapshot", ("/data",), warnings=("little room",))


def handlers_held(plan: orders.Quiesce = HANDLED) -> Table:
    table = Table().freezing(plan)
    table.give(moves.HandlersHeld(1, (BASE,), (), (Warning_("handler", "postgresql:5432", "handler", "x"),)))
    return table


def anchored() -> Table:
    table = handlers_held(ANCHORED)
    table.give(moves.AnchorCreated(1, ANCHOR, (NotHeld("filesystem", "/", "not_anchored"),)))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))
    return table


def test_handlers_hold_after_the_pre_script_and_before_the_filesystems() -> None:
    table = Table().pre_running(HANDLED)

    held = table.give(moves.ScriptEnded(1, "pre", result()))
    frozen = table.give(moves.HandlersHeld(1, (BASE,)))

    assert [held, frozen] == [[moves.HoldHandlers(1, 8_000)], [moves.Freeze(1)]]


def test_what_handlers_hold_and_warn_of_is_in_the_ack() -> None:
    table = handlers_held()

    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))

    assert [hold.kind for hold in table.last.held] == ["script", "handler", "filesystem"]
    assert [warning.detail for warning in table.last.warnings] == ["x"]


def test_handlers_let_go_after_the_thaw_and_before_the_post_script() -> None:
    table = handlers_held()
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))

    assert kinds(table.command("resume")) == [moves.Release]
    assert kinds(table.give(moves.FilesystemsReleased(1, (DISK,)))) == [moves.ReleaseHandlers]
    assert kinds(table.give(moves.HandlersReleased(1, (BASE_WHOLE,)))) == [moves.RunScript]
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert table.last.held_until_order
    assert BASE_WHOLE in table.last.held


def test_a_handler_that_was_not_whole_breaks_the_proof() -> None:
    table = handlers_held()
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))
    table.command("resume")
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE._replace(whole=False),)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert not table.last.held_until_order


def test_a_failed_handler_lets_everything_go_and_says_why() -> None:
    table = Table().freezing(HANDLED)

    assert kinds(table.give(moves.HandlersFailed(1, "handler_busy", "behind a report"))) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, ()))
    table.give(moves.HandlersReleased(1, ()))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert isinstance(table.last, QuiesceFailed)
    assert table.last.failure == Failure("handler_busy", "behind a report")


def test_a_handler_that_dies_while_held_lets_everything_go() -> None:
    table = handlers_held()
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))

    assert kinds(table.give(moves.HandlerLost(1, "postgresql:5432", "killed"))) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE._replace(whole=False),)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert (table.last.released_by, table.last.held_until_order) == ("agent", False)


def test_the_dead_man_firing_has_the_agent_let_its_handlers_go_too() -> None:
    table = handlers_held()
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))

    assert kinds(table.give(moves.DeadManFired(1, (DISK,)))) == [moves.ReleaseHandlers]
    table.give(moves.ScriptEnded(1, "post", result("/post")))
    assert table.acks[-1].kind == "quiesced"
    table.give(moves.HandlersReleased(1, (BASE_WHOLE._replace(whole=False),)))

    assert (table.last.released_by, table.last.held_until_order) == ("dead-man", False)


def test_with_an_anchor_the_applications_go_on_before_the_ack() -> None:
    table = handlers_held(ANCHORED)
    assert isinstance(table.actions[-1], moves.CreateAnchor)

    assert kinds(table.give(moves.AnchorCreated(1, ANCHOR))) == [moves.ReleaseHandlers]
    assert kinds(table.give(moves.HandlersReleased(1, (BASE_WHOLE,)))) == [moves.RunScript]
    told = table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert kinds(told) == [moves.ExtendWatch, moves.SendAck]
    assert table.last.anchored
    assert Hold("filesystem", "/data", "anchor") in table.last.held
    assert table.last.budget_left_ms == 60_000


def test_resuming_an_anchored_generation_deletes_the_anchor() -> None:
    table = anchored()

    assert kinds(table.command("resume")) == [moves.Release]
    assert kinds(table.give(moves.FilesystemsReleased(1, ()))) == [moves.DropAnchor]
    table.give(moves.AnchorDropped(1, (DISK,)))

    assert table.last.held_until_order
    assert {e.kind for e in table.last.held} == {"script", "handler", "filesystem"}


def test_an_anchor_that_is_broken_breaks_the_proof() -> None:
    table = anchored()
    table.command("resume")
    table.give(moves.FilesystemsReleased(1, ()))
    table.give(moves.AnchorDropped(1, (BROKEN,)))

    assert not table.last.held_until_order


def test_a_handler_that_let_go_before_the_anchor_was_there_fails_the_generation() -> None:
    table = handlers_held(ANCHORED)
    table.give(moves.AnchorCreated(1, ANCHOR))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE._replace(whole=False),)))

    assert kinds(table.give(moves.ScriptEnded(1, "post", result("/post")))) == [moves.DropAnchor]
    table.give(moves.AnchorDropped(1, (DISK,)))

    assert table.last.failure.reason == "handler_lost"


def test_without_an_anchor_the_applications_go_on_and_it_is_said_why() -> None:
    table = handlers_held(ANCHORED)

    assert kinds(table.give(moves.AnchorFailed(1, "no_volume", "none"))) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, ()))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert table.last.failure == Failure("no_volume", "none")


def test_an_order_while_the_anchor_is_made_waits_for_it_and_deletes_it() -> None:
    table = handlers_held(ANCHORED)

    assert table.command("resume") == []
    assert kinds(table.give(moves.AnchorCreated(1, ANCHOR))) == [moves.Release]
    table.give(moves.FilesystemsReleased(1, ()))
    table.give(moves.HandlersReleased(1, (BASE_WHOLE,)))
    assert kinds(table.give(moves.ScriptEnded(1, "post", result("/post")))) == [moves.DropAnchor]
    table.give(moves.AnchorDropped(1, (DISK,)))

    assert [ack.kind for ack in table.acks[-2:]] == ["quiesce_failed", "resumed"]


# --- time -------------------------------------------------------------------------------


def test_an_order_after_the_budget_proves_nothing() -> None:
    """As when the whole guest was paused: its dead-man had no chance to act either."""
    table = Table().held()
    table.now += 30_001
    table.command("resume")
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert not table.last.held_until_order
    assert not any(e.whole for e in table.last.held)


def test_how_far_the_wall_clock_moved_is_told() -> None:
    table = Table().armed()
    order = orders.Order("quiesce", "saga", 1, 2, PLAN._replace(pre_script=None))
    table.give(CommandReceived(order, clock_offset=1_000))
    table.give(moves.DeadManArmed(1, locked=True, not_held=()))
    table.give(moves.FilesystemsHeld(1, (Hold("filesystem", "/data"),), ()))
    table.give(CommandReceived(orders.Order("resume", "saga", 1, 3, orders.Resume()), clock_offset=-29_000))
    table.give(moves.FilesystemsReleased(1, (DISK,)))
    table.give(moves.ScriptEnded(1, "post", result("/post")))

    assert table.last.clock_jump_ms == -30_000
