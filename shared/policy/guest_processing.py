"""How the applications of a VM are made to hold still, and what happens when they do not."""

from dataclasses import dataclass
from enum import StrEnum


class OnGuestFailure(StrEnum):
    """What a saga does when its guest could not be held, or the proof that it was held is missing."""

    FAIL = "fail"
    """Keep no recovery point that is less consistent than asked for."""

    CONTINUE = "continue"
    """Keep a less consistent recovery point, and say so."""


class Filesystems(StrEnum):
    """Which filesystems are frozen across the snapshots."""

    ALL = "all"
    NONE = "none"


class ApplicationAware(StrEnum):
    """Whether applications are held by handlers, beside what scripts and filesystems do."""

    OFF = "off"
    """No handler: scripts, filesystems and anchors alone."""

    ON = "on"
    """The handlers that are named; where none are, those of the applications that are found."""

    REQUIRE = "require"
    """The same, and a recovery point that is not application-consistent is a failure of its VM."""


class StderrRule(StrEnum):
    """What becomes of a script that writes to stderr."""

    IGNORE = "ignore"
    WARN = "warn"
    FAIL = "fail"


class AgentUse(StrEnum):
    """How the agent of a guest is woken."""

    AUTO = "auto"
    """By its queue where it was last heard of as resident, by a run command where it does not answer."""

    RESIDENT = "resident"
    """By its queue alone: the app needs no right to run commands in the guest."""

    RUN_COMMAND = "run_command"
    """By a run command, always."""


class AgentInstall(StrEnum):
    """What the run command that starts the agent may install in the guest."""

    NEVER = "never"
    MISSING = "missing"
    """The agent, where there is none."""

    UPGRADE = "upgrade"
    """The agent, where there is none or an older one."""


class AgentCredential(StrEnum):
    """How an agent that a run command starts opens its queues."""

    SAS = "sas"
    """By a SAS that it is handed, valid for the session."""

    MANAGED_IDENTITY = "managed_identity"
    """By the VM's own managed identity."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script: one at ``path`` in the guest, or one called ``name`` that is delivered. All times in ms.

    What is delivered is ``content``, pinned by its SHA-256 (hex); ``stored`` says that it lies in the guests'
    storage under its pin instead. ``timeout_ms`` is when its process tree is killed, in each of its runs: it
    is run again ``retries`` times while it fails, each time after ``retry_delay_ms``. ``run_as`` is a user of
    the guest, empty for the agent's own.
    """

    path: str = ""
    arguments: tuple[str, ...] = ()
    timeout_ms: int = 10_000
    content: str = ""
    sha256: str = ""
    name: str = ""
    stored: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    retries: int = 0
    retry_delay_ms: int = 1_000
    accepted_exit_codes: tuple[int, ...] = (0,)
    warning_exit_codes: tuple[int, ...] = ()
    ignore_exit_codes: bool = False
    ignore_missing: bool = False
    stderr: StderrRule = StderrRule.IGNORE
    run_as: str = ""

    @property
    def total_ms(self) -> int:
        """How long all of its runs and the pauses between them may take."""
        return self.timeout_ms + self.retries * (self.timeout_ms + self.retry_delay_ms)


class HandlerName(StrEnum):
    """The applications that the agent can hold by itself."""

    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"
    MYSQL = "mysql"
    MONGODB = "mongodb"
    SQLSERVER = "sqlserver"
    SERVICES = "services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """An application to hold; an empty ``mode`` is the handler's own choice.

    Without one that is ``required`` the guest is not held; the others are warned of and left.
    """

    name: HandlerName
    mode: str = ""
    required: bool = True
    settings: tuple[tuple[str, str], ...] = ()


class AnchorProvider(StrEnum):
    """What makes a snapshot inside the guest."""

    VSS = "vss"
    BTRFS = "btrfs"
    LVM = "lvm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A snapshot inside the guest as the instant: applications go on as soon as it is made.

    It is deleted after ``lifetime_ms`` at the latest, so the disks' snapshots have to be taken until then.
    """

    provider: AnchorProvider
    lifetime_ms: int = 120_000
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProcessing:
    """The guest processing of one VM in one run. All times in ms.

    ``freeze_budget_ms`` bounds the freeze window whatever dies: the guest's dead-man holds it.
    ``quiesce_timeout_ms`` bounds making the applications hold still, and lies inside the budget.
    ``attempts`` is how many generations a saga may try before ``on_guest_failure`` decides; only what may
    pass by itself is tried again, never a script that failed. ``detect_handlers``: every application that is
    found is held, as far as that can be done; None where nobody said which handlers there are.
    ``application_aware`` None: what the handlers say. ``agent_client_id`` names
    the managed identity where the VM has several.
    """

    enabled: bool = True
    on_guest_failure: OnGuestFailure = OnGuestFailure.FAIL
    filesystems: Filesystems = Filesystems.ALL
    pre_script: Script | None = None
    post_script: Script | None = None
    handlers: tuple[Handler, ...] = ()
    detect_handlers: bool | None = None
    application_aware: ApplicationAware | None = None
    anchor: Anchor | None = None
    freeze_budget_ms: int = 30_000
    quiesce_timeout_ms: int = 20_000
    arming_timeout_ms: int = 120_000
    resume_timeout_ms: int = 60_000
    attempts: int = 2
    agent: AgentUse = AgentUse.AUTO
    agent_install: AgentInstall = AgentInstall.UPGRADE
    agent_credential: AgentCredential = AgentCredential.SAS
    agent_client_id: str = ""

    @property
    def longest_hold_ms(self) -> int:
        """How long something may lie in the guest that has to be let go: held writes, or an anchor."""
        return self.freeze_budget_ms if self.anchor is None else self.anchor.lifetime_ms

    @property
    def application_required(self) -> bool:
        """Whether a recovery point that is not application-consistent is none."""
        return self.enabled and self.application_aware is ApplicationAware.REQUIRE

    @property
    def keeps_less(self) -> bool:
        """Whether a recovery point is kept that is less consistent than asked for."""
        return self.on_guest_failure is OnGuestFailure.CONTINUE and not self.application_required

    @property
    def quiesces_applications(self) -> bool:
        """Whether applications are asked to hold still, not only filesystems."""
        required = any(handler.required for handler in self.handlers)
        by_vss = self.anchor is not None and self.anchor.provider is AnchorProvider.VSS
        return self.pre_script is not None or required or by_vss
