"""The queue triggers of groups of VMs that share one instant."""

import azure.functions as func

from shared.engine.queue_names import GROUPS, BadMessageError, read_group_message
from shared.logs import logger
from shared.triggers.once import Once
from shared.triggers.putting_off import or_put_off, text_of
from shared.triggers.queues import STORAGE, came_before

_log = logger("queues")


def blueprint(application: Once) -> func.Blueprint:
    """Give the queue functions."""
    groups = func.Blueprint()

    @groups.queue_trigger("msg", GROUPS, STORAGE)
    async def group_message(msg: func.QueueMessage) -> None:
        async def work() -> None:
            message = read_group_message(text_of(msg))
            await application().group_messages.take(message, again=came_before(msg))

        await or_put_off(application, GROUPS, msg, work)

    @groups.queue_trigger("msg", f"{GROUPS}-poison", STORAGE)
    async def poisoned_group_message(msg: func.QueueMessage) -> None:
        async def work() -> None:
            try:
                message = read_group_message(text_of(msg))
            except BadMessageError as error:
                _log.error("a poison message is dropped: %s", error)
                return
            await application().group_messages.give_up(message)

        await or_put_off(application, GROUPS, msg, work)

    return groups
