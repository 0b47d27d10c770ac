"""Policies and run requests as JSON documents: strict, with defaults where a user need not care."""

import json
import re
from dataclasses import dataclass
from typing import Any

from shared.policy.fields import DocumentError, Fields
from shared.policy.guest_processing import Filesystems, GuestProcessing, OnGuestFailure, Script
from shared.policy.snapshots import SnapshotSettings

#: A run request may name this many VMs; a policy's selection will have no such limit.
MOST_VMS = 2_000

#: Resource names: Azure's rules for VMs and resource groups, taken together and a little stricter.
_VM_ID = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourceGroups/[\w.()-]{1,90}"
    r"/providers/Microsoft\.Compute/virtualMachines/[\w.-]{1,64}",
    re.IGNORECASE,
)
_GROUP = re.compile(r"[\w.()-]{1,89}[\w()-]")
_POLICY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

#: Two scripts and their command fit a queue message (``shared/protocol.py``). Bytes of ASCII JSON.
LARGEST_SCRIPT = 16 * 1024

#: No application should be held longer; and the capture must fit into host.json's functionTimeout.
LONGEST_FREEZE_MS = 300_000

#: Stillframe's own tags need 8 of the 50 that a resource may carry (Azure Resource Manager's limit).
MOST_TAGS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a policy runs: a cron expression of five fields in a time zone of the IANA database."""

    cron: str
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which VMs, when, and how."""

    vms: tuple[str, ...]
    guest: GuestProcessing
    snapshots: SnapshotSettings
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocument:
    """A request for a run: of a stored policy, or of named VMs with settings of their own."""

    policy: str = ""
    vms: tuple[str, ...] = ()
    guest: GuestProcessing | None = None
    snapshots: SnapshotSettings | None = None


def read_run(data: Any) -> RunDocument:
    """Read a run request.

    Raises:
        DocumentError: names the field that is wrong.
    """
    fields = Fields(data, "", ("policy", "vms", "guest_processing", "snapshots"))
    if fields.has("policy"):
        for name in ("guest_processing", "snapshots"):
            if fields.has(name):
                raise DocumentError(name, "not together with policy, which says it already")
        return RunDocument(policy=read_policy_name(fields.raw("policy")), vms=_vms(fields))
    vms = _vms(fields)
    if not vms:
        raise DocumentError("vms", "expected at least one VM, or name a policy")
    return RunDocument(vms=vms, guest=_guest(fields), snapshots=_snapshots(fields))


def read_policy(data: Any) -> Policy:
    """Read a policy.

    Raises:
        DocumentError: names the field that is wrong.
    """
    fields = Fields(data, "", ("vms", "guest_processing", "snapshots", "schedule"))
    vms = _vms(fields)
    if not vms:
        raise DocumentError("vms", "expected at least one VM")
    return Policy(vms=vms, guest=_guest(fields), snapshots=_snapshots(fields), schedule=_schedule(fields))


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


def _guest(fields: Fields) -> GuestProcessing:
    if not fields.has("guest_processing"):
        return GuestProcessing()
    known = (
        "enabled", "on_guest_failure", "filesystems", "pre_script", "post_script", "freeze_budget_ms",
        "quiesce_timeout_ms", "arming_timeout_ms", "resume_timeout_ms", "attempts",
    )  # fmt: skip
    guest = Fields(fields.raw("guest_processing"), fields.at("guest_processing"), known)
    defaults = GuestProcessing()
    settings = GuestProcessing(
        enabled=guest.flag("enabled", default=True),
        on_guest_failure=guest.choice("on_guest_failure", OnGuestFailure, defaults.on_guest_failure),
        filesystems=guest.choice("filesystems", Filesystems, defaults.filesystems),
        pre_script=_script(guest, "pre_script"),
        post_script=_script(guest, "post_script"),
        freeze_budget_ms=guest.whole(
            "freeze_budget_ms", defaults.freeze_budget_ms, least=2_000, most=LONGEST_FREEZE_MS
        ),
        quiesce_timeout_ms=guest.whole(
            "quiesce_timeout_ms", defaults.quiesce_timeout_ms, least=500, most=LONGEST_FREEZE_MS
        ),
        arming_timeout_ms=guest.whole(
            "arming_timeout_ms", defaults.arming_timeout_ms, least=5_000, most=1_800_000
        ),
        resume_timeout_ms=guest.whole(
            "resume_timeout_ms", defaults.resume_timeout_ms, least=5_000, most=1_800_000
        ),
        attempts=guest.whole("attempts", defaults.attempts, least=1, most=5),
    )
    _check_together(guest, settings)
    return settings


def _check_together(guest: Fields, settings: GuestProcessing) -> None:
    """Refuse settings that are right each by itself but not together."""
    if settings.quiesce_timeout_ms >= settings.freeze_budget_ms:
        default = "" if guest.has("quiesce_timeout_ms") else f" (by default {settings.quiesce_timeout_ms})"
        problem = f"must be less than freeze_budget_ms ({settings.freeze_budget_ms}){default}"
        raise DocumentError(guest.at("quiesce_timeout_ms"), problem)
    if settings.pre_script and not settings.post_script:
        raise DocumentError(guest.at("post_script"), "missing: what the pre-script stops must be started")
    if settings.enabled and settings.filesystems is Filesystems.NONE and not settings.pre_script:
        problem = "nothing would be held: no filesystem and no script; set enabled to false instead"
        raise DocumentError(guest.at("filesystems"), problem)


def _script(guest: Fields, name: str) -> Script | None:
    if not guest.has(name):
        return None
    script = Fields(guest.raw(name), guest.at(name), ("path", "arguments", "timeout_ms"))
    path = script.text("path")
    if not path.startswith("/") and not re.match(r"[A-Za-z]:\\", path):
        raise DocumentError(script.at("path"), "expected an absolute path in the guest")
    arguments = script.texts("arguments", most=64)
    if len(json.dumps([path, *arguments])) > LARGEST_SCRIPT:
        problem = f"expected at most {LARGEST_SCRIPT} bytes together with path, as ASCII JSON"
        raise DocumentError(script.at("arguments"), problem)
    return Script(
        path=path,
        arguments=arguments,
        timeout_ms=script.whole("timeout_ms", Script("").timeout_ms, least=100, most=600_000),
    )


def _snapshots(fields: Fields) -> SnapshotSettings:
    if not fields.has("snapshots"):
        return SnapshotSettings()
    known = ("resource_group", "tags", "completion_timeout_ms")
    snapshots = Fields(fields.raw("snapshots"), fields.at("snapshots"), known)
    group = snapshots.text("resource_group", longest=90) if snapshots.has("resource_group") else None
    if group is not None and not _GROUP.fullmatch(group):
        raise DocumentError(snapshots.at("resource_group"), "expected the name of a resource group")
    tags = snapshots.table("tags", most=MOST_TAGS, longest=256)
    for key, _ in tags:
        if key.lower().startswith("stillframe-") or not 1 <= len(key) <= 512 or set(key) & set("<>%&\\?/"):
            problem = "a tag's name has 1 to 512 characters, none of <>%&\\?/, not stillframe-*"
            raise DocumentError(f"{snapshots.at('tags')}.{key}", problem)
        if sum(key.lower() == other.lower() for other, _ in tags) > 1:
            problem = "this tag is named twice: Azure ignores the case of a tag's name"
            raise DocumentError(f"{snapshots.at('tags')}.{key}", problem)
    return SnapshotSettings(
        resource_group=group,
        tags=tags,
        completion_timeout_ms=snapshots.whole(
            "completion_timeout_ms",
            SnapshotSettings().completion_timeout_ms,
            least=60_000,
            most=7 * 24 * 3_600_000,
        ),
    )


def _schedule(fields: Fields) -> Schedule | None:
    if not fields.has("schedule"):
        return None
    schedule = Fields(fields.raw("schedule"), fields.at("schedule"), ("cron", "time_zone"))
    cron = schedule.text("cron", longest=200)
    if len(cron.split()) != 5:
        raise DocumentError(schedule.at("cron"), "expected five fields: minute hour day month weekday")
    return Schedule(cron=cron, time_zone=schedule.text("time_zone", "UTC", longest=64))
