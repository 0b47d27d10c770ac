"""The settings that all sagas of a run share, as the run's record keeps them."""

from dataclasses import dataclass
from typing import Any

from shared.policy.guest_processing import GuestProcessing
from shared.policy.layers import Layer
from shared.policy.snapshots import SnapshotSettings
from shared.saga.codec import decode, encode
from shared.storage.runs import RunRecord


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What a run does with each of its VMs. ``trace`` is the ``traceparent`` that all of it goes on from."""

    policy_name: str
    guest: GuestProcessing
    layers: tuple[Layer, ...]
    snapshots: SnapshotSettings
    trace: str = ""

    def record(self) -> dict[str, Any]:
        """Write the settings for the run's record."""
        return {
            "guest": encode(self.guest),
            "layers": encode(self.layers),
            "snapshots": encode(self.snapshots),
            "trace": self.trace,
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
        trace=record.settings.get("trace", ""),
    )
