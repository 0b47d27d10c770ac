"""What travels on the queue of notices: an event, whom it is for, and how often it was tried."""

import json
from dataclasses import dataclass, replace
from typing import Any

from shared.engine.queue_names import NOTICES, BadMessageError, read_members
from shared.policy.notifications import Webhook, wrong_queue, wrong_url
from shared.saga.codec import decode, encode
from shared.saga.errors import UnreadableRecordError
from shared.storage.upcasts import Form, version_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An event for one receiver: a webhook, or a queue. ``attempts`` were made already, without success.

    ``first_at`` (ms since the epoch) is when the notice was written.
    """

    event: dict[str, Any]
    webhook: Webhook | None = None
    queue: str = ""
    attempts: int = 0
    first_at: int

    @property
    def id(self) -> str:
        """The event's id, by which receivers know a repetition."""
        return str(self.event["id"])

    def tried(self) -> "Notice":
        """Count one more attempt."""
        return replace(self, attempts=self.attempts + 1)

    def body(self) -> bytes:
        """Write the event, the same bytes in every attempt."""
        return _json(self.event).encode()

    def text(self) -> str:
        """Write the message."""
        return _json(self._members())

    def dead_letter(self, why: str, at: int) -> str:
        """Write the message as it is put aside. Put back as it is, it is tried anew."""
        told = {"given_up": {"why": why, "attempts": self.attempts, "at": at}}
        return _json(self._members() | {"attempts": 0} | told)

    def _members(self) -> dict[str, Any]:
        return {
            "v": version_of(Form.NOTICE),
            "event": self.event,
            "webhook": encode(self.webhook),
            "queue": self.queue,
            "attempts": self.attempts,
            "first_at": self.first_at,
        }


def _json(value: Any) -> str:
    """Write JSON in ASCII: half of a surrogate pair, which a guest may have said, is no text to a queue."""
    return json.dumps(value, separators=(",", ":"))


def read_notice(text: str) -> Notice:
    """Read a message of the queue of notices.

    Raises:
        BadMessageError: it is none.
        NewerMessage: a newer version of the app wrote it.
    """
    members = read_members(NOTICES, text, Form.NOTICE)
    event, webhook = members.get("event"), members.get("webhook")
    if not isinstance(event, dict) or not _is_id(event.get("id")) or not isinstance(event.get("type"), str):
        raise BadMessageError(NOTICES, "event", "a CloudEvent with an id of letters and digits")
    try:
        receiver = decode(Webhook, webhook) if webhook is not None else None
    except UnreadableRecordError:
        raise BadMessageError(NOTICES, "webhook", "a webhook, or null") from None
    if receiver is not None and wrong_url(receiver.url):
        raise BadMessageError(NOTICES, "webhook", "a webhook with a URL")
    queue = members.get("queue")
    if not isinstance(queue, str) or bool(queue) == (receiver is not None) or (queue and wrong_queue(queue)):
        raise BadMessageError(NOTICES, "queue", "the name of a queue, empty beside a webhook")
    for name in ("attempts", "first_at"):
        if type(members.get(name)) is not int or members[name] < 0:
            raise BadMessageError(NOTICES, name, "a whole number")
    return Notice(
        event=event,
        webhook=receiver,
        queue=queue,
        attempts=members["attempts"],
        first_at=members["first_at"],
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 100 and value.isascii() and value.isalnum()
