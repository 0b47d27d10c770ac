"""What preflight learns about a VM before anything is touched."""

from dataclasses import dataclass

#: Disks whose snapshots are copied in the background, and say how far that is. They alone have
#: instant access.
COPYING_SKUS = frozenset({"PremiumV2_LRS", "UltraSSD_LRS"})


@dataclass(frozen=True, slots=True)
class RecentSnapshot:
    """An incremental snapshot of a disk that counts against a limit of Azure.

    ``created_at`` is ms since the epoch; ``in_flight``: it is being made, or copied in the background.
    """

    name: str
    created_at: int
    in_flight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VmShape:
    """What of a VM a restore has to know when it is gone; as Azure spells it, empty where it says nothing.

    ``generation`` is that of the hypervisor (V1, V2), ``security`` the security type (TrustedLaunch, ...),
    ``controller`` how its disks are attached (SCSI, NVMe).
    """

    size: str = ""
    generation: str = ""
    security: str = ""
    secure_boot: bool = False
    vtpm: bool = False
    zone: str = ""
    controller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFacts:
    """One managed disk of the VM. ``lun`` is None for the OS disk.

    ``recent`` are its snapshots of the last 5 minutes, and those that are in flight.
    ``tags`` are the disk's own, in the order of their names, where its snapshot is to carry them, but for
    ``tags_left_out`` of them that take too much room.
    ``caching`` is the host cache; ``iops`` and ``mbps`` are what a disk of its own performance was given.
    """

    disk_id: str
    name: str
    lun: int | None
    location: str
    sku: str
    size_gib: int
    recent: tuple[RecentSnapshot, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    tags_left_out: int = 0
    caching: str = ""
    write_accelerated: bool = False
    iops: int = 0
    mbps: int = 0

    @property
    def slot(self) -> str:
        """The disk's place in the VM, short and fit for a resource name: ``os``, ``0``, ``1``, ..."""
        return "os" if self.lun is None else str(self.lun)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A disk of the VM that is not in its recovery points; without an id where it is not managed."""

    disk_id: str
    name: str
    lun: int | None
    why: str

    @property
    def slot(self) -> str:
        """The disk's place in the VM, as of `DiskFacts`."""
        return "os" if self.lun is None else str(self.lun)

    @property
    def sentence(self) -> str:
        """Say it to people."""
        place = "of the system" if self.lun is None else f"at LUN {self.lun}"
        return f"the disk {place}, {self.name}, is not in the recovery point ({self.why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class VmFacts:
    """The VM as Azure describes it.

    ``power_state`` is what follows ``PowerState/`` in the instance view (``running``, ``deallocated``, ...).
    ``disks`` are those that are to be in the recovery point, ``left_out`` the others.
    ``tags`` are the VM's own, in the order of their names.
    ``resident_agent``: an agent was heard of that lives in the guest and has the current key, so that it can
    be woken by its queue.
    ``obstacles`` are limits that would make the snapshots or the restore point fail later, each a sentence;
    ``passing_obstacles`` those that pass by waiting. All this was so at ``read_at`` (ms since the epoch);
    ``crash_obstacles`` those of a restore point that asks for no more than CrashConsistent,
    ``platform_obstacles`` those of one that asks for what the platform can do. ``near_limits`` are limits
    that are close, but not reached.
    """

    vm_id: str
    name: str
    location: str
    os_type: str
    power_state: str
    vm_agent_ready: bool
    disks: tuple[DiskFacts, ...]
    obstacles: tuple[str, ...] = ()
    passing_obstacles: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    crash_obstacles: tuple[str, ...] = ()
    platform_obstacles: tuple[str, ...] = ()
    resident_agent: bool = False
    read_at: int = 0
    left_out: tuple[LeftOut, ...] = ()
    near_limits: tuple[str, ...] = ()
    shape: VmShape = VmShape()

    @property
    def is_windows(self) -> bool:
        """Whether the guest is a Windows one, whose applications the platform can hold by VSS."""
        return self.os_type.lower() == "windows"

    @property
    def running(self) -> bool:
        """Whether there is a guest that could be asked to hold still."""
        return self.power_state == "running"
