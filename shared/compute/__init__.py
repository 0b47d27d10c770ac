"""Azure Resource Manager's compute provider: VM facts, snapshots, run commands, and what its errors mean.

Importing this package does not import the SDK: `client` says why.
"""

from shared.compute.client import ClientPool
from shared.compute.compute import Compute
from shared.compute.credentials import credential_for
from shared.compute.disk_snapshot import CaptureTarget, FailedOperation
from shared.compute.errors import ComputeError

__all__ = ["CaptureTarget", "ClientPool", "Compute", "ComputeError", "FailedOperation", "credential_for"]
