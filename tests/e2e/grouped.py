"""Runs of VMs that share one instant, each with scripts of its own."""

from typing import Any

from tests.e2e.scene import Machine

#: A loaded machine may take its time, and nothing here is about how long.
PATIENT = {"freeze_budget_ms": 60_000, "quiesce_timeout_ms": 40_000}
PATIENT_GROUP = {"held_timeout_ms": 45_000}


async def start(
    vms: list[Machine], broken: Machine | None = None, settings: dict[str, Any] = PATIENT, **group: Any
) -> str:
    """Start a run of a group whose members have scripts of their own; ``broken`` has one that fails."""
    overrides: list[dict[str, Any]] = []
    hooks = ("pre_script", "post_script")
    for vm in vms:
        guest = vm.guest_processing()
        if vm is broken:
            guest["pre_script"] = {"path": vm.script("broken.sh", "exit 3")}
        overrides.append({"vms": [vm.id], "guest_processing": {name: guest[name] for name in hooks}})
    guest = vms[0].guest_processing(**{"attempts": 1} | settings)
    common = {name: value for name, value in guest.items() if name not in hooks}
    ids = [vm.id for vm in vms]
    document = {
        "vms": ids,
        "guest_processing": common | {"overrides": overrides},
        "groups": [{"name": "shop", "vms": ids} | PATIENT_GROUP | group],
    }
    return await vms[0].stack.api.start_run(document)
