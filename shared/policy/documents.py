"""Policies and run requests as JSON documents: strict, with defaults where a user need not care."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from shared.policy.concurrency import Concurrency, Order, read_concurrency
from shared.policy.disk_fields import read_disks
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.fields import DocumentError, Fields
from shared.policy.group_fields import check_room, read_groups, refuse_lookups
from shared.policy.group_settings import check_settings
from shared.policy.groups import Group
from shared.policy.guest_fields import place_guest, place_layers_over
from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.notifications import Notification, read_notifications
from shared.policy.own_tags import EXCLUDE, PRIORITY
from shared.policy.retention import Retention, read_retention
from shared.policy.retry import NO_RETRY, Retry, read_retry
from shared.policy.schedules import (
    Schedule,
    check_names,
    read_schedule,
    schedule_fields,
    schedule_items,
)
from shared.policy.selection import Selection
from shared.policy.selection_fields import read_allowed_tags, read_selection
from shared.policy.snapshot_fields import read_snapshots
from shared.policy.snapshots import SnapshotSettings
from shared.policy.vm_ids import read_vm_ids

_POLICY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


#: The one version of the policy document.
VERSION = 1

#: What stands in the place of a policy's name in the paths of the API.
RESERVED = ("preview", "validate")

LONGEST_DESCRIPTION = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which VMs, when, and how: ``layers`` lie over ``guest`` for the VMs that they fit.

    ``own_tags`` are those of a VM's own tags that count, by their short names.
    """

    selection: Selection
    guest: GuestProcessing
    layers: tuple[Layer, ...] = ()
    snapshots: SnapshotSettings
    retention: Retention | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    retry: Retry = NO_RETRY
    disks: DiskSelection = ALL_DISKS
    notifications: tuple[Notification, ...] = ()
    groups: tuple[Group, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    description: str = ""
    own_tags: tuple[str, ...] = ()

    def schedule_named(self, name: str) -> Schedule | None:
        """Give the schedule of a name, if there is one."""
        return next((each for each in self.schedules if each.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """A request for a run: of a stored policy, or of named VMs with settings of their own."""

    policy: str = ""
    schedule: str = ""
    vms: tuple[str, ...] = ()
    guest: GuestProcessing | None = None
    layers: tuple[Layer, ...] = ()
    snapshots: SnapshotSettings | None = None
    disks: DiskSelection = ALL_DISKS
    concurrency: Concurrency = field(default_factory=Concurrency)
    retry: Retry = NO_RETRY
    notifications: tuple[Notification, ...] = ()
    groups: tuple[Group, ...] = ()


#: What a run without a policy says by itself.
_BY_POLICY = ("guest_processing", "disks", "snapshots", "concurrency", "retry", "notifications", "groups")


_MEMBERS = (
    "version",
    "description",
    "vms",
    "selection",
    "allow_tags",
    "guest_processing",
    "snapshots",
    "schedule",
    "schedules",
    "retention",
    "concurrency",
    "retry",
    "disks",
    "notifications",
    "groups",
)  # fmt: skip
_RUN_MEMBERS = ("policy", "schedule", "vms", *_BY_POLICY)


def read_run(data: Any) -> RunDocument:
    """Read a run request.

    Raises:
        DocumentError: names the field that is wrong.
    """
    fields = Fields(data, "", _RUN_MEMBERS)
    if fields.has("policy"):
        for name in _BY_POLICY:
            if fields.has(name):
                raise DocumentError(name, "not together with policy, which says it already")
        return RunDocument(
            policy=read_policy_name(fields.raw("policy")),
            schedule=fields.text("schedule", "", longest=63),
            vms=read_vm_ids(fields, "vms"),
        )
    if fields.has("schedule"):
        raise DocumentError("schedule", "only together with policy, which says what its schedules are")
    vms = read_vm_ids(fields, "vms")
    if not vms:
        raise DocumentError("vms", "expected at least one VM, or name a policy")
    guest, placed = place_guest(fields, vms)
    concurrency, groups = read_concurrency(fields), read_groups(fields, vms)
    refuse_lookups(groups)
    check_room(groups, concurrency)
    check_settings(groups, guest, placed)
    return RunDocument(
        vms=vms,
        guest=guest,
        layers=tuple(each.layer for each in placed),
        snapshots=read_snapshots(fields),
        disks=read_disks(fields),
        concurrency=concurrency,
        retry=read_retry(fields),
        notifications=read_notifications(fields),
        groups=groups,
    )


def read_policy(data: Any) -> Policy:
    """Read a policy.

    Raises:
        DocumentError: names the field that is wrong.
    """
    fields = Fields(data, "", _MEMBERS)
    version = fields.raw("version")
    if fields.has("version") and (type(version) is not int or version != VERSION):
        raise DocumentError("version", f"expected {VERSION}, the only version there is")
    own_tags = read_allowed_tags(fields)
    concurrency = read_concurrency(fields, allowed_tags=own_tags)
    by_priority = concurrency.order is Order.PRIORITY
    if PRIORITY in own_tags and not by_priority:
        problem = "priority counts only together with concurrency.order: priority"
        raise DocumentError(f"{fields.at('allow_tags')}[{own_tags.index(PRIORITY)}]", problem)
    selection = read_selection(fields, by_tag=EXCLUDE in own_tags, by_priority=by_priority)
    vms = selection.vms if not selection.include else None
    guest, placed = place_guest(fields, vms)
    groups = read_groups(fields, vms)
    check_room(groups, concurrency)
    check_settings(groups, guest, placed)
    schedules = []
    for item, at in schedule_items(fields):
        schedule = schedule_fields(item, at)
        over = place_layers_over(schedule, guest, placed, vms)
        check_settings(groups, guest, (*placed, *over))
        schedules.append(read_schedule(schedule, tuple(each.layer for each in over)))
    check_names(schedules)
    look_up = any(group.needs_more_than_the_id for group in groups)
    return Policy(
        selection=replace(selection, look_up=look_up) if look_up else selection,
        groups=groups,
        guest=guest,
        layers=tuple(each.layer for each in placed),
        snapshots=read_snapshots(fields),
        disks=read_disks(fields),
        notifications=read_notifications(fields),
        schedules=tuple(schedules),
        retention=read_retention(fields),
        concurrency=concurrency,
        retry=read_retry(fields),
        own_tags=own_tags,
        description=fields.text("description", "", longest=LONGEST_DESCRIPTION),
    )


def read_policy_name(name: Any) -> str:
    """Read the name of a policy.

    Raises:
        DocumentError: it is none.
    """
    if not isinstance(name, str) or not _POLICY_NAME.fullmatch(name):
        raise DocumentError("policy", "expected a name of small letters, digits and hyphens, at most 63")
    if name in RESERVED:
        raise DocumentError("policy", f"{name} is the name of a call, and no policy's")
    return name
