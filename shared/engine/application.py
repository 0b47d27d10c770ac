"""What the triggers call: the use cases, put together once per process."""

from dataclasses import dataclass

from shared.engine.acknowledging import Acks
from shared.engine.delivering import Deliveries
from shared.engine.group_messages import GroupMessages
from shared.engine.health import Health
from shared.engine.housekeeping.passes import Housekeeping
from shared.engine.point_tasks import PointTasks
from shared.engine.points import Points
from shared.engine.postponing import Postponing
from shared.engine.preflighting import Preflights
from shared.engine.reading import Reading
from shared.engine.rebuilding import Rebuilding
from shared.engine.reconciling import Reconciling
from shared.engine.rehearsals import Rehearsals
from shared.engine.retaining import Retaining
from shared.engine.retrying import Retrying
from shared.engine.run_listing import RunListing
from shared.engine.running import RunService
from shared.engine.scheduling import PolicyService
from shared.engine.stepping import Steps
from shared.engine.sweeping import Sweeping
from shared.engine.timelines import Timelines


@dataclass(frozen=True, slots=True)
class Application:
    """The use cases of the app."""

    steps: Steps
    acks: Acks
    runs: RunService
    sweeping: Sweeping
    policies: PolicyService
    reading: Reading
    run_listing: RunListing
    retrying: Retrying
    preflights: Preflights
    timelines: Timelines
    rehearsals: Rehearsals
    health: Health
    points: Points
    retaining: Retaining
    reconciling: Reconciling
    rebuilding: Rebuilding
    point_tasks: PointTasks
    group_messages: GroupMessages
    deliveries: Deliveries
    housekeeping: Housekeeping
    postponing: Postponing
