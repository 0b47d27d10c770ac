"""What of the simulator's behaviour can be set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSettings:
    """Times in seconds, and limits of the service.

    The limits are those of Microsoft's page "Restrictions for incremental snapshots": 500 incremental
    snapshots of a disk, 7 of them within 5 minutes, 3 pending ones of a Premium SSD v2 or Ultra disk.

    Attributes:
        capture_delay_s: from the acceptance of a snapshot PUT to the earliest capture of its disk.
        capture_gap_s: between two captures of disks of one VM; nothing on Azure makes them one instant.
        snapshot_latency_s: from the capture to the end of the snapshot's operation.
        background_copy_s: how long a Premium SSD v2 or Ultra snapshot takes to reach 100 percent.
        region_copy_s: how long a copy in another region takes to reach 100 percent.
        copies_per_region: copies of snapshots that may go on at once in a region.
        delete_latency_s: how long a deletion takes.
        disk_latency_s: how long it takes to make a disk of a snapshot, or of a disk restore point.
        vm_latency_s: how long it takes to make a VM of disks.
        restore_point_latency_s: from the acceptance of a restore point to its capture, and again to its end.
        run_command_latency_s: from the acceptance of a run command to the start of its script.
        stale_execution_state: let the instance view of an ended run command go on saying "Running" and
            exit code 0, as the service was seen to do; only end time and message tell the truth.
        snapshots_per_window: incremental snapshots of one disk allowed within `snapshot_window_s`.
        snapshot_window_s: length of that window.
        snapshots_per_disk: incremental snapshots of one disk that may exist at once.
        copies_in_progress: pending snapshots allowed on one Premium SSD v2 or Ultra disk.
        enforce_request_limits: answer 429 when a request bucket is empty, instead of only counting it down.
        page_size: resources on one page of a list.
        journal_size: pairs of request and response that the journal keeps; older ones are dropped.

    """

    capture_delay_s: float = 0.0
    capture_gap_s: float = 0.3
    snapshot_latency_s: float = 0.05
    background_copy_s: float = 2.0
    region_copy_s: float = 2.0
    copies_per_region: int = 100
    delete_latency_s: float = 0.0
    disk_latency_s: float = 0.0
    vm_latency_s: float = 0.0
    restore_point_latency_s: float = 0.05
    run_command_latency_s: float = 0.0
    stale_execution_state: bool = False
    snapshots_per_window: int = 7
    snapshot_window_s: float = 300.0
    snapshots_per_disk: int = 500
    copies_in_progress: int = 3
    enforce_request_limits: bool = False
    page_size: int = 100
    journal_size: int = 50_000
