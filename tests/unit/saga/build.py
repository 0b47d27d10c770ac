"""Builders of specs, facts, reports, evidence and events: whole and good unless a test says otherwise."""

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.policy.concurrency import AdmissionRules
from shared.policy.guest_processing import Filesystems, GuestProcessing, OnGuestFailure, Script
from shared.policy.snapshots import RecoveryPointKind, RegionCopySettings, SnapshotSettings
from shared.saga.events import (
    AgentReady,
    CaptureEnded,
    CopiesSeen,
    Event,
    FactsRead,
    Quiesced,
    QuiesceFailed,
    Resumed,
    Started,
)
from shared.saga.evidence import (
    DiskCapture,
    Evidence,
    GuestWarning,
    Held,
    HeldUntil,
    NotHeld,
    QuiesceReport,
    ResumeReport,
    ScriptReport,
)
from shared.saga.facts import DiskFacts, VmFacts
from shared.saga.machine import advance
from shared.saga.names import snapshot_id
from shared.saga.phases import Transition, pending
from shared.saga.state import GroupMember, SagaSpec, SagaState, SnapshotCopy

if TYPE_CHECKING:
    from shared.saga.effects import Effect

T0 = 1_700_000_000_000
SAGA = "0123456789abcdef0123"
GROUP = "/subscriptions/s1/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
PRE = "/etc/stillframe/pre.sh"
POST = "/etc/stillframe/post.sh"
MOUNTS = ("/", "/data", "/log")
SCRIPTS = GuestProcessing(pre_script=Script(PRE), post_script=Script(POST))
GROUPED = GroupMember(key="run-1/shop", name="shop")
GATE = AdmissionRules(scope="policy-nightly", held=2, timeout_ms=600_000)


def guest(
    *,
    scripts: bool = True,
    on_guest_failure: OnGuestFailure = OnGuestFailure.FAIL,
    attempts: int = 2,
    filesystems: Filesystems = Filesystems.ALL,
    enabled: bool = True,
) -> GuestProcessing:
    base = SCRIPTS if scripts else GuestProcessing()
    return replace(
        base, on_guest_failure=on_guest_failure, attempts=attempts, filesystems=filesystems, enabled=enabled
    )


def spec(
    processing: GuestProcessing = SCRIPTS,
    kind: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS,
    admission: AdmissionRules | None = None,
    group: GroupMember | None = None,
) -> SagaSpec:
    return SagaSpec(
        saga_id=SAGA,
        run_id="run-1",
        vm_id=VM,
        policy_name="nightly",
        guest=processing,
        snapshots=SnapshotSettings(recovery_point=kind),
        admission=admission,
        group=group,
    )


def disk(lun: int | None) -> DiskFacts:
    name = "db-1-os" if lun is None else f"db-1-data-{lun}"
    return DiskFacts(
        disk_id=f"{GROUP}/providers/Microsoft.Compute/disks/{name}",
        name=name,
        lun=lun,
        location="westeurope",
        sku="Premium_LRS",
        size_gib=64,
    )


DISKS = (disk(None), disk(0), disk(1))


def facts(
    *,
    power_state: str = "running",
    disks: tuple[DiskFacts, ...] = DISKS,
    obstacles: tuple[str, ...] = (),
    os_type: str = "Linux",
) -> VmFacts:
    return VmFacts(
        vm_id=VM,
        name="db-1",
        location="westeurope",
        os_type=os_type,
        power_state=power_state,
        vm_agent_ready=True,
        disks=disks,
        obstacles=obstacles,
    )


def script_report(path: str, exit_code: int | None = 0, *, timed_out: bool = False) -> ScriptReport:
    return ScriptReport(path, exit_code, timed_out, 120, "")


def held_things(*, scripts: bool = True) -> tuple[Held, ...]:
    held = tuple(Held("filesystem", mount) for mount in MOUNTS)
    return (Held("script", PRE), *held) if scripts else held


def quiesce_report(
    *,
    scripts: bool = True,
    held: tuple[Held, ...] | None = None,
    not_held: tuple[NotHeld, ...] = (),
    budget_left_ms: int = 28_000,
    dead_man_armed: bool = True,
    warnings: tuple[GuestWarning, ...] = (),
) -> QuiesceReport:
    return QuiesceReport(
        boot_id="boot-1",
        dead_man_armed=dead_man_armed,
        held=held_things(scripts=scripts) if held is None else held,
        not_held=not_held,
        quiesce_ms=2_000,
        budget_left_ms=budget_left_ms,
        script=script_report(PRE) if scripts else None,
        warnings=warnings,
    )


def resume_report(
    *,
    scripts: bool = True,
    released_by: str = "order",
    post_script: ScriptReport | None = None,
    held: tuple[Held, ...] | None = None,
    warnings: tuple[GuestWarning, ...] = (),
) -> ResumeReport:
    by_order = released_by == "order"
    things = held_things(scripts=scripts) if held is None else held
    return ResumeReport(
        boot_id="boot-1",
        released_by=released_by,
        held_until_order=by_order,
        held=tuple(HeldUntil(thing.kind, thing.name, by_order) for thing in things),
        window_ms=3_400,
        script=post_script or (script_report(POST) if scripts else None),
        warnings=warnings,
    )


def snapshot_of(item: DiskFacts, generation: int = 1) -> str:
    return snapshot_id(item, None, SAGA, generation)


def capture_of(item: DiskFacts, *, generation: int = 1, at: int = T0, error: str = "") -> DiskCapture:
    return DiskCapture(
        disk_id=item.disk_id,
        lun=item.lun,
        snapshot_id=snapshot_of(item, generation),
        put_sent_at=at,
        time_created=None if error else at + 100,
        succeeded_seen_at=None if error else at + 300,
        error=error,
    )


def whole_evidence(*, scripts: bool = True) -> Evidence:
    """Every link of the chain, as a saga without any trouble records it."""
    return Evidence(
        generation=1,
        disks=tuple(item.disk_id for item in DISKS),
        quiesced=quiesce_report(scripts=scripts),
        quiesced_at=T0,
        captures=tuple(capture_of(item) for item in DISKS),
        captured_at=T0 + 1_200,
        resume_ordered_at=T0 + 1_200,
        resumed=resume_report(scripts=scripts),
        resumed_at=T0 + 1_500,
    )


def ready(generation: int = 1) -> AgentReady:
    return AgentReady(generation, 1, "boot-1", dead_man_armed=True, agent_version="0.1.0")


def quiesced(generation: int = 1, *, at: int = T0, report: QuiesceReport | None = None) -> Quiesced:
    return Quiesced(generation, 2, report or quiesce_report(), at)


def quiesce_failed(generation: int = 1, reason: str = "script_failed") -> QuiesceFailed:
    return QuiesceFailed(generation, 2, reason, "The pre-script ended with exit code 3.")


def captured(generation: int = 1, *, at: int = T0, errors: tuple[str, ...] = ("", "", "")) -> CaptureEnded:
    pairs = zip(DISKS, errors, strict=True)
    return CaptureEnded(
        generation, tuple(capture_of(item, generation=generation, at=at, error=e) for item, e in pairs)
    )


def resumed(
    generation: int = 1,
    *,
    released_by: str = "order",
    post_script: ScriptReport | None = None,
    warnings: tuple[GuestWarning, ...] = (),
) -> Resumed:
    report = resume_report(released_by=released_by, post_script=post_script, warnings=warnings)
    return Resumed(generation, 3, report)


class Saga:
    """Walks a saga by the real machine, remembering every effect; ``now`` is moved by the test."""

    def __init__(
        self,
        processing: GuestProcessing = SCRIPTS,
        kind: RecoveryPointKind = RecoveryPointKind.SNAPSHOTS,
        admission: AdmissionRules | None = None,
        group: GroupMember | None = None,
    ) -> None:
        self.state: SagaState = pending(spec(processing, kind, admission, group), T0)
        self.now = T0
        self.effects: list[Effect] = []
        self.last = Transition(self.state)

    def take(self, *events: Event, after_ms: int = 10) -> "Saga":
        for event in events:
            self.now += after_ms
            self.last = advance(self.state, event, self.now)
            self.state = self.last.state
            self.effects.extend(self.last.effects)
        return self

    def wait_out(self) -> "Saga":
        """Go to the deadline of the current phase."""
        assert self.state.deadline is not None
        self.now = self.state.deadline
        return self

    def done[E](self, kind: type[E]) -> list[E]:
        """Give all effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]


def arming(processing: GuestProcessing = SCRIPTS) -> Saga:
    return Saga(processing).take(Started("receipt-1"), FactsRead(facts()))


def admitting(processing: GuestProcessing = SCRIPTS) -> Saga:
    saga = Saga(processing, admission=GATE).take(Started("receipt-1"), FactsRead(facts()))
    return saga.take(ready())


def quiescing(processing: GuestProcessing = SCRIPTS) -> Saga:
    return arming(processing).take(ready())


def capturing(processing: GuestProcessing = SCRIPTS) -> Saga:
    saga = quiescing(processing)
    return saga.take(quiesced(at=saga.now))


def resuming(processing: GuestProcessing = SCRIPTS) -> Saga:
    saga = capturing(processing)
    return saga.take(captured(at=saga.now))


TARGETS = (
    RegionCopySettings(region="northeurope"),
    RegionCopySettings(region="swedencentral", resource_group="far-away"),
)


def copied(percent: float = 100.0) -> CopiesSeen:
    """Say how far the background copies of all disks are."""
    return CopiesSeen(tuple(SnapshotCopy(snapshot_of(item), percent) for item in DISKS))


def copying(processing: GuestProcessing = SCRIPTS) -> Saga:
    """A recovery point that is being copied to two regions."""
    saga = resuming(processing)
    snapshots = replace(saga.state.spec.snapshots, copy_to=TARGETS)
    saga.state = replace(saga.state, spec=replace(saga.state.spec, snapshots=snapshots))
    return saga.take(resumed(), copied())


def completing(processing: GuestProcessing = SCRIPTS) -> Saga:
    return resuming(processing).take(resumed())
