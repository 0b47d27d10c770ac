"""A read-only btrfs snapshot of one subvolume as the instant; it lies in the subvolume's own filesystem.

A snapshot of a subvolume is one instant, two snapshots are two: so exactly one subvolume is covered, and one
that has others below it or beside it, mounted from the same filesystem, is refused (``several_instants``).
"""

import os
from typing import Callable, List, Mapping, Tuple

from agent import mounts
from agent.anchors import Anchor, Anchored, AnchorRefused
from agent.anchors.tools import DELETE_MS, LOOK_MS, check_settings, fresh_name, tool

#: ``path``: the mount point to cover, by default the only btrfs there is. ``nested``: "ignore" leaves out
#: subvolumes below it, which a snapshot does not contain.
SETTINGS = ("nested", "path")


class Btrfs(Anchor):
    """One read-only snapshot."""

    def preflight(self, settings: Mapping[str, str], environ: Mapping[str, str]) -> Tuple[str, ...]:
        """Find the subvolume, and see that it is alone."""
        del environ
        path = _chosen(settings)
        nested = _nested(path)
        if nested and settings.get("nested") != "ignore":
            detail = "{}: subvolumes below it would be left out: {}; settings.nested = ignore leaves them"
            raise AnchorRefused("several_instants", detail.format(path, ", ".join(nested[:5])))
        return tuple("The subvolume {} is not in the snapshot.".format(name) for name in nested[:5])

    def create(
        self,
        settings: Mapping[str, str],
        environ: Mapping[str, str],
        deadline_ms: int,
        note: Callable[[str], None],
    ) -> Anchored:
        """Snapshot the subvolume; the kernel commits it to the disk before it returns."""
        warnings = self.preflight(settings, environ)
        path = _chosen(settings)
        identity = os.path.join(path, "." + fresh_name())
        note(identity)
        try:
            tool(["btrfs", "subvolume", "snapshot", "-r", path, identity], deadline_ms)
            tool(["btrfs", "filesystem", "sync", path], deadline_ms)
        except AnchorRefused:
            self.delete(identity)
            raise
        return Anchored("btrfs", identity, (path,), "read-only snapshot {}".format(identity), warnings)

    def whole(self, anchored: Anchored) -> Tuple[bool, str]:
        """See that it is there and still read-only: nobody can have written to it."""
        try:
            text = tool(["btrfs", "property", "get", "-ts", anchored.identity, "ro"], LOOK_MS)
        except AnchorRefused as refusal:
            return False, refusal.detail
        return (True, "") if "ro=true" in text.split() else (False, "It can be written to: {}".format(text))

    def delete(self, identity: str) -> None:
        """Delete the snapshot, if it is there."""
        if os.path.isdir(identity):
            tool(["btrfs", "subvolume", "delete", "--commit-after", identity], DELETE_MS)


def _chosen(settings: Mapping[str, str]) -> str:
    check_settings(settings, SETTINGS)
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        found = [m for m in mounts.parse(file.read()) if m.kind == "btrfs"]
    path = settings.get("path", "")
    if not path:
        if len({m.device for m in found}) != 1:
            detail = "anchor.settings.path: expected the mount point of a btrfs; mounted: {}"
            names = ", ".join(m.point for m in found) or "none"
            raise AnchorRefused("no_volume", detail.format(names))
        path = found[0].point
    mine = [m for m in found if m.point == path]
    if not mine:
        raise AnchorRefused("no_volume", "anchor.settings.path: no btrfs is mounted at {}".format(path))
    others = [m.point for m in found if m.device == mine[-1].device and m.root != mine[-1].root]
    if others:
        detail = "{}: other subvolumes of this filesystem are mounted: {}".format(path, ", ".join(others))
        raise AnchorRefused("several_instants", detail)
    return path


def _nested(path: str) -> List[str]:
    """Give the subvolumes below ``path`` that are not snapshots of ours."""
    text = tool(["btrfs", "subvolume", "list", "-o", path], LOOK_MS)
    names = [line.rpartition(" path ")[2] for line in text.splitlines() if " path " in line]
    return [name for name in names if "/.stillframe-" not in "/" + name]
