"""What is asked for in the model: few and short times, so that the same deadlines meet again and again."""

from dataclasses import dataclass, field, replace

from shared.engine.run_settings import RunSettings, admission_rules
from shared.policy.concurrency import Concurrency
from shared.policy.guest_processing import (
    AgentUse,
    ApplicationAware,
    GuestProcessing,
    OnGuestFailure,
    Script,
)
from shared.policy.snapshots import SnapshotSettings
from shared.protocol import session_key, vm_key
from shared.saga.facts import VmFacts
from shared.saga.group import GroupRules
from shared.saga.names import saga_id
from shared.saga.state import GroupMember, SagaSpec
from tests.unit.saga import build

RUN = "run-1"
VM = build.VM.lower()
SAGA = saga_id(RUN, VM)
MASTER = b"a fixed master secret of 32 bytes"
SESSION_KEY = session_key(vm_key(MASTER, VM), SAGA)

#: How long a saga is told to wait that is not admitted (ms).
WAIT_MS = 10_000

#: Two disks: enough to be taken at two instants.
DISKS = (build.disk(None), build.disk(0))

_BASE = GuestProcessing(
    pre_script=Script(build.PRE, timeout_ms=5_000),
    post_script=Script(build.POST, timeout_ms=5_000),
    freeze_budget_ms=20_000,
    quiesce_timeout_ms=5_000,
    arming_timeout_ms=30_000,
    resume_timeout_ms=1_000,
    attempts=2,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A policy's guest processing, and whether an agent lives in the guest (and is started again there).

    Without ``concurrency`` a guest that is ready is held at once.
    ``rehearsal``: nothing is to be snapshotted. ``group``: the VM shares one instant with others.
    """

    name: str
    guest: GuestProcessing
    resident: bool
    concurrency: Concurrency | None = None
    snapshots: SnapshotSettings = field(default_factory=SnapshotSettings)
    rehearsal: bool = False
    group: GroupMember | None = None

    @property
    def spec(self) -> SagaSpec:
        """What the saga is asked to do."""
        return SagaSpec(
            saga_id=SAGA,
            run_id=RUN,
            vm_id=VM,
            policy_name="nightly",
            guest=self.guest,
            snapshots=self.snapshots,
            admission=admission_rules(self.settings, RUN),
            rehearsal=self.rehearsal,
            group=self.group,
        )

    @property
    def settings(self) -> RunSettings:
        """What the run does with its VM."""
        return RunSettings(
            policy_name="nightly",
            guest=self.guest,
            layers=(),
            snapshots=self.snapshots,
            concurrency=self.concurrency,
            rehearsal=self.rehearsal,
        )

    @property
    def facts(self) -> VmFacts:
        """What preflight reads."""
        return build.facts(disks=DISKS)


SCENES = {
    scene.name: scene
    for scene in (
        Scene("run command", replace(_BASE, agent=AgentUse.RUN_COMMAND), resident=False),
        Scene("resident", replace(_BASE, agent=AgentUse.RESIDENT), resident=True),
        Scene(
            "lenient",
            replace(
                _BASE,
                agent=AgentUse.AUTO,
                on_guest_failure=OnGuestFailure.CONTINUE,
                attempts=1,
                pre_script=None,
                post_script=None,
            ),
            resident=True,
        ),
        Scene(  # no policy may say both: what is required is kept all the same, and nothing less
            "required",
            replace(
                _BASE,
                agent=AgentUse.RESIDENT,
                on_guest_failure=OnGuestFailure.CONTINUE,
                application_aware=ApplicationAware.REQUIRE,
                detect_handlers=False,
                attempts=1,
            ),
            resident=True,
        ),
        Scene(
            "gate",
            replace(_BASE, agent=AgentUse.RESIDENT, pre_script=None, post_script=None),
            resident=True,
            concurrency=Concurrency(held=1, admission_timeout_ms=2 * WAIT_MS),
        ),
        Scene(
            "copied",
            replace(_BASE, enabled=False, pre_script=None, post_script=None),
            resident=True,
            snapshots=SnapshotSettings(copy_to=build.TARGETS[:1]),
        ),
        Scene(
            "group",
            replace(_BASE, agent=AgentUse.RESIDENT, freeze_budget_ms=8_000, quiesce_timeout_ms=3_000),
            resident=True,
            group=GroupMember(
                key=f"{RUN}/shop",
                name="shop",
                rules=GroupRules(armed_timeout_ms=WAIT_MS, proved_timeout_ms=WAIT_MS),
            ),
        ),
        Scene(
            "rehearsal",
            replace(_BASE, agent=AgentUse.RESIDENT, on_guest_failure=OnGuestFailure.CONTINUE),
            resident=True,
            rehearsal=True,
        ),
    )
}
