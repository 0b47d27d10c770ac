"""What queue triggers do with messages about what a newer version of the app wrote: see ``postponing``."""

from collections.abc import Awaitable, Callable

import azure.functions as func

from shared.engine.postponing import NOT_OF_THIS_VERSION
from shared.engine.queue_names import ACKS
from shared.triggers.once import Once


def text_of(msg: func.QueueMessage) -> str:
    """Give the message's text. Bytes that are no UTF-8 become a text that no reader takes for a message."""
    return msg.get_body().decode("utf-8", "replace")


async def or_put_off(
    application: Once, queue: str, msg: func.QueueMessage, work: Callable[[], Awaitable[None]]
) -> None:
    """Do the work of a message; one that this version cannot read goes back into ``queue`` for a while."""
    try:
        await work()
    except NOT_OF_THIS_VERSION as error:
        await application().postponing.put_off(queue, text_of(msg), error, of_guests=queue == ACKS)
