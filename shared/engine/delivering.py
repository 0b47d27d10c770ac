"""Notices are brought to their receivers: tried again with growing pauses for a day, then put aside.

The pauses are those of the queue: what could not be delivered is sent again, hidden for as long. The host's
own retries (``maxDequeueCount``) are for the app's failures, not for the receivers'.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError

from shared.delivery.addresses import ForbiddenAddress, Network, check_address
from shared.delivery.signing import Secrets, UnusableSecret, signed_headers
from shared.delivery.webhooks import Answer, Unreachable
from shared.engine.notice_messages import Notice
from shared.engine.ports import Clock
from shared.engine.queue_names import NOTICES, NOTICES_DEAD
from shared.logs import logger
from shared.policy.fields import DocumentError
from shared.policy.notifications import Notification
from shared.storage.ports import MessageQueues

_log = logger("notices")

_S, _MIN, _H = 1_000, 60_000, 3_600_000

#: Pauses before the second attempt, the third, and so on: ten attempts within about 24 hours.
PAUSES_MS = (
    10 * _S, 1 * _MIN, 5 * _MIN, 15 * _MIN, 1 * _H, 2 * _H, 4 * _H, 7 * _H, 10 * _H,
)  # fmt: skip
#: Pauses are longer by up to this part, so that a receiver that was down is not met by all of them at once.
_SPREAD = 0.1
#: A receiver that asks for more patience than this is asked again all the same.
LONGEST_PAUSE_MS = 24 * _H

GONE = 410


class Poster(Protocol):
    """See ``shared.delivery.webhooks.WebhookClient``."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, now: int) -> Answer: ...  # noqa: D102


class NotDelivered(Exception):
    """An attempt failed. ``final`` says that another one makes no sense; times in ms."""

    def __init__(self, why: str, *, final: bool = False, retry_after_ms: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.final = final
        self.retry_after_ms = retry_after_ms


class Deliveries:
    """Delivers notices."""

    def __init__(self, *, poster: Poster, secrets: Secrets, queues: MessageQueues, clock: Clock) -> None:
        self._poster = poster
        self._secrets = secrets
        self._queues = queues
        self._clock = clock

    async def take(self, notice: Notice) -> None:
        """Try once to deliver a notice; what fails is sent again for later, or put aside."""
        try:
            await self._deliver(notice)
        except NotDelivered as failed:
            await self._later(notice, failed)
        else:
            _log.info("%s delivered to %s", _named(notice), _receiver(notice))

    async def give_up(self, notice: Notice, why: str) -> None:
        """Put a notice aside, where an operator finds it."""
        await self._queues.send(NOTICES_DEAD, notice.dead_letter(why, self._clock()))
        _log.error(
            "stillframe notice given up: %s to %s after %d attempts: %s",
            _named(notice),
            _receiver(notice),
            notice.attempts,
            why,
        )

    async def _later(self, notice: Notice, failed: NotDelivered) -> None:
        again = notice.tried()
        if failed.final or again.attempts > len(PAUSES_MS):
            await self.give_up(again, failed.why)
            return
        pause = pause_ms(again, failed.retry_after_ms)
        await self._queues.send(NOTICES, again.text(), delay_ms=pause)
        _log.warning(
            "%s not delivered to %s, attempt %d: %s; again in %d s",
            _named(notice),
            _receiver(notice),
            again.attempts,
            failed.why,
            pause // _S,
        )

    async def _deliver(self, notice: Notice) -> None:
        if notice.webhook is None:
            await self._to_queue(notice)
            return
        webhook, now, body = notice.webhook, self._clock(), notice.body()
        try:
            signed = signed_headers(self._secrets.keys(webhook.secret), notice.id, now, body)
            answer = await self._poster.post(webhook.url, body, {**dict(webhook.headers), **signed}, now=now)
        except (UnusableSecret, ForbiddenAddress, Unreachable) as error:
            raise NotDelivered(str(error)) from error
        if not 200 <= answer.status < 300:
            raise NotDelivered(
                f"the receiver answered {answer.status}",
                final=answer.status == GONE,
                retry_after_ms=answer.retry_after_ms or 0,
            )

    async def _to_queue(self, notice: Notice) -> None:
        try:
            await self._queues.send(notice.queue, notice.body().decode())
        except HttpResponseError as error:  # a storage that does not answer is the app's own trouble
            if (error.status_code or 500) >= 500 or error.status_code in (408, 429):
                raise
            raise NotDelivered(f"the queue service answered {error.status_code}") from error


def pause_ms(notice: Notice, retry_after_ms: int) -> int:
    """Give how long a notice waits after its last attempt. The spread comes from its id, not from chance."""
    planned = PAUSES_MS[min(notice.attempts, len(PAUSES_MS)) - 1]
    drawn = hashlib.sha256(f"{notice.id} {notice.attempts}".encode()).digest()[0] / 255
    return min(LONGEST_PAUSE_MS, max(int(planned * (1 + _SPREAD * drawn)), retry_after_ms))


class Receivers:
    """Checks the receivers that a document names, as far as that can be done beforehand."""

    def __init__(self, secrets: Secrets, allowed: Sequence[Network]) -> None:
        self._secrets = secrets
        self._allowed = allowed

    def check(self, notifications: Sequence[Notification]) -> None:
        """Check that there are the secrets, and that no address is forbidden.

        What a host's name leads to is checked when it is connected to.

        Raises:
            DocumentError: names the field that is wrong.
        """
        for index, each in enumerate(notifications):
            if each.webhook is None:
                continue
            at = f"notifications[{index}].webhook"
            try:
                self._secrets.keys(each.webhook.secret)
            except UnusableSecret as error:
                raise DocumentError(f"{at}.secret", str(error)) from None
            try:
                self._check_host(each.webhook.url)
            except ForbiddenAddress as error:
                raise DocumentError(f"{at}.url", str(error)) from None

    def _check_host(self, url: str) -> None:
        host = (urlsplit(url).hostname or "").rstrip(".")
        literal = "127.0.0.1" if host == "localhost" else host
        if ":" in literal or literal.replace(".", "").isdecimal():
            check_address(literal, self._allowed)


def _named(notice: Notice) -> str:
    return f"notice {notice.id} ({notice.event['type']} of {notice.event.get('subject', '?')})"


def _receiver(notice: Notice) -> str:
    """Name the receiver without path and query, which may be secrets."""
    if notice.webhook is None:
        return f"queue {notice.queue}"
    return f"host {urlsplit(notice.webhook.url).netloc}"
