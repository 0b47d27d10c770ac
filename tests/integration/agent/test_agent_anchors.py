"""The instant in a btrfs snapshot inside the guest: it outlives the window, and nobody leaves it behind."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.app_side import App, hooks, runs, until
from tests.integration.agent.box import Box

pytestmark = [
    pytest.mark.world,
    pytest.mark.skipif(
        shutil.which("mkfs.btrfs") is None, reason="no btrfs here: apt-get install btrfs-progs"
    ),
]


@pytest.fixture
def disk(box: Box) -> Path:
    point = box.disk("data", megabytes=120, make=("mkfs.btrfs",))
    (box.inside(point) / "file").write_text("before")
    return point


def snapshots(box: Box, disk: Path) -> list[Path]:
    return sorted(box.inside(disk).glob(".stillframe-*"))


def start(box: Box, app: App, disk: Path, lifetime_ms: int = 300_000, **settings: Any) -> None:
    box.agent(app, mounts=(disk,))
    anchor = {"provider": "btrfs", "lifetime_ms": lifetime_ms, "settings": settings}
    app.quiesce(anchor=anchor, freeze_budget_ms=20_000, **hooks(box.folder))


def test_the_application_goes_on_while_the_instant_is_kept_until_the_order(
    box: Box, app: App, disk: Path
) -> None:
    start(box, app, disk)
    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body
    assert runs(box.folder, "post") == ["1"]

    (box.inside(disk) / "file").write_text("after")
    (kept,) = snapshots(box, disk)
    assert (kept / "file").read_text() == "before"
    app.resume()
    resumed = app.answer()

    assert quiesced.body["anchored"]
    assert {"kind": "filesystem", "name": str(disk), "mode": "anchor"} in quiesced.body["held"]
    assert quiesced.body["budget_left_ms"] > 200_000
    assert resumed.body["held_until_order"], resumed.body
    assert snapshots(box, disk) == []
    assert runs(box.folder, "post") == ["1"]


def test_an_anchor_whose_lifetime_is_spent_is_deleted_and_told(box: Box, app: App, disk: Path) -> None:
    start(box, app, disk, lifetime_ms=1_500)
    assert app.answer().kind == "quiesced"

    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert snapshots(box, disk) == []
    assert runs(box.folder, "post") == ["1"]


def test_an_anchor_that_was_written_to_is_not_called_whole(box: Box, app: App, disk: Path) -> None:
    start(box, app, disk)
    assert app.answer().kind == "quiesced"
    (kept,) = snapshots(box, disk)
    name = str(disk / kept.name)
    box.run("btrfs", "property", "set", "-ts", name, "ro", "false")

    app.resume()

    assert not app.answer().body["held_until_order"]
    assert snapshots(box, disk) == []


def test_the_agents_death_leaves_no_anchor(box: Box, app: App, disk: Path) -> None:
    start(box, app, disk)
    assert app.answer().kind == "quiesced"

    box.kill(box.agents())

    until(lambda: not snapshots(box, disk), "the anchor's end")


def test_agent_and_dead_man_killed_the_next_start_deletes_the_anchor(box: Box, app: App, disk: Path) -> None:
    start(box, app, disk)
    assert app.answer().kind == "quiesced"
    both = box.agents() + box.dead_men()
    box.kill(both, signal.SIGSTOP)
    box.kill(both)
    until(lambda: not box.agents() and not box.dead_men(), "their end")

    box.agent(app, mounts=(disk,), command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("restart", False)
    assert snapshots(box, disk) == []


def test_a_subvolume_with_others_below_it_is_refused_before_anything_is_held(
    box: Box, app: App, disk: Path
) -> None:
    box.run("btrfs", "subvolume", "create", str(disk / "below"))
    start(box, app, disk)

    failed = app.answer()

    assert failed.kind == "quiesce_failed"
    assert failed.body["reason"] == "several_instants"
    assert "below" in failed.body["detail"]
    assert runs(box.folder, "pre") == []


def test_what_the_anchor_does_not_cover_is_told(box: Box, app: App, disk: Path) -> None:
    other = box.disk("other")
    box.agent(app, mounts=(disk, other))
    app.quiesce(anchor={"provider": "btrfs", "lifetime_ms": 60_000}, **hooks(box.folder))

    not_held = app.answer().body["not_held"]
    app.resume()

    assert not_held == [{"kind": "filesystem", "name": str(other), "reason": "not_anchored"}]
    assert app.answer().kind == "resumed"
