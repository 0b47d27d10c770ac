"""Which disks of a VM are in its recovery points: rules by LUN, name, kind and tags."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class DiskKind(StrEnum):
    """What a disk is for."""

    OS = "os"
    """The disk of the system."""

    DATA = "data"
    """Any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectableDisk:
    """What the rules look at. ``lun`` is None for the disk of the system.

    The names of ``tags`` are in small letters.
    """

    name: str
    lun: int | None
    tags: Mapping[str, str]

    @property
    def kind(self) -> DiskKind:
        """What the disk is for."""
        return DiskKind.OS if self.lun is None else DiskKind.DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRule:
    """Disks for which all is true: one of the LUNs, one of the names, one of the kinds, all of the tags.

    Names are patterns with ``*``, ``?`` and ``[...]``; their case does not matter. What it does not say
    (empty) is true of every disk.
    """

    luns: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[DiskKind, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()

    def fits(self, disk: SelectableDisk) -> bool:
        """Whether it is a rule about this disk."""
        return (
            (not self.luns or disk.lun in self.luns)
            and (not self.names or any(fnmatchcase(disk.name.lower(), name.lower()) for name in self.names))
            and (not self.kinds or disk.kind in self.kinds)
            and all(disk.tags.get(name.lower()) == value for name, value in self.tags)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSelection:
    """The disks that a rule of ``include`` is about, every disk if there is none, but none of ``exclude``."""

    include: tuple[DiskRule, ...] = ()
    exclude: tuple[DiskRule, ...] = ()

    @property
    def looks_at_tags(self) -> bool:
        """Whether it takes more than the VM's own description to know which disks are in."""
        return any(rule.tags for rule in (*self.include, *self.exclude))

    def why_out(self, disk: SelectableDisk) -> str:
        """Say why a disk is left out; empty when it is in."""
        if any(rule.fits(disk) for rule in self.exclude):
            return "disks.exclude names it"
        if self.include and not any(rule.fits(disk) for rule in self.include):
            return "disks.include does not name it"
        return ""


ALL_DISKS = DiskSelection()
"""What is in where nothing is said."""
