"""The LVM anchor against a stand-in of LVM's tools: this kind of machine may have no device-mapper."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent import mounts
from agent.anchors import Anchored, AnchorRefused
from agent.anchors.lvm import Lvm

STAND_IN = Path(__file__).parent / "stand_ins" / "lvm"


class Volumes:
    """What the stand-in knows."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lvm.json"
        self.device, self.point = _some_mount()
        data = {"vg_name": "vg0", "lv_name": "data", "lv_dm_path": self.device}
        self.path.write_text(json.dumps({"volumes": [data], "log": []}))
        for tool in ("lvs", "lvcreate", "lvremove"):
            (folder / tool).symlink_to(STAND_IN)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def change(self, **members: Any) -> None:
        self.path.write_text(json.dumps({**self.state, **members}))

    def change_snapshot(self, **members: str) -> None:
        first, snapshot = self.state["volumes"]
        self.change(volumes=[first, {**snapshot, **members}])


def _some_mount() -> tuple[str, str]:
    found = mounts.parse(Path("/proc/self/mountinfo").read_text())
    mounted = next((m for m in found if m.source.startswith("/")), None)
    if mounted is None:
        pytest.skip("no filesystem of a device is mounted here")
    device = os.path.realpath(mounted.source)
    return device, next(m.point for m in found if os.path.realpath(m.source) == device)


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volumes:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN_STATE", str(tmp_path / "lvm.json"))
    return Volumes(tmp_path)


def create(notes: list[str], **settings: str) -> Anchored:
    return Lvm().create(settings, {}, 10_000, notes.append)


def test_a_volume_is_snapshotted_kept_and_deleted(volumes: Volumes) -> None:
    notes: list[str] = []

    anchored = create(notes)
    volumes.change_snapshot(data_percent="12.50")
    whole = Lvm().whole(anchored)
    Lvm().delete(anchored.identity)
    Lvm().delete(anchored.identity)

    assert notes == [anchored.identity]
    assert volumes.point in anchored.names
    assert whole == (True, "12.50 % of its room used")
    assert [volume["lv_name"] for volume in volumes.state["volumes"]] == ["data"]
    made = next(line for line in volumes.state["log"] if line.startswith("lvcreate"))
    assert "--snapshot" in made
    assert "--extents 20%ORIGIN" in made
    assert made.endswith("vg0/data")


@pytest.mark.parametrize("change", [{"data_percent": "100.00"}, {"lv_snapshot_invalid": "snapshot invalid"}])
def test_a_snapshot_that_is_full_or_invalid_is_not_whole(volumes: Volumes, change: dict[str, str]) -> None:
    anchored = create([])

    volumes.change_snapshot(**change)

    assert not Lvm().whole(anchored)[0]


def test_a_snapshot_that_is_gone_is_not_whole(volumes: Volumes) -> None:
    anchored = create([])

    volumes.change(volumes=volumes.state["volumes"][:1])

    assert Lvm().whole(anchored) == (False, "It is gone.")


def test_without_room_there_is_no_anchor_and_nothing_is_left(volumes: Volumes) -> None:
    volumes.change(refuse="lvcreate")

    with pytest.raises(AnchorRefused) as caught:
        create([])

    assert caught.value.reason == "anchor_failed"
    assert "insufficient free space" in caught.value.detail
    assert len(volumes.state["volumes"]) == 1


def test_a_thin_volume_needs_no_room(volumes: Volumes) -> None:
    volumes.change(volumes=[{**volumes.state["volumes"][0], "pool_lv": "pool"}])

    create([])

    assert not any("--extents" in line for line in volumes.state["log"])


def test_of_two_volumes_one_must_be_named(volumes: Volumes) -> None:
    volumes.change(volumes=[*volumes.state["volumes"], {**volumes.state["volumes"][0], "lv_name": "log"}])

    with pytest.raises(AnchorRefused) as caught:
        create([])

    assert caught.value.reason == "several_instants"
    assert create([], volume="vg0/log").detail.endswith("of vg0/log")
