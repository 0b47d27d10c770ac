"""The settings that all sagas of a run share, as the run's record keeps them."""

from dataclasses import dataclass
from typing import Any

from shared.policy.concurrency import AdmissionRules, Concurrency
from shared.policy.disks import ALL_DISKS, DiskSelection
from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.retry import NO_RETRY, Retry
from shared.policy.snapshots import SnapshotSettings
from shared.saga.codec import decode, encode
from shared.storage.runs import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run does with each of its VMs. ``trace`` is the ``traceparent`` that all of it goes on from."""

    policy_name: str
    guest: GuestProcessing
    layers: tuple[Layer, ...]
    snapshots: SnapshotSettings
    disks: DiskSelection = ALL_DISKS
    trace: str = ""
    concurrency: Concurrency | None = None
    """None in a run that was written before there was any: nothing is limited then."""
    retry: Retry = NO_RETRY

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
