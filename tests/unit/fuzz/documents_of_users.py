"""Genuine documents that use every member there is."""

import hashlib
from typing import Any

from shared.triggers.examples import POLICY, RUN_OF_POLICY, RUN_OF_VMS

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
OTHER = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/web-1"
CONTENT = "#!/bin/sh\nexit 0\n"

SCRIPT: dict[str, Any] = {
    "path": "/opt/hold.sh",
    "arguments": ["%vmName%", "100%%"],
    "environment": {"APP": "%runId%"},
    "timeout_ms": 5_000,
    "retries": 1,
    "retry_delay_ms": 100,
    "accepted_exit_codes": [0, 3],
    "warning_exit_codes": [4],
    "ignore_exit_codes": False,
    "ignore_missing": True,
    "stderr": "warn",
    "run_as": "app",
}
DELIVERED: dict[str, Any] = {
    "content": CONTENT,
    "sha256": hashlib.sha256(CONTENT.encode()).hexdigest(),
    "name": "release.sh",
    "ignore_missing": False,
    "timeout_ms": 5_000,
}
GUEST: dict[str, Any] = {
    "enabled": True,
    "on_guest_failure": "continue",
    "filesystems": "all",
    "pre_script": SCRIPT,
    "post_script": DELIVERED,
    "handlers": [
        {"name": "postgresql", "mode": "backup", "required": False, "settings": {"port": "5432"}},
        {"name": "services"},
    ],
    "anchor": {"provider": "lvm", "lifetime_ms": 60_000, "settings": {"size": "1G"}},
    "freeze_budget_ms": 30_000,
    "quiesce_timeout_ms": 20_000,
    "arming_timeout_ms": 120_000,
    "resume_timeout_ms": 60_000,
    "attempts": 2,
    "agent": "auto",
    "agent_install": "missing",
    "agent_credential": "managed_identity",
    "agent_client_id": "11111111-2222-3333-4444-555555555555",
    "linux": {"handlers": "auto", "freeze_budget_ms": 25_000},
    "windows": {"pre_script": None, "anchor": {"provider": "vss"}},
    "overrides": [
        {"vms": [VM], "guest_processing": {"attempts": 1}},
        {"tags": {"tier": "db"}, "vms": None, "guest_processing": {"handlers": None, "anchor": None}},
    ],
}
SNAPSHOTS: dict[str, Any] = {
    "recovery_point": "snapshots",
    "resource_group": "recovery-points",
    "tags": {"owner": "dba", "tier": ""},
    "completion_timeout_ms": 3_600_000,
    "name": "%vmName%-%lun%-%date%",
    "copy_disk_tags": True,
    "incremental": True,
    "sku": "Standard_ZRS",
    "network_access": "private",
    "disk_access_id": f"{GROUP}/providers/Microsoft.Compute/diskAccesses/private",
    "instant_access_minutes": 120,
    "copy_to": [
        {"region": "northeurope"},
        {"region": "swedencentral", "resource_group": "far-away", "sku": "Standard_LRS"},
    ],
    "copy_timeout_ms": 7_200_000,
}
DISKS: dict[str, Any] = {
    "include": [{"kinds": ["os"]}, {"luns": [0, 63], "names": ["db-*"]}],
    "exclude": [{"tags": {"backup": "no"}}],
}

NOTIFICATIONS: list[dict[str, Any]] = [
    {
        "on": ["failure", "overdue"],
        "per": "vm",
        "webhook": {
            "url": "https://hooks.example.org:8443/a?b=c",
            "secret": "on_call",
            "headers": {"X-Team": "dba"},
        },
        "queue": None,
    },
    {"on": None, "webhook": None, "queue": "backup-results"},
]

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
SELECTION: dict[str, Any] = {
    "include": [
        {"vms": [VM]},
        {
            "subscriptions": [SUBSCRIPTION],
            "resource_groups": ["shop"],
            "names": ["db-*", "web-?"],
            "locations": ["westeurope"],
            "os": "linux",
            "tags": {
                "all": [
                    {"tag": "env", "in": ["prod", "stage"]},
                    {"any": [{"tag": "tier", "equals": "db"}, {"tag": "tier", "pattern": "w*"}]},
                    {"not": {"tag": "temporary", "exists": True}},
                ]
            },
        },
    ],
    "exclude": [{"names": ["*-old"]}, {"vms": [OTHER]}, {"tags": {"tag": "backup", "equals": "no"}}],
}
SCHEDULES: list[dict[str, Any]] = [
    {
        "name": "nightly",
        "cron": "30 2 * * *",
        "time_zone": "Europe/Berlin",
        "start_within_ms": 7_200_000,
        "blackout": [
            {"days": ["sat", "sun"], "from": "22:00", "to": "06:00"},
            {"from": "12:00", "to": "24:00"},
        ],
        "guest_processing": {"attempts": 3, "linux": {"handlers": "auto"}, "windows": None},
    },
    {"name": "hourly", "cron": "0 * * * *", "guest_processing": {"enabled": False}, "paused": True},
]

GROUPS: list[dict[str, Any]] = [
    {
        "name": "shop",
        "vms": [VM, OTHER],
        "selection": None,
        "on_member_failure": "rest",
        "armed_timeout_ms": 300_000,
        "held_timeout_ms": 12_000,
        "proved_timeout_ms": 120_000,
    },
    {"name": "caches", "selection": {"include": [{"names": ["cache-*"]}], "exclude": [{"names": ["*-old"]}]}},
]
POLICIES: list[dict[str, Any]] = [
    POLICY,
    {"vms": [VM, OTHER], "groups": GROUPS},
    {
        "selection": SELECTION,
        "groups": [{"name": "tier", "selection": {"include": [{"tags": {"tag": "app", "equals": "shop"}}]}}],
    },
    {
        "version": 1,
        "description": "all that is in production",
        "selection": SELECTION,
        "allow_tags": [
            "exclude",
            "guest-processing",
            "application-aware",
            "on-guest-failure",
            "freeze-budget-ms",
            "priority",
        ],
        "concurrency": {"vms": 50, "order": "priority"},
        "guest_processing": {
            "application_aware": "require",
            "handlers": "auto",
            "overrides": [{"vms": [VM], "guest_processing": {"application_aware": "off"}}],
        },
        "schedules": SCHEDULES,
    },
    {
        "vms": [VM, OTHER],
        "guest_processing": GUEST,
        "disks": DISKS,
        "snapshots": SNAPSHOTS,
        "schedule": {"cron": "*/15 8-18 * * 1-5", "time_zone": "UTC"},
        "retention": {
            "keep_last": 7,
            "keep_days": 30,
            "daily": 7,
            "weekly": 5,
            "monthly": 12,
            "yearly": 0,
            "minimum": 2,
            "time_zone": "Europe/Berlin",
        },
        "notifications": NOTIFICATIONS,
    },
    {
        "vms": [VM],
        "guest_processing": None,
        "disks": None,
        "snapshots": None,
        "schedule": None,
        "retention": None,
    },
]
RUNS: list[dict[str, Any]] = [
    RUN_OF_POLICY,
    RUN_OF_VMS,
    {"policy": "nightly", "vms": [VM], "schedule": "hourly"},
    {"vms": [VM, OTHER], "guest_processing": GUEST, "snapshots": SNAPSHOTS},
    {"policy": "nightly", "vms": [VM]},
    {"vms": [VM, OTHER], "groups": GROUPS, "concurrency": {"held": 2}},
    {"vms": [VM, OTHER], "guest_processing": GUEST, "disks": DISKS, "snapshots": SNAPSHOTS},
]
