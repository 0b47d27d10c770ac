"""The use case of a message of the groups queue: tell a member what its group says, or look at its clock."""

from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.engine.grouping import Grouping, event_of
from shared.engine.loop import SagaLoop
from shared.engine.queue_names import GroupMessage
from shared.logs import About, about, logger
from shared.storage.errors import SagaNotFound

_log = logger("groups")


class GroupMessages:
    """Messages of groups."""

    def __init__(self, loop: SagaLoop, grouping: Grouping) -> None:
        self._loop = loop
        self._grouping = grouping

    async def take(self, message: GroupMessage, *, again: bool = False) -> None:
        """Do what a message asks for; ``again`` says that an earlier delivery of it failed."""
        what = About(message.run_id, message.saga_id)
        with (
            about(what),
            telemetry.span("group", what.fields(), of=message.trace, kind=SpanKind.CONSUMER),
        ):
            if not message.saga_id:
                await self._grouping.look(message.run_id, message.name)
                return
            try:
                await self._loop.deliver(message.saga_id, event_of(message), again=again)
            except SagaNotFound:  # it has not begun; when it comes to the group it is told
                _log.info("group %s: a member that has not begun is told when it comes", message.name)

    async def give_up(self, message: GroupMessage) -> None:
        """Leave it at that: a member that waits asks its group again, and the sweep looks at the clock."""
        with about(About(message.run_id, message.saga_id)):
            _log.error("group %s: a message to it failed again and again", message.name)
