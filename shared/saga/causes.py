"""What may keep a saga from ending well: one stable word per cause, for records and docs."""

from enum import StrEnum


class Cause(StrEnum):
    """Why a saga ended otherwise than well. What people are told of each stands in ``advice.py``."""

    VM_UNREADABLE = "vm_unreadable"
    """Azure would not show the VM or its disks; the code is the class of Azure's error."""

    VM_UNREADABLE_IN_TIME = "vm_unreadable_in_time"
    """Azure could not show the VM or its disks for as long as preflight tries."""

    NO_DISK = "no_disk"
    """The VM has no managed disk."""

    NOTHING_SELECTED = "nothing_selected"
    """The policy leaves out every disk of the VM."""

    OBSTACLE = "obstacle"
    """A limit of Azure, or a property of a disk, would make the snapshots fail."""

    SCRIPT_TOO_LARGE = "script_too_large"
    """A script does not fit its command once its variables are put in."""

    AGENT_NOT_STARTED = "agent_not_started"
    """The run command that starts the agent was refused; the code is the class of Azure's error."""

    AGENT_SILENT = "agent_silent"
    """The agent did not say in time that it is ready."""

    AGENT_TOO_OLD = "agent_too_old"
    """The guest has an agent that this version does not work with, and may not replace it."""

    DEAD_MAN_NOT_ARMED = "dead_man_not_armed"
    """Nothing in the guest would let go should the agent die, so nothing was held, or no longer."""

    NOT_ADMITTED = "not_admitted"
    """A limit left no room for it for as long as it may wait; the code says which limit."""

    HOLD_UNCONFIRMED = "hold_unconfirmed"
    """The guest did not say in time that it held."""

    QUIESCE_FAILED = "quiesce_failed"
    """The guest could not hold everything; the code is the agent's."""

    GROUP_BROKE = "group_broke"
    """The group that the VM was to share an instant with did not come to one, because of another member."""

    GROUP_LATE = "group_late"
    """The freeze budget ran out while the VM, held, waited for the others of its group."""

    GROUP_SILENT = "group_silent"
    """The VM waited for the others of its group, and heard nothing of them in time."""

    GROUP_UNFIT = "group_unfit"
    """The VM cannot be held at the instant of the others of its group; the code says why."""

    RELEASED_EARLY = "released_early"
    """The guest let go before it had said that it held; the code says who let go."""

    BUDGET_TOO_SHORT = "budget_too_short"
    """Holding took so long that too little of the freeze budget was left to snapshot in."""

    SNAPSHOT_FAILED = "snapshot_failed"
    """The snapshot of a disk failed; the code is the capture's."""

    SNAPSHOTS_UNSEEN = "snapshots_unseen"
    """The invocation that made the snapshots ended before it could say what became of them."""

    RESTORE_POINT_FAILED = "restore_point_failed"
    """The VM restore point failed; the code is the capture's."""

    NOT_PROVED = "not_proved"
    """A link of the chain of evidence is missing; the code says which kind of link."""

    TOO_LITTLE_HELD = "too_little_held"
    """All that was held was held to the end, but it is less than the policy asks for."""

    APPLICATION_REQUIRED = "application_required"
    """``application_aware: require``, and no application was held, or not all; the code says why not."""

    LOWER_CONSISTENCY = "lower_consistency"
    """Azure made less of a restore point than it was asked for."""

    POST_SCRIPT_FAILED = "post_script_failed"
    """The post-script failed: an application may still be waiting to go on."""

    WARNED = "warned"
    """The guest warned of something that a person should look at; the code is the warning's."""

    COPIES_LATE = "copies_late"
    """The background copy of the snapshots took longer than allowed."""

    COPIES_LOST = "copies_lost"
    """Snapshots went missing while they were copied in the background."""

    COPY_FAILED = "copy_failed"
    """A copy in another region failed or is late; the recovery point itself is whole."""

    POISONED = "poisoned"
    """A message of the saga failed again and again."""

    CANCELLED = "cancelled"
    """Somebody cancelled the run."""

    LEFT_OVER = "left_over"
    """The saga did what it was to do, but something of it could not be deleted or tagged."""

    UNRECORDED = "unrecorded"
    """The record was written by a version that noted sentences only."""


class Proof(StrEnum):
    """Which link of the chain is missing: the codes of ``Cause.NOT_PROVED``."""

    DEAD_MAN = "dead-man"
    AGENT = "agent"
    RESTART = "restart"
    REBOOTED = "rebooted"
    PAUSED = "paused"
    SILENT = "silent"
    LET_GO = "let_go"
    INCOMPLETE = "incomplete"


class Unfit(StrEnum):
    """Why a VM cannot share an instant with others: the codes of ``Cause.GROUP_UNFIT``."""

    NOT_RUNNING = "not_running"
    """There is no guest to hold."""

    DISABLED = "disabled"
    """Guest processing is off."""

    PLATFORM = "platform"
    """Azure's own VSS holds the guest, at an instant of its own."""

    ANCHORED = "anchored"
    """Its instant lies in a snapshot inside the guest, before all others are held."""


class Lacking(StrEnum):
    """Why a recovery point would not be application-consistent: codes of ``Cause.APPLICATION_REQUIRED``.

    Others are the reasons of a handler that failed, as those of ``Cause.QUIESCE_FAILED``.
    """

    NOT_RUNNING = "not_running"
    """The VM was not running."""

    NONE_FOUND = "none_found"
    """No application was found to be held, and none was named."""

    NOT_QUIESCED = "not_quiesced"
    """Applications were held, but not brought to rest, or not all that they write to was."""


class Limit(StrEnum):
    """What left no room: the codes of ``Cause.NOT_ADMITTED``."""

    HELD = "held"
    """As many guests are held as ``concurrency.held`` allows."""

    DISK = "disk"
    """Azure makes only so many snapshots of a disk in a time, or at a time."""

    REQUESTS = "requests"
    """Azure Resource Manager's requests of the subscription are spent."""

    BUSY = "busy"
    """Too many asked at the same time."""
