"""Azure Resource Manager's compute provider: VM facts, snapshots, run commands, and what its errors mean.

Importing this package does not import the SDK: `client` says why.
"""

from shared.compute.agent_package import AgentPackage
from shared.compute.client import ClientPool
from shared.compute.compute import Compute
from shared.compute.credentials import credential_for
from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.errors import ComputeError
from shared.compute.making import FailedOperation
from shared.compute.restore_point import RestorePointTarget

__all__ = [
    "AgentPackage",
    "CaptureTarget",
    "ClientPool",
    "Compute",
    "ComputeError",
    "FailedOperation",
    "RestorePointTarget",
    "credential_for",
]
