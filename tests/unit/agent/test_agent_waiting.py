"""Waiting by the monotonic clock: woken, in vain, many at once; and nothing in the agent waits otherwise."""

import re
import threading
from pathlib import Path

import pytest

from agent.waiting import Condition, Flag

AGENT = Path(__file__).parents[3] / "agent"
#: What has a time-out by the wall clock before Python 3.11. Popen.wait polls by the monotonic one.
BY_WALL_CLOCK = (
    r"threading\.(Condition|Timer|Semaphore|Barrier)\b",
    r"\.get\((timeout|True|block)",
    r"acquire\(\s*(blocking=True, *)?timeout",
    r"[Tt]hread\w*\.join\([^)]",
)


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_everybody_who_waits_is_woken() -> None:
    flag, woken = Flag(), []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait(60.0))) for _ in range(8)]
    for thread in threads:
        thread.start()

    flag.set()
    for thread in threads:
        thread.join()

    assert woken == [True] * 8
    assert flag.wait(0.0)


def test_patience_ends() -> None:
    assert not Flag().wait(0.01)


def test_what_is_waited_for_is_asked_for_again_at_each_change() -> None:
    changed, items = Condition(), []

    def add() -> None:
        for number in range(3):
            with changed:
                items.append(number)
                changed.notify_all()

    thread = threading.Thread(target=add)
    with changed:
        thread.start()
        assert changed.wait_for(lambda: len(items) == 3, 60.0)
    thread.join()


def test_waiting_leaves_nothing_open() -> None:
    flag = Flag()
    before = opened()

    for _ in range(10):
        flag.wait(0.001)

    assert opened() == before


def test_what_is_asked_may_fail_and_the_lock_is_free_again() -> None:
    changed = Condition()

    with pytest.raises(ZeroDivisionError), changed:
        changed.wait_for(lambda: 1 / 0, 60.0)

    with changed:
        changed.notify_all()


def test_nothing_in_the_agent_waits_by_the_wall_clock() -> None:
    # waiting.py has what Windows needs, where no clock moves a lock's time-out.
    texts = {path: path.read_text() for path in AGENT.rglob("*.py") if path.name != "waiting.py"}

    assert len(texts) > 50
    assert not [
        (path.name, found.group())
        for path, text in texts.items()
        for pattern in BY_WALL_CLOCK
        for found in re.finditer(pattern, text)
    ]
