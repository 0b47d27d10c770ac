"""The agent killed at every move of a session: nothing stays held, each hook runs once, the truth is told.

Killed before a move's decision is in the journal (`undecided`), and before and after it is carried out.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import protocol
from tests.integration.agent.app_side import App, guest_file, hook, hooks, runs, script, until
from tests.integration.agent.box import Box, eventually_written

pytestmark = pytest.mark.world

LAUNCHER = str(Path(__file__).with_name("planted.py"))
SYSTEMCTL = str(Path(__file__).with_name("stand_ins") / "systemctl")
POINTS = ("undecided", "before", "after")

#: The moves of a session with a pre-script, a handler, a filesystem and a post-script, in their order.
BEFORE_THE_ORDER = (
    "StartDeadMan",
    "SendAck ready",
    "ArmDeadMan",
    "RunScript pre",
    "HoldHandlers",
    "Freeze",
    "SendAck quiesced",
)
LETTING_GO = ("Release", "ReleaseHandlers", "RunScript post")
ALL_LET_GO = ("Disarm", "SendAck resumed", "SendAck released", "End")

#: Longer than anything is waited for here: what is let go in time was not let go by the budget.
BUDGET_MS = 300_000


class Guest:
    """A box with a disk and a service, and the app's side of its sessions."""

    def __init__(self, box: Box, app: App) -> None:
        self.box = box
        self.app = app
        self.disk = box.disk("data")
        self._manager = box.folder / "manager.json"
        self._agent: subprocess.Popen[bytes] | None = None
        unit = {"LoadState": "loaded", "ActiveState": "active", "ControlGroup": ""}
        unit["InactiveEnterTimestampMonotonic"] = "0"
        self.set_manager(units={"db": unit}, log=[])
        guest_file(box.folder, "[services]", "units = db", f"client = {SYSTEMCTL}")

    def set_manager(self, **members: Any) -> None:
        self._manager.write_text(json.dumps({**self.manager(), **members}))

    def manager(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._manager.read_text()) if self._manager.exists() else {}
        return found

    @property
    def held_up(self) -> Path:
        """There while the service manager is kept from what it was asked for."""
        return self._manager.with_name(self._manager.name + ".held")

    def start(self, killed: str = "", **more: Any) -> subprocess.Popen[bytes]:
        """Start an agent, one that is to be ``killed`` at a move if so wanted."""
        more["STAND_IN_STATE"] = str(self._manager)
        if killed:
            more.update(launcher=(LAUNCHER,), PLANTED_KILL=killed)
        mounts = more.pop("mounts", (self.disk,))
        self._agent = self.box.agent(self.app, mounts=mounts, command=self.app.arm(), **more)
        return self._agent

    def quiesce(self, generation: int = 1, **body: Any) -> None:
        plan = {"freeze_budget_ms": BUDGET_MS, "handlers": [{"name": "services"}], **hooks(self.box.folder)}
        self.app.quiesce(generation, **{**plan, **body})

    def answered(self, sequence: int) -> bool:
        """Wait for the answer to a command, or for the agent's death; say whether it was answered."""
        assert self._agent is not None
        agent = self._agent

        def look() -> bool:
            ended = agent.poll() is not None  # asked first: what it said before is there by then
            return self.has_answer(sequence) or ended

        until(look, f"answer to {sequence}, or the agent's end")
        return self.has_answer(sequence)

    def has_answer(self, sequence: int) -> bool:
        return any(ack.answers == sequence for ack in self.app.collect())

    def is_killed(self, *orders: Callable[[], None]) -> None:
        """Give orders, each once the one before is answered, until the agent has been killed."""
        assert self._agent is not None
        for order in (lambda: None, *orders):
            order()
            if not self.answered(self.app.sequence):
                break
        assert self._agent.wait(30) == -signal.SIGKILL

    # --- what must be true, seen from outside -----------------------------------------------

    def is_let_go(self, *, died_in_post: bool = False) -> None:
        """Nothing is held; and the post-script ran, once, exactly if it was owed.

        Of one that the agent began and did not see end nobody knows how far it came: it is run again.
        """
        eventually_written(self.box, self.disk)
        owed = bool(list(self.box.inside(self.box.state).glob("begun-*")))
        times = (1, 2) if died_in_post else (owed,)
        until(lambda: len(self.ran("post")) in times, "the post-script")
        until(lambda: self.manager()["units"]["db"]["ActiveState"] == "active", "the service")
        assert owed or not self.ran("pre")

    def ran(self, name: str) -> list[str]:
        return runs(self.box.folder, name)

    def next_tells(self, generation: int = 1) -> list[dict[str, Any]]:
        """Start the next agent and ask it to resume; give all that was said of how the generation ended."""
        self.start()
        assert self.app.answer().kind == protocol.READY
        self.app.resume(generation)
        assert self.app.answer().kind == protocol.RESUMED
        acks = self.app.collect()
        return [a.body for a in acks if a.kind == protocol.RESUMED and a.generation == generation]

    def goes_on(self, generation: int = 2) -> None:
        """The next generation holds the disk until its order: the kernel is the witness."""
        self.app.quiesce(generation)
        quiesced = self.app.answer()
        assert quiesced.kind == protocol.QUIESCED, quiesced.body
        self.app.resume(generation)
        assert self.app.answer().body["held_until_order"]


@pytest.fixture
def guest(box: Box, app: App) -> Iterator[Guest]:
    made = Guest(box, app)
    yield made
    made.held_up.unlink(missing_ok=True)


def play(guest: Guest, point: str, move: str) -> list[bool]:
    """Play a session whose agent is killed at a move; give what was said of `held_until_order`."""
    guest.start(killed=f"{point} {move}")
    guest.is_killed(guest.quiesce, guest.app.resume, guest.app.release)
    in_post = (point, move) == ("after", "RunScript post")
    guest.is_let_go(died_in_post=in_post)
    told = guest.next_tells()
    guest.is_let_go(died_in_post=in_post)
    for body in told:
        assert body["held_until_order"] <= all(held["held_until_order"] for held in body["held"])
    guest.goes_on()
    return [body["held_until_order"] for body in told]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("move", BEFORE_THE_ORDER)
def test_killed_before_the_order_it_lets_go_and_is_never_called_held(
    guest: Guest, move: str, point: str
) -> None:
    assert not any(play(guest, point, move))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("move", LETTING_GO)
def test_killed_while_it_lets_go_it_says_one_thing_about_what_was_held(
    guest: Guest, move: str, point: str
) -> None:
    told = play(guest, point, move)

    assert len(set(told)) == 1


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("move", ALL_LET_GO)
def test_killed_when_all_was_let_go_by_the_order_it_says_so(guest: Guest, move: str, point: str) -> None:
    assert any(play(guest, point, move))


# --- moves of other stories -------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
def test_killed_when_it_ends_a_pre_script_that_still_runs_nothing_of_it_is_left(
    guest: Guest, point: str
) -> None:
    guest.start(killed=f"{point} KillScript pre")
    slow = hook(guest.box.folder, "slow", f"sleep 600 >/dev/null\necho late >> {guest.box.folder}/slow.runs")
    guest.quiesce(pre_script=script(slow, timeout_ms=60_000), quiesce_timeout_ms=60_000)
    until(lambda: guest.ran("slow"), "the pre-script")
    guest.app.resume()
    guest.is_killed()

    guest.is_let_go()
    assert not any(told["held_until_order"] for told in guest.next_tells())
    assert "sleep" not in guest.box.run("ps", "-A", "-o", "comm=")
    guest.is_let_go()
    assert guest.ran("slow") == guest.ran("post") == ["1"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_when_it_thaws_for_a_dead_man_that_died_the_next_one_thaws(guest: Guest, point: str) -> None:
    guest.start(killed=f"{point} ThawOurselves")
    guest.quiesce()
    assert guest.app.answer().kind == protocol.QUIESCED
    guest.box.kill(guest.box.dead_men())
    guest.is_killed()

    assert not any(told["held_until_order"] for told in guest.next_tells())
    guest.is_let_go()
    guest.goes_on()


@pytest.mark.skipif(shutil.which("mkfs.btrfs") is None, reason="no btrfs here: apt-get install btrfs-progs")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("move", ["CreateAnchor", "ExtendWatch", "DropAnchor"])
def test_killed_over_its_anchor_it_leaves_none_and_the_application_goes_on(
    guest: Guest, move: str, point: str
) -> None:
    disk = guest.box.disk("anchored", megabytes=120, make=("mkfs.btrfs",))
    guest.start(killed=f"{point} {move}", mounts=(disk,))
    anchor = {"provider": "btrfs", "lifetime_ms": BUDGET_MS, "settings": {}}
    guest.is_killed(lambda: guest.quiesce(anchor=anchor), guest.app.resume)

    guest.is_let_go()
    until(lambda: not list(guest.box.inside(disk).glob(".stillframe-*")), "the anchor's end")
    assert not any(told["held_until_order"] for told in guest.next_tells())
    guest.is_let_go()


@pytest.mark.parametrize("verb", ["show", "stop"])
def test_killed_while_a_handler_is_at_work_its_application_goes_on(guest: Guest, verb: str) -> None:
    """`show` is asked while the handler prepares, `stop` while it makes the application hold still."""
    guest.set_manager(held_up=verb)
    agent = guest.start()
    guest.quiesce(quiesce_timeout_ms=60_000)
    until(guest.held_up.exists, "the service manager's work")
    prepares = verb == "show"
    assert guest.ran("pre") == ([] if prepares else ["1"])

    guest.box.kill(guest.box.agents())
    agent.wait(30)

    guest.is_let_go()
    guest.held_up.unlink(missing_ok=True)  # what it was asked for comes through, too late
    until(lambda: not guest.box.holders(), "the handler's end")
    assert not any(told["held_until_order"] for told in guest.next_tells())
    assert guest.ran("post") == ([] if prepares else ["1"])
    guest.is_let_go()
    guest.goes_on()
