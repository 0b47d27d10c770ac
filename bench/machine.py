"""What the figures were measured on."""

import json
import os
import platform
from pathlib import Path

from local.stack.app_host import ROOT

_CPUINFO = Path("/proc/cpuinfo")


def machine(*, real_disks: bool) -> dict[str, object]:
    """Describe this machine and the load it is under now."""
    azurite = json.loads((ROOT / "node_modules" / "azurite" / "package.json").read_text())
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "load_1_5_15_min": [round(load, 1) for load in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "azurite": azurite["version"],
        "disks": "real (FICLONE of files on XFS)" if real_disks else "folders, copied",
    }


def machine_line(found: dict[str, object]) -> str:
    """Write the description on one line."""
    return (
        f"{found['cores']} cores of {found['cpu']}, load {found['load_1_5_15_min']}, "
        f"Linux {found['kernel']}, Python {found['python']}, Azurite {found['azurite']}, "
        f"disks: {found['disks']}"
    )


def _cpu() -> str:
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
