"""The use case of a message of the points queue."""

from shared.engine.deleting import Deleting
from shared.engine.queue_names import PointMessage, PointTask
from shared.engine.reconciling import Reconciling
from shared.engine.retaining import Retaining
from shared.logs import logger

_log = logger("points")


class PointTasks:
    """Does what messages of the points queue ask for. Each may come twice without harm."""

    def __init__(self, retaining: Retaining, deleting: Deleting, reconciling: Reconciling) -> None:
        self._retaining = retaining
        self._deleting = deleting
        self._reconciling = reconciling

    async def take(self, message: PointMessage) -> None:
        """Do it.

        Raises:
            ComputeError: Azure could not be asked, or could not do it now; the message comes again.
        """
        match message.task:
            case PointTask.RETAIN:
                await self._retaining.take(message)
            case PointTask.DELETE:
                await self._deleting.take(message.subject)
            case PointTask.LIST | PointTask.LOOK:
                await self._reconciling.take(message)

    async def give_up(self, message: PointMessage) -> None:
        """Say that a message failed again and again. The next pass of its timer begins anew."""
        _log.error("stillframe points: %s of %s is given up for now", message.task, message.subject)
