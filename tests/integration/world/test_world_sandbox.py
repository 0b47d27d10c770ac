"""Nothing outlives the sandbox: no mount, no loop device, no process, nothing frozen."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = Path(__file__).with_name("scenarios.py")


@dataclass
class Playing:
    """A scenario under way in the sandbox, and the mark in the environment of all its processes."""

    process: subprocess.Popen[str]
    mark: str
    store: str = ""

    def says(self) -> dict[str, Any]:
        assert self.process.stdout
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def processes(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self.mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def loop_devices(self) -> list[str]:
        # Named as inside the sandbox; once its filesystem is detached, by its path within that.
        found = []
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if self.store in backing.read_text() or self.mark in backing.read_text():
                    found.append(backing.parts[3])
        return found


type Begin = Callable[..., Playing]


@pytest.fixture
def begin(sandbox: list[str]) -> Iterator[Begin]:
    begun: list[Playing] = []

    def start(scenario: str, *prefix: str, stdin: int = subprocess.DEVNULL) -> Playing:
        mark = f"vm-{uuid.uuid4().hex[:8]}"  # the VM's name, in its disks' too
        process = subprocess.Popen(
            [*prefix, *sandbox, sys.executable, str(SCENARIOS), scenario],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TEST_VM": mark},
            cwd=ROOT,
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        begun.append(Playing(process, mark))
        begun[-1].store = begun[-1].says()["store"]
        return begun[-1]

    yield start
    for playing in begun:
        if playing.process.poll() is None:
            playing.process.kill()
        playing.process.wait()
        assert playing.process.stdout
        playing.process.stdout.close()


def until_nothing_is_left(playing: Playing) -> None:
    ends_at = time.monotonic() + 30
    while playing.processes() or playing.loop_devices():
        assert time.monotonic() < ends_at, (playing.processes(), playing.loop_devices())
        time.sleep(0.02)


@pytest.mark.world
def test_killing_the_outside_while_disks_are_frozen_and_writers_hang_leaves_nothing(begin: Begin) -> None:
    playing = begin("freeze_and_wait_to_be_killed")
    assert len(playing.loop_devices()) >= 3
    assert len(playing.processes()) > 3

    playing.process.kill()
    playing.process.wait()

    until_nothing_is_left(playing)
    assert not Path(playing.store).exists()


@pytest.mark.world
def test_killing_the_whole_process_group_leaves_nothing(begin: Begin) -> None:
    playing = begin("freeze_and_wait_to_be_killed")

    os.killpg(playing.process.pid, signal.SIGKILL)
    playing.process.wait()

    until_nothing_is_left(playing)


@pytest.mark.world
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_outside_reaches_the_command_once_and_nothing_is_left(
    begin: Begin, number: signal.Signals
) -> None:
    playing = begin("wait_for_the_end")

    playing.process.send_signal(number)

    assert playing.says() == {"ended": "orderly", "signals": [number]}
    assert playing.process.wait(30) == 0
    until_nothing_is_left(playing)


@pytest.mark.world
def test_a_command_that_does_not_end_when_told_to_is_killed_after_its_grace(
    sandbox: list[str], begin: Begin
) -> None:
    playing = begin("ignore_the_end", *sandbox[:-1], "--grace", "0.2", "--")

    playing.process.terminate()

    assert playing.process.wait(30) == 128 + signal.SIGKILL
    until_nothing_is_left(playing)


@pytest.mark.world
def test_ctrl_c_on_the_terminal_ends_the_command_in_order(begin: Begin) -> None:
    terminal, slave = os.openpty()
    playing = begin("wait_for_the_end", "setsid", "--ctty", "--wait", stdin=slave)
    os.close(slave)

    os.write(terminal, b"\x03")

    assert playing.says() == {"ended": "orderly", "signals": [signal.SIGINT]}
    assert playing.process.wait(30) == 0
    until_nothing_is_left(playing)
    os.close(terminal)


@pytest.mark.world
def test_the_commands_exit_code_is_the_sandboxs(sandbox: list[str]) -> None:
    codes = [
        subprocess.run([*sandbox, "sh", "-c", command], cwd=ROOT, check=False).returncode
        for command in ("exit 7", "kill -9 $$", "exit 0")
    ]

    assert codes == [7, 128 + 9, 0]


@pytest.mark.world
def test_a_command_that_is_not_there_is_said_so(sandbox: list[str]) -> None:
    done = subprocess.run(
        [*sandbox, "no-such-program"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (127, "no-such-program: No such file or directory\n")


@pytest.mark.world
def test_orphans_of_the_command_are_reaped(sandbox: list[str]) -> None:
    orphan = "sh -c 'true & echo $!' > /dev/shm/pid"
    script = f"{orphan}; while [ -d /proc/$(cat /dev/shm/pid) ]; do :; done"

    assert subprocess.run([*sandbox, "sh", "-c", script], cwd=ROOT, timeout=30, check=False).returncode == 0
