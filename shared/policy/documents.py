"""Policies and run requests as JSON documents: strict, with defaults where a user need not care."""

import re
from dataclasses import dataclass, field
from typing import Any

from shared.policy.concurrency import Concurrency, read_concurrency
from shared.policy.disk_fields import read_disks
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.fields import DocumentError, Fields
from shared.policy.guest_fields import read_guest
from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.notifications import Notification, read_notifications
from shared.policy.retention import Retention, read_retention
from shared.policy.retry import NO_RETRY, Retry, read_retry
from shared.policy.snapshot_fields import read_snapshots
from shared.policy.snapshots import SnapshotSettings

#: A run request may name this many VMs; a policy's selection will have no such limit.
MOST_VMS = 2_000

#: Resource names: Azure's rules for VMs and resource groups, taken together and a little stricter.
#: Only a group's may have letters beyond ASCII, and only ASCII's case is ignored: K is not the kelvin sign.
_VM_ID = re.compile(
    r"(?ai:/subscriptions/[0-9a-f-]{36}/resourceGroups)/[\w.()-]{1,90}"
    r"(?ai:/providers/Microsoft\.Compute/virtualMachines/[\w.-]{1,64})"
)
_POLICY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a policy runs: a cron expression of five fields in a time zone of the IANA database."""

    cron: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which VMs, when, and how: ``layers`` lie over ``guest`` for the VMs that they fit."""

    vms: tuple[str, ...]
    guest: GuestProcessing
    layers: tuple[Layer, ...] = ()
    snapshots: SnapshotSettings
    disks: DiskSelection = ALL_DISKS
    schedule: Schedule | None = None
    retention: Retention | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    retry: Retry = NO_RETRY
    notifications: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """A request for a run: of a stored policy, or of named VMs with settings of their own."""

    policy: str = ""
    vms: tuple[str, ...] = ()
    guest: GuestProcessing | None = None
    layers: tuple[Layer, ...] = ()
    snapshots: SnapshotSettings | None = None
    disks: DiskSelection = ALL_DISKS
    concurrency: Concurrency = field(default_factory=Concurrency)
    retry: Retry = NO_RETRY
    notifications: tuple[Notification, ...] = ()


#: What a run without a policy says by itself.
_BY_POLICY = ("guest_processing", "disks", "snapshots", "concurrency", "retry", "notifications")


def read_run(data: Any) -> RunDocument:
    """Read a run request.

    Raises:
        DocumentError: names the field that is wrong.
    """
    fields = Fields(data, "", ("policy", "vms", *_BY_POLICY))
    if fields.has("policy"):
        for name in _BY_POLICY:
            if fields.has(name):
                raise DocumentError(name, "not together with policy, which says it already")
        return RunDocument(policy=read_policy_name(fields.raw("policy")), vms=_vms(fields))
    vms = _vms(fields)
    if not vms:
        raise DocumentError("vms", "expected at least one VM, or name a policy")
    guest, layers = read_guest(fields, vms)
    return RunDocument(
        vms=vms,
        guest=guest,
        layers=layers,
        snapshots=read_snapshots(fields),
        disks=read_disks(fields),
        concurrency=read_concurrency(fields),
        retry=read_retry(fields),
        notifications=read_notifications(fields),
    )


def read_policy(data: Any) -> Policy:
    """Read a policy.

    Raises:
        DocumentError: names the field that is wrong.
    """
    known = (
        "vms", "guest_processing", "disks", "snapshots", "schedule", "retention", "concurrency", "retry",
        "notifications",
    )  # fmt: skip
    fields = Fields(data, "", known)
    vms = _vms(fields)
    if not vms:
        raise DocumentError("vms", "expected at least one VM")
    guest, layers = read_guest(fields, vms)
    return Policy(
        vms=vms,
        guest=guest,
        layers=layers,
        snapshots=read_snapshots(fields),
        disks=read_disks(fields),
        schedule=_schedule(fields),
        retention=read_retention(fields),
        concurrency=read_concurrency(fields),
        retry=read_retry(fields),
        notifications=read_notifications(fields),
    )


def read_policy_name(name: Any) -> str:
    """Read the name of a policy.

    Raises:
        DocumentError: it is none.
    """
    if not isinstance(name, str) or not _POLICY_NAME.fullmatch(name):
        raise DocumentError("policy", "expected a name of small letters, digits and hyphens, at most 63")
    return name


def _vms(fields: Fields) -> tuple[str, ...]:
    vms = fields.texts("vms", most=MOST_VMS)
    seen: set[str] = set()
    for index, vm in enumerate(vms):
        at = f"{fields.at('vms')}[{index}]"
        if not _VM_ID.fullmatch(vm):
            shape = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/V"
            raise DocumentError(at, f"expected the ARM id of a VM, {shape}")
        if vm.lower() in seen:
            raise DocumentError(at, "this VM is named twice")
        seen.add(vm.lower())
    return vms


def _schedule(fields: Fields) -> Schedule | None:
    if not fields.has("schedule"):
        return None
    schedule = Fields(fields.raw("schedule"), fields.at("schedule"), ("cron", "time_zone"))
    cron = schedule.text("cron", longest=200)
    if len(cron.split()) != 5:
        raise DocumentError(schedule.at("cron"), "expected five fields: minute hour day month weekday")
    return Schedule(cron=cron, time_zone=schedule.text("time_zone", "UTC", longest=64))
