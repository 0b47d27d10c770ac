"""The recorded facts from which the grade of a recovery point follows, in causal order."""

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScriptReport:
    """How a guest script ended, after ``attempts`` runs. The agent bounds ``output``.

    ``exit_code`` is None when it was killed or not started. ``reason`` is why that is a failure by the
    script's own rules, empty for a success; None where an agent does not say.
    """

    path: str
    exit_code: int | None
    timed_out: bool
    duration_ms: int
    output: str
    attempts: int = 1
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than its rules accept."""
        return self.exit_code != 0 if self.reason is None else bool(self.reason)


@dataclass(frozen=True, slots=True)
class GuestWarning:
    """Something in the guest that a person should look at; ``code`` is stable, ``detail`` for people."""

    kind: str
    name: str
    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that was held: ``kind`` is ``script``, ``handler``, ``filesystem`` or ``vss``.

    ``mode`` says how: ``frozen`` (relies on the frozen filesystems), ``drained`` (holds every write by
    itself), ``stopped``, ``halted`` (SIGSTOPped in mid-work), ``anchor`` (the instant lies in a snapshot
    inside the guest); empty where there is only one way. A handler's name is its application, and what
    tells one from another: ``postgresql:5432``. ``took_ms`` is how long it took to hold it, by the guest's
    clock; None where the guest does not say.
    """

    kind: str
    name: str
    mode: str = ""
    took_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NotHeld:
    """One thing that was left writing, and the reason code why."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeldUntil:
    """Whether one thing was still held when the order to let go came.

    ``held_ms`` is for how long it was held, by the guest's clock; None where the guest does not say.
    """

    kind: str
    name: str
    held_until_order: bool
    detail: str = ""
    held_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuiesceReport:
    """The body of a ``quiesced`` ack. Times in ms on the guest's monotonic clock.

    ``anchored``: the applications were held until a snapshot inside the guest was made, and go on already.
    """

    boot_id: str
    dead_man_armed: bool
    held: tuple[Held, ...]
    not_held: tuple[NotHeld, ...]
    quiesce_ms: int
    budget_left_ms: int
    script: ScriptReport | None = None
    anchored: bool = False
    warnings: tuple[GuestWarning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeReport:
    """The body of a ``resumed`` ack. ``window_ms`` is the freeze window by the guest's monotonic clock.

    ``released_by`` is ``order``, ``dead-man``, ``agent`` or ``restart``. ``clock_jump_ms`` is how far the
    guest's wall clock moved against its monotonic one between quiesce and release; negative is back.
    """

    boot_id: str
    released_by: str
    held_until_order: bool
    held: tuple[HeldUntil, ...]
    window_ms: int
    script: ScriptReport | None = None
    clock_jump_ms: int = 0
    warnings: tuple[GuestWarning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCapture:
    """What is known of the snapshot of one disk. Times in ms since the epoch.

    ``put_sent_at`` and ``succeeded_seen_at`` are the app's clock, ``time_created`` is Azure's.
    ``error`` is the stable code of what went wrong, empty when nothing did.
    """

    disk_id: str
    lun: int | None
    snapshot_id: str
    put_sent_at: int
    time_created: int | None = None
    succeeded_seen_at: int | None = None
    error: str = ""
    detail: str = ""

    @property
    def captured(self) -> bool:
        """Whether Azure said Succeeded of this snapshot and it is not an older one of the same name."""
        return not self.error and self.time_created is not None and self.succeeded_seen_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePointReport:
    """What a VM restore point came to, as Azure says afterwards.

    ``asked`` is the consistency on the request: ``CrashConsistent``, or empty, which leaves it to the
    platform. ``reached`` is ``ApplicationConsistent``, ``FileSystemConsistent`` or ``CrashConsistent``; empty
    while it is not known. It may be less than was asked for without any error.
    """

    point_id: str
    asked: str
    reached: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The chain of one generation: quiesced -> PUTs -> Succeeded -> resume ordered -> resumed.

    ``quiesced_at`` is when the app took the ack, ``resume_ordered_at`` when the saga decided to resume;
    a capture that is recorded here after that is not inside the freeze. A member of a group heard at
    ``all_held_at`` that every member held, and at ``all_captured_at`` that every member had its snapshots:
    it asked for its own after the one, and let go after the other. The app's clock, in ms since the epoch.
    """

    generation: int
    disks: tuple[str, ...]
    quiesced: QuiesceReport | None = None
    quiesced_at: int | None = None
    captures: tuple[DiskCapture, ...] = ()
    restore_point: RestorePointReport | None = None
    captured_at: int | None = None
    resume_ordered_at: int | None = None
    resumed: ResumeReport | None = None
    resumed_at: int | None = None
    all_held_at: int | None = None
    all_captured_at: int | None = None

    @property
    def freeze_window_ms(self) -> int | None:
        """The measured freeze window in ms, or None when nothing was held or nobody could say."""
        return self.resumed.window_ms if self.resumed else None

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of this evidence, hex: what the snapshots carry as a tag.

        Canonical: sorted names, no white space, ASCII only, and no member that has its default. So a member
        that a later version adds does not change the digest of evidence that was recorded before.
        """
        canonical = json.dumps(_said(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _said(value: Any) -> Any:
    """Give a record as JSON, without the members that have their default."""
    if is_dataclass(value):
        members = ((member, getattr(value, member.name)) for member in fields(value))
        return {member.name: _said(given) for member, given in members if given != member.default}
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    return value
