"""What effects are carried out with: put together once, by ``function_app.py``."""

from dataclasses import dataclass, field

from shared.compute.agent_package import AgentPackage
from shared.compute.making import FailedOperation
from shared.engine.cataloguing import Catalogue
from shared.engine.grouping import Grouping
from shared.engine.orders import Keys
from shared.engine.ports import Admission, Clock, Compute, Following
from shared.engine.timelines import Timelines
from shared.storage.agents import AgentTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.guest_scripts import ScriptStore
from shared.storage.ports import MessageQueues
from shared.storage.runs import RunTable


@dataclass(frozen=True, slots=True)
class Hands:
    """What effects are carried out with."""

    compute: Compute
    queues: MessageQueues
    guests: GuestQueues
    scripts: ScriptStore
    runs: RunTable
    keys: Keys
    clock: Clock
    agents: AgentTable
    package: AgentPackage | None = None
    catalogue: Catalogue | None = None
    timelines: Timelines | None = None
    admission: Admission | None = None
    following: Following | None = None
    grouping: Grouping | None = None
    failed: dict[str, list[FailedOperation]] = field(default_factory=dict)
    """Operations by saga that Azure failed, to be asked about once the guest has gone on."""
