"""Thawing what a dead-man left: what was begun, frozen, refused or undone."""

import threading
import time

import pytest

from agent.journal import FreezeLog
from agent.linux import Linux
from agent.records import Evidence
from agent.rescue import thaw_left
from agent.system import ThawFailed

BEGUN, REFUSED, FROZEN = FreezeLog.BEGUN, FreezeLog.REFUSED, FreezeLog.FROZEN


class Disks(Linux):
    """Filesystems that can be frozen and thawed without any; a mount's number is its place in ``names``."""

    def __init__(self, frozen: set[str], stuck: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        super().__init__()
        self.frozen = set(frozen)
        self.names: list[str] = []
        self.thawed: list[str] = []
        self.let_go = threading.Event()
        self._stuck = stuck

    def open_mount(self, path: str) -> int:
        self.names.append(path)
        return len(self.names) - 1

    def close_mount(self, mount: int) -> None:
        return

    def thaw(self, mount: int) -> bool:
        name = self.names[mount]
        self.thawed.append(name)
        if name in self._stuck:
            self.let_go.wait()
        if name == "/bad":
            raise ThawFailed("input/output error")
        was = name in self.frozen
        self.frozen.discard(name)
        return was


def gone() -> bool:
    return True


def test_what_was_frozen_is_thawed_and_what_another_froze_is_not() -> None:
    disks = Disks({"/a", "/others"})

    evidence = thaw_left(disks, [("/a", FROZEN), ("/others", REFUSED)], {}, gone, 5.0)

    assert evidence == (Evidence("filesystem", "/a", whole=True),)
    assert disks.frozen == {"/others"}


def test_a_freeze_that_comes_through_in_the_dying_dead_man_is_undone() -> None:
    disks = Disks(set())
    dead = threading.Event()

    def die() -> None:
        while "/a" not in disks.thawed:
            time.sleep(0.001)
        disks.frozen.add("/a")
        dead.set()

    threading.Thread(target=die).start()
    evidence = thaw_left(disks, [("/a", BEGUN)], {}, dead.is_set, 5.0)

    assert not disks.frozen
    assert evidence == (Evidence("filesystem", "/a", whole=True),)


def test_a_freeze_that_never_came_through_was_held_by_nobody() -> None:
    evidence = thaw_left(Disks(set()), [("/a", BEGUN)], {}, gone, 5.0)

    assert [(e.whole, e.released) for e in evidence] == [(False, True)]


def test_one_thaw_that_blocks_stops_no_other() -> None:
    disks = Disks({"/a", "/b"}, stuck={"/a"})

    evidence = thaw_left(disks, [("/a", FROZEN), ("/b", FROZEN)], {}, gone, 0.2)
    disks.let_go.set()

    assert [(e.name, e.released) for e in evidence] == [("/a", False), ("/b", True)]


def test_a_thaw_that_fails_is_not_called_released() -> None:
    evidence = thaw_left(Disks({"/bad"}), [("/bad", FROZEN)], {}, gone, 5.0)

    assert [(e.released, e.detail) for e in evidence] == [(False, "input/output error")]


@pytest.mark.parametrize(("word", "whole"), [(FreezeLog.WHOLE, True), (FreezeLog.BROKEN, False)])
def test_what_the_dead_man_had_undone_is_told_and_left_alone(word: str, whole: bool) -> None:  # noqa: FBT001
    disks = Disks(set())

    evidence = thaw_left(disks, [("/a", word)], {}, gone, 5.0)

    assert (evidence[0].whole, disks.thawed) == (whole, [])
