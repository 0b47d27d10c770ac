"""What the triggers call: the use cases, put together once per process."""

from dataclasses import dataclass

from shared.engine.acknowledging import Acks
from shared.engine.health import Health
from shared.engine.reading import Reading
from shared.engine.running import RunService
from shared.engine.scheduling import PolicyService
from shared.engine.stepping import Steps
from shared.engine.timelines import Timelines


@dataclass(frozen=True, slots=True)
class Application:
    """The use cases of the app."""

    steps: Steps
    acks: Acks
    runs: RunService
    policies: PolicyService
    reading: Reading
    timelines: Timelines
    health: Health
