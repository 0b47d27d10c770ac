"""What a queue-triggered function is told about its message besides the body.

As QueueTriggerBinding.CreateBindingData and Utility.ApplyBindingData of the .NET host send it.
"""

import json
from datetime import datetime
from typing import Any

from local.functions_host.protos import TypedData
from local.functions_host.queues import ReceivedMessage


def queue_trigger_metadata(message: ReceivedMessage, body: str) -> dict[str, TypedData]:
    """The trigger's metadata for a message with this decoded body.

    A trap of the real host, kept: every top-level member of a JSON object in the body that is no array goes
    into the metadata too, whatever the case of its letters, and overrides the message's own `Id`,
    `DequeueCount`, `PopReceipt`, `InsertionTime`, `ExpirationTime` and `NextVisibleTime`.
    """
    metadata = {
        "QueueTrigger": TypedData(string=body),
        "DequeueCount": TypedData(json=str(message.dequeue_count)),
        "ExpirationTime": _time(message.expires),
        "Id": TypedData(string=message.message_id),
        "InsertionTime": _time(message.inserted),
        "NextVisibleTime": _time(message.next_visible),
        "PopReceipt": TypedData(string=message.pop_receipt),
    }
    spelling = {name.lower(): name for name in metadata}
    for name, value in _members(body).items():
        converted = _member_data(value)
        if converted is not None:
            metadata[spelling.setdefault(name.lower(), name)] = converted
    return metadata


def looks_like_json(text: str) -> bool:
    """Utility.IsJson of the host: a text in braces or brackets, valid or not."""
    text = text.strip()
    return (text[:1] == "{" and text[-1:] == "}") or (text[:1] == "[" and text[-1:] == "]")


def _members(body: str) -> dict[str, Any]:
    if not looks_like_json(body):
        return {}
    try:
        content = json.loads(body)
    except ValueError:
        return {}  # not an error: a body need not be JSON
    return content if isinstance(content, dict) else {}


def _member_data(value: Any) -> TypedData | None:
    match value:
        case None | list():
            return None
        case dict():
            return TypedData(json=json.dumps(value, separators=(",", ":"), ensure_ascii=False))
        case bool():
            return TypedData(string=str(value))  # .NET writes True and False, as Python does
        case str():
            return TypedData(string=value)
        case _:
            return TypedData(string=json.dumps(value))


def _time(moment: datetime) -> TypedData:
    return TypedData(json=json.dumps(moment.isoformat()))
