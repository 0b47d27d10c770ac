"""The settings that all sagas of a run share, as the run's record keeps them."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from shared.policy.concurrency import AdmissionRules, Concurrency
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.groups import Group
from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.notifications import Notification
from shared.policy.retry import NO_RETRY, Retry
from shared.policy.selection import Selection
from shared.policy.snapshots import SnapshotSettings
from shared.saga.codec import decode, encode
from shared.storage.run_records import RunRecord
from shared.storage.runs import RunTable

#: Runs whose settings a process keeps.
RUNS_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run does with each of its VMs.

    ``trace`` is the ``traceparent`` that all of it goes on from. ``schedule`` is that of the policy whose
    settings these are, empty when it is none's. ``selection`` has the rules by which Azure is asked for the
    run's VMs; None when they are named one by one. A ``rehearsal`` holds its VMs, and snapshots nothing.
    """

    policy_name: str
    guest: GuestProcessing
    layers: tuple[Layer, ...]
    snapshots: SnapshotSettings
    disks: DiskSelection = ALL_DISKS
    trace: str = ""
    concurrency: Concurrency | None = None
    """None in a run that was written before there was any: nothing is limited then."""
    retry: Retry = NO_RETRY
    schedule: str = ""
    selection: Selection | None = None

    notifications: tuple[Notification, ...] = ()
    rehearsal: bool = False
    groups: tuple[Group, ...] = ()
    own_tags: tuple[str, ...] = ()
    """Which of a VM's own tags count, as the policy's ``allow_tags`` has them."""

    def without_selection(self) -> "RunSettings":
        """Give the same for VMs that are named one by one."""
        return replace(self, selection=None)

    def record(self) -> dict[str, Any]:
        """Write the settings for the run's record."""
        return {
            "guest": encode(self.guest),
            "layers": encode(self.layers),
            "snapshots": encode(self.snapshots),
            "disks": encode(self.disks),
            "trace": self.trace,
            "concurrency": encode(self.concurrency),
            "retry": encode(self.retry),
            "schedule": self.schedule,
            # The VMs that it names one by one are in the run's index.
            "selection": encode(self.selection and replace(self.selection, vms=())),
            "notifications": encode(self.notifications),
            "rehearsal": self.rehearsal,
            "groups": encode(self.groups),
            "own_tags": list(self.own_tags),
        }


def read_settings(record: RunRecord) -> RunSettings:
    """Read the settings of a run.

    Raises:
        UnreadableRecordError: the record was not written by this version or an earlier one.
    """
    return RunSettings(
        policy_name=record.policy_name,
        guest=decode(GuestProcessing, record.settings["guest"]),
        layers=tuple(decode(Layer, layer) for layer in record.settings.get("layers", ())),
        snapshots=decode(SnapshotSettings, record.settings["snapshots"]),
        disks=decode(DiskSelection, record.settings.get("disks", {})),
        trace=record.settings.get("trace", ""),
        concurrency=_concurrency(record.settings.get("concurrency")),
        retry=decode(Retry, record.settings["retry"]) if "retry" in record.settings else NO_RETRY,
        schedule=record.settings.get("schedule", ""),
        selection=_selection(record.settings.get("selection")),
        notifications=read_notifications(record),
        rehearsal=is_rehearsal(record),
        groups=read_groups(record),
        own_tags=tuple(record.settings.get("own_tags", ())),
    )


def admission_rules(settings: RunSettings, run_id: str) -> AdmissionRules | None:
    """Say what the sagas of the run have to be admitted by; None if an armed guest is held at once."""
    limits = settings.concurrency
    if limits is None:
        return None
    scope = f"policy-{settings.policy_name}" if settings.policy_name else f"run-{run_id}"
    return AdmissionRules(
        scope=scope, held=limits.held, timeout_ms=limits.admission_timeout_ms, in_turns=limits.vms_at_once > 0
    )


def _concurrency(data: Any) -> Concurrency | None:
    return None if data is None else decode(Concurrency, data)


def is_rehearsal(record: RunRecord) -> bool:
    """Whether a run is a rehearsal; runs that were stored before there were any are none."""
    return record.settings.get("rehearsal") is True


def read_groups(record: RunRecord) -> tuple[Group, ...]:
    """Read which groups a run was to have; none, where it was written before there were any.

    Raises:
        UnreadableRecordError: the record was not written by this version or an earlier one.
    """
    return tuple(decode(Group, each) for each in record.settings.get("groups", ()))


def _selection(data: Any) -> Selection | None:
    return None if data is None else decode(Selection, data)


def read_notifications(record: RunRecord) -> tuple[Notification, ...]:
    """Read whom a run tells; nobody, where it was written before there were notifications.

    Raises:
        UnreadableRecordError: the record was not written by this version or an earlier one.
    """
    return tuple(decode(Notification, each) for each in record.settings.get("notifications", ()))


class KeptRunSettings:
    """The settings of the latest runs, which never change once a run exists."""

    def __init__(self, runs: RunTable) -> None:
        self._runs = runs
        self._settings: OrderedDict[str, RunSettings] = OrderedDict()
        self._notifications: OrderedDict[str, tuple[Notification, ...]] = OrderedDict()
        self._reading = asyncio.Lock()

    def remember(self, run_id: str, settings: RunSettings) -> None:
        """Keep the settings of a run that this process has just written, so that no saga here reads them."""
        _keep(self._settings, run_id, settings)
        _keep(self._notifications, run_id, settings.notifications)

    async def get(self, run_id: str) -> RunSettings:
        """Read a run's settings, once for all of its sagas that start at the same time.

        Raises:
            RunNotFound: there is no such run.
            UnreadableRecordError: the record was not written by this version or an earlier one.
        """
        async with self._reading:
            settings = self._settings.get(run_id)
            if settings is None:
                settings = read_settings(await self._runs.get(run_id))
                self.remember(run_id, settings)
            return settings

    async def notifications(self, run_id: str) -> tuple[Notification, ...]:
        """Read whom a run tells, and nothing else: no end may be lost by settings that cannot be read.

        Raises:
            RunNotFound: there is no such run.
            UnreadableRecordError: the record was not written by this version or an earlier one.
        """
        async with self._reading:
            listed = self._notifications.get(run_id)
            if listed is None:
                listed = read_notifications(await self._runs.get(run_id))
                _keep(self._notifications, run_id, listed)
            return listed


def _keep[T](kept: OrderedDict[str, T], run_id: str, value: T) -> None:
    kept[run_id] = value
    if len(kept) > RUNS_KEPT:
        kept.popitem(last=False)
