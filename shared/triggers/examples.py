"""Examples of the documents that callers send; tests give them to the readers."""

from typing import Any

_GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop"
_VMS = f"{_GROUP}/providers/Microsoft.Compute/virtualMachines"

RUN_OF_POLICY: dict[str, Any] = {"policy": "nightly"}

RUN_OF_VMS: dict[str, Any] = {
    "vms": [f"{_VMS}/db-1"],
    "guest_processing": {
        "on_guest_failure": "fail",
        "pre_script": {"path": "/etc/stillframe/scripts/hold.sh", "arguments": ["%vmName%"]},
        "post_script": {"path": "/etc/stillframe/scripts/release.sh"},
        "freeze_budget_ms": 30_000,
        "quiesce_timeout_ms": 20_000,
    },
    "snapshots": {"resource_group": "snapshots", "tags": {"owner": "dba"}},
}

HOLD: dict[str, Any] = {
    "reason": "the audit of 2025",
    "until": "2099-01-01T00:00:00+01:00",
    "immutable": True,
}

RETENTION: dict[str, Any] = {
    "keep_days": 14,
    "weekly": 5,
    "monthly": 12,
    "minimum": 3,
    "time_zone": "Europe/Berlin",
}

POLICY: dict[str, Any] = {
    "vms": [f"{_VMS}/db-1", f"{_VMS}/web-1"],
    "guest_processing": {
        "linux": {"handlers": [{"name": "postgresql"}]},
        "overrides": [{"tags": {"tier": "web"}, "guest_processing": {"handlers": None}}],
    },
    "schedule": {"cron": "30 2 * * *", "time_zone": "Europe/Berlin"},
    "retention": RETENTION,
    "notifications": [
        {"webhook": {"url": "https://hooks.example.org/backups", "secret": "operations"}},
        {"on": ["success", "warning", "failure"], "per": "vm", "queue": "backup-results"},
    ],
}
