"""An LVM snapshot of one logical volume as the instant; device-mapper freezes the filesystem for a moment.

Two snapshots are two instants, and a filesystem that is frozen already can be snapshotted by some kernels
only: so exactly one volume is covered.
"""

import os
from typing import Callable, Dict, List, Mapping, Tuple

from agent import mounts
from agent.anchors import Anchor, Anchored, AnchorRefused
from agent.anchors.tools import DELETE_MS, LOOK_MS, check_settings, fresh_name, tool

#: ``volume``: "group/volume", by default the only mounted one. ``size``: room for what is overwritten, as
#: lvcreate(8) takes it for --extents; a thin volume needs none.
SETTINGS = ("size", "volume")
_SIZE = "20%ORIGIN"


class Lvm(Anchor):
    """One snapshot volume."""

    def preflight(self, settings: Mapping[str, str], environ: Mapping[str, str]) -> Tuple[str, ...]:
        """Find the volume."""
        del environ
        _chosen(settings)
        return ()

    def create(
        self,
        settings: Mapping[str, str],
        environ: Mapping[str, str],
        deadline_ms: int,
        note: Callable[[str], None],
    ) -> Anchored:
        """Snapshot the volume; LVM's own archive of metadata is left out, as it may lie on that volume."""
        del environ
        volume, points, thin = _chosen(settings)
        name = fresh_name()
        identity = "{}/{}".format(volume.partition("/")[0], name)
        note(identity)
        room = [] if thin else ["--extents", settings.get("size", _SIZE)]
        command = ["lvcreate", "--snapshot", "--autobackup", "n", "--name", name, *room, volume]
        try:
            tool(command, deadline_ms)
        except AnchorRefused:
            self.delete(identity)
            raise
        return Anchored("lvm", identity, points, "snapshot {} of {}".format(identity, volume))

    def whole(self, anchored: Anchored) -> Tuple[bool, str]:
        """See that it is valid and not full."""
        try:
            found = _volumes(anchored.identity)
        except AnchorRefused as refusal:
            return False, refusal.detail
        if not found:
            return False, "It is gone."
        used, invalid = found[0]["data_percent"], found[0]["lv_snapshot_invalid"]
        if invalid or (used and float(used) >= 100.0):
            return False, "Its room was full ({} %); it is invalid.".format(used or "?")
        return True, "{} % of its room used".format(used) if used else ""

    def delete(self, identity: str) -> None:
        """Remove the snapshot volume, if it is there."""
        if _volumes(identity):
            tool(["lvremove", "--yes", "--force", "--autobackup", "n", identity], DELETE_MS)


def _volumes(name: str = "") -> List[Dict[str, str]]:
    """Ask for the logical volumes, or for the one of this name ([] if there is none)."""
    fields = ["vg_name", "lv_name", "lv_dm_path", "pool_lv", "data_percent", "lv_snapshot_invalid"]
    command = ["lvs", "--noheadings", "--separator", "|", "--options", ",".join(fields)]
    if name:
        group, _, volume = name.partition("/")
        command += ["--select", "vg_name={} && lv_name={}".format(group, volume)]
    rows = [line.strip().split("|") for line in tool(command, LOOK_MS).splitlines() if "|" in line]
    return [dict(zip(fields, row)) for row in rows]  # noqa: B905 - strict= is younger than Python 3.6


def _chosen(settings: Mapping[str, str]) -> Tuple[str, Tuple[str, ...], bool]:
    """Give the volume, where it is mounted, and whether it is thin."""
    check_settings(settings, SETTINGS)
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        mounted = mounts.parse(file.read())
    found = {}
    for row in _volumes():
        device = os.path.realpath(row["lv_dm_path"])
        points = tuple(m.point for m in mounted if os.path.realpath(m.source) == device)
        if points:
            found["{}/{}".format(row["vg_name"], row["lv_name"])] = (points, bool(row["pool_lv"]))
    volume = settings.get("volume", "")
    if not volume and len(found) == 1:
        volume = next(iter(found))
    if volume not in found:
        names = ", ".join(sorted(found)) or "none"
        reason = "several_instants" if not volume and len(found) > 1 else "no_volume"
        raise AnchorRefused(reason, "anchor.settings.volume: expected one of the mounted: {}".format(names))
    return (volume, *found[volume])
