"""The guest's wall clock set by an hour while something is held: only what is told of it changes.

The clock of every process of the agent is moved, and with it, as in Pythons before 3.11, the time-outs of
locks. It runs under the oldest Python that is here.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent.app_side import App, hook, hooks, runs, script, until
from tests.integration.agent.conftest import VERSIONS, interpreter
from tests.integration.agent.process import LocalAgent

LAUNCHER = str(Path(__file__).with_name("planted.py"))
HOUR_S = 3_600


class Guest:
    """An agent whose wall clock can be set."""

    def __init__(self, folder: Path, pyz: str) -> None:
        folder.chmod(0o755)
        self.folder = folder
        self.agent = LocalAgent(LAUNCHER, folder, interpreter(VERSIONS[0]) or sys.executable)
        self._clock = folder / "clock"
        self._pyz = pyz

    def start(self, app: App) -> None:
        self.set_clock(0)
        planted = {"PLANTED_PYZ": self._pyz, "PLANTED_CLOCK": str(self._clock)}
        self.agent.start(app, arm={"linger_ms": 60_000}, **planted)
        assert app.answer().kind == "ready"

    def set_clock(self, ahead_s: int) -> None:
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(ahead_s))
        fresh.replace(self._clock)


@pytest.fixture
def guest(tmp_path: Path, pyz: str) -> Iterator[Guest]:
    made = Guest(tmp_path, pyz)
    yield made
    made.agent.close()


set_by = pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S], ids=["forward", "back"])


@set_by
def test_a_clock_that_is_set_while_held_loses_no_order_and_is_told(
    guest: Guest, app: App, ahead_s: int
) -> None:
    guest.start(app)
    app.quiesce(filesystems="none", **hooks(guest.folder))
    assert app.answer().kind == "quiesced"

    guest.set_clock(ahead_s)
    app.resume()  # by the new clock it expired long ago, or is good for an hour yet
    body = app.answer().body

    assert (body["released_by"], body["held_until_order"]) == ("order", True)
    assert abs(body["clock_jump_ms"] - ahead_s * 1_000) < 1_000
    assert 0 <= body["window_ms"] < 60_000
    assert guest.agent.counters() == {}
    app.release()
    assert app.answer().kind == "released"


@set_by
def test_a_clock_that_is_set_while_held_moves_no_budget(guest: Guest, app: App, ahead_s: int) -> None:
    guest.start(app)
    app.quiesce(filesystems="none", freeze_budget_ms=5_000, quiesce_timeout_ms=4_900, **hooks(guest.folder))
    quiesced = app.answer()
    assert quiesced.kind == "quiesced"

    guest.set_clock(ahead_s)
    told = app.unasked().body

    assert told["released_by"] == "dead-man"
    assert told["window_ms"] >= 5_000, "not before it was spent"
    assert runs(guest.folder, "post") == ["1"]


@set_by
def test_a_clock_that_is_set_moves_no_time_out_of_a_script(guest: Guest, app: App, ahead_s: int) -> None:
    guest.start(app)
    pre = hook(guest.folder, "pre", "sleep 600 >/dev/null")
    post = script(hook(guest.folder, "post"))
    app.quiesce(filesystems="none", pre_script=script(pre, timeout_ms=3_000), post_script=post)
    until(lambda: runs(guest.folder, "pre"), "the pre-script")

    guest.set_clock(ahead_s)
    failed = app.answer().body

    assert (failed["reason"], failed["script"]["timed_out"]) == ("script_timed_out", True)
    assert failed["script"]["duration_ms"] >= 3_000, "not before its time"
    assert runs(guest.folder, "post") == ["1"]


def test_a_clock_that_is_set_back_brings_back_no_command_that_had_expired(guest: Guest, app: App) -> None:
    guest.start(app)
    guest.set_clock(-HOUR_S)

    app.send(app.signed("quiesce", 1, 90, {}, expires_in_ms=-1_000))

    until(lambda: guest.agent.counters() == {"expired": 1}, "the refusal")


@set_by
def test_sessions_follow_one_another_under_a_clock_that_was_set(guest: Guest, app: App, ahead_s: int) -> None:
    guest.start(app)
    guest.set_clock(ahead_s)

    for generation in (1, 2):
        app.quiesce(generation, filesystems="none", **hooks(guest.folder))
        assert app.answer().kind == "quiesced"
        app.resume(generation)
        assert app.answer().body["held_until_order"]
    assert runs(guest.folder, "post") == ["1", "2"]
