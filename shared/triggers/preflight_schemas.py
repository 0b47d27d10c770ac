"""JSON Schemas (2020-12) of what ``/api/preflight`` answers. Later versions may add members."""

from shared.engine.preflight_checks import Level
from shared.saga.consistency import Grade
from shared.triggers.schema_parts import TEXT, Schema, all_there, or_null, ref


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names."""
    return {
        "Preflight": all_there(
            "A VM before a run: how bad it is at worst, and how consistent a recovery point can be at best "
            "(null: there would be none).",
            {
                "vm": ref("VmId"),
                "policy": or_null(ref("PolicyName")),
                "checked_at": {"type": "string", "format": "date-time"},
                "level": {"enum": list(Level)},
                "best_grade": {"enum": [*Grade, None]},
                "best_grade_why": TEXT,
                "disks": {"type": "array", "items": ref("PreflightDisk")},
                "checks": {"type": "array", "items": ref("PreflightCheck")},
            },
        ),
        "Preflights": all_there(
            "Several VMs before a run.", {"items": {"type": "array", "items": ref("Preflight")}}
        ),
        "PreflightDisk": all_there(
            "A disk of the VM; lun is null for the disk of the system.",
            {
                "disk": or_null(TEXT),
                "name": TEXT,
                "lun": or_null({"type": "integer", "minimum": 0}),
                "included": {"type": "boolean"},
                "why": TEXT,
            },
        ),
        "PreflightCheck": all_there(
            "What was looked at: error stops a run, warning weakens it, ok is well.",
            {
                "code": TEXT,
                "level": {"enum": list(Level)},
                "sentence": TEXT,
                "what_to_do": or_null(TEXT),
            },
        ),
    }
