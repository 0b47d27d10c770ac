"""The queue triggers of notices: deliver one, and put aside what the app failed to deliver."""

import azure.functions as func

from shared.engine.notice_messages import read_notice
from shared.engine.queue_names import NOTICES, BadMessageError
from shared.logs import logger
from shared.triggers.once import Once
from shared.triggers.putting_off import or_put_off, text_of
from shared.triggers.queues import STORAGE

_log = logger("notices")


def blueprint(application: Once) -> func.Blueprint:
    """Give the queue functions."""
    notices = func.Blueprint()

    @notices.queue_trigger("msg", NOTICES, STORAGE)
    async def deliver_notice(msg: func.QueueMessage) -> None:
        async def work() -> None:
            await application().deliveries.take(read_notice(text_of(msg)))

        await or_put_off(application, NOTICES, msg, work)

    @notices.queue_trigger("msg", f"{NOTICES}-poison", STORAGE)
    async def poisoned_notice(msg: func.QueueMessage) -> None:
        async def work() -> None:
            try:
                notice = read_notice(text_of(msg))
            except BadMessageError as error:
                _log.error("a poison message is dropped: %s", error)
                return
            await application().deliveries.give_up(notice, "the app failed to deliver it, again and again")

        await or_put_off(application, NOTICES, msg, work)

    return notices
