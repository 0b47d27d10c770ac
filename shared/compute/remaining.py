"""What Azure's answers say of the requests that remain, kept until somebody asks.

The headers are those of Azure Resource Manager's front door (per subscription, region and principal) and of
its compute provider: ``x-ms-ratelimit-remaining-resource: Microsoft.Compute/Name3Min;999,...``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import SansIOHTTPPolicy

#: How long a 429 that does not say so closes the subscription (ms).
UNSAID_PAUSE_MS = 5_000
#: A 429 closes a subscription for no longer than this (ms): then it is tried again.
LONGEST_PAUSE_MS = 5 * 60_000

_READS = "x-ms-ratelimit-remaining-subscription-reads"
_WRITES = "x-ms-ratelimit-remaining-subscription-writes"
_PROVIDER = "x-ms-ratelimit-remaining-resource"
_SUBSCRIPTION = re.compile("/subscriptions/([^/?]+)", re.IGNORECASE)
_BUCKET = re.compile(r"Microsoft\.Compute/([A-Za-z0-9]{1,64});([0-9]{1,9})")

#: A 429 on one of these is about the whole subscription; one on a VM may be about that VM alone.
_SHARED = re.compile("/providers/microsoft.compute/(snapshots|disks|restorepointcollections)", re.IGNORECASE)


@dataclass(slots=True)
class _Seen:
    at: int
    writes: int | None = None
    reads: int | None = None
    closed_until: int = 0
    provider: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingSeen:
    """The least that was seen to remain since somebody asked last. Times in ms since the epoch.

    None and absent: nothing was said. ``closed_until`` is 0 when there was no 429.
    """

    at: int
    writes: int | None
    reads: int | None
    closed_until: int
    provider: Mapping[str, int]


class Remaining:
    """Reads the headers of answers. ``clock`` gives ms since the epoch."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def note(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        """Note what an answer says."""
        found = _SUBSCRIPTION.search(url)
        if found is None:
            return
        now = self._clock()
        seen = self._seen.setdefault(found[1].lower(), _Seen(now))
        seen.at = now
        seen.writes = _least(seen.writes, headers.get(_WRITES))
        seen.reads = _least(seen.reads, headers.get(_READS))
        for name, count in _BUCKET.findall(headers.get(_PROVIDER, "")):
            seen.provider[name] = min(int(count), seen.provider.get(name, int(count)))
        if status == 429 and _is_shared(url, headers):
            seen.closed_until = max(seen.closed_until, now + _pause_ms(headers.get("Retry-After", "")))

    def take(self, subscription_id: str) -> RemainingSeen | None:
        """Give what was seen of a subscription since the last call; None when nothing was."""
        seen = self._seen.pop(subscription_id.lower(), None)
        if seen is None:
            return None
        return RemainingSeen(
            at=seen.at,
            writes=seen.writes,
            reads=seen.reads,
            closed_until=seen.closed_until,
            provider=seen.provider,
        )


class NoteRemaining(SansIOHTTPPolicy[Any, Any]):
    """Has every answer noted, those to requests that are sent again too."""

    def __init__(self, remaining: Remaining) -> None:
        super().__init__()
        self._remaining = remaining

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Note what the answer says."""
        answer = response.http_response
        self._remaining.note(request.http_request.url, answer.status_code, answer.headers)


def _least(known: int | None, text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit():
        return known
    return int(text) if known is None else min(known, int(text))


def _is_shared(url: str, headers: Mapping[str, str]) -> bool:
    return bool(_SHARED.search(url)) or "0" in (headers.get(_READS), headers.get(_WRITES))


def _pause_ms(text: str) -> int:
    asked = int(text) * 1_000 if text.isascii() and text.isdigit() else UNSAID_PAUSE_MS
    return min(max(asked, 1_000), LONGEST_PAUSE_MS)
