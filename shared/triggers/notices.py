"""The queue triggers of notices: deliver one, and put aside what the app failed to deliver."""

import azure.functions as func

from shared.engine.notice_messages import read_notice
from shared.engine.queue_names import NOTICES, BadMessageError
from shared.logs import logger
from shared.triggers.once import Once
from shared.triggers.queues import STORAGE, text_of

_log = logger("notices")


def blueprint(application: Once) -> func.Blueprint:
    """Give the queue functions."""
    notices = func.Blueprint()

    @notices.queue_trigger("msg", NOTICES, STORAGE)
    async def deliver_notice(msg: func.QueueMessage) -> None:
        await application().deliveries.take(read_notice(text_of(msg)))

    @notices.queue_trigger("msg", f"{NOTICES}-poison", STORAGE)
    async def poisoned_notice(msg: func.QueueMessage) -> None:
        try:
            notice = read_notice(text_of(msg))
        except BadMessageError as error:
            _log.error("a poison message is dropped: %s", error)
            return
        await application().deliveries.give_up(notice, "the app failed to deliver it, again and again")

    return notices
