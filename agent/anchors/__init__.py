"""An anchor: an in-guest snapshot as the instant, so that the applications run on while the disks are imaged.

The disks' own snapshots, however late and however far apart, then all contain that one instant. An anchor
lives until it is deleted: by the order to resume, or by whoever is alive once its lifetime is spent. Its
identity is in the journal before anything exists that would have to be deleted.
"""

import abc
from typing import Callable, Mapping, NamedTuple, Tuple

#: The anchors there are, and the kind of hold that each one's evidence is told under.
KINDS = {"vss": "vss", "btrfs": "filesystem", "lvm": "filesystem"}


class AnchorRefused(Exception):
    """There is no anchor, and nothing is left of one. ``reason`` is one of a few stable codes.

    writer_failed | writer_retryable | diff_area_low | no_volume | provider_missing | set_in_progress |
    several_instants | timed_out | bad_setting | anchor_failed
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Anchored(NamedTuple):
    """An anchor that exists.

    ``identity`` is a text by which it is found again after a restart; ``names`` are the volumes or mount
    points that it covers.
    """

    provider: str
    identity: str
    names: Tuple[str, ...]
    detail: str = ""
    warnings: Tuple[str, ...] = ()


class Anchor(abc.ABC):
    """One way to make an anchor. Every call may take as long as it needs within what is said there."""

    @abc.abstractmethod
    def preflight(self, settings: Mapping[str, str], environ: Mapping[str, str]) -> Tuple[str, ...]:
        """See whether an anchor could be made; nothing is held or made. Returns what is worth a warning.

        Raises:
            AnchorRefused: it could not.
        """

    @abc.abstractmethod
    def create(
        self,
        settings: Mapping[str, str],
        environ: Mapping[str, str],
        deadline_ms: int,
        note: Callable[[str], None],
    ) -> Anchored:
        """Make the anchor within ``deadline_ms`` (ms from now).

        ``note(identity)`` is called before anything exists that must be deleted.

        Raises:
            AnchorRefused: there is none, and what there was of it is deleted.
        """

    @abc.abstractmethod
    def whole(self, anchored: Anchored) -> Tuple[bool, str]:
        """Say whether the anchor still holds its instant, and in words why not."""

    @abc.abstractmethod
    def delete(self, identity: str) -> None:
        """Delete what there is of it; nothing there is well done too.

        Raises:
            AnchorRefused: something of it is still there.
        """
