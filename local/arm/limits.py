"""Request buckets: what the rate-limit headers count down, and when they are empty."""

import math
from dataclasses import dataclass

from local.arm.clock import Clock
from local.arm.errors import ThrottledError


@dataclass(frozen=True, slots=True)
class BucketRule:
    """A token bucket: how many requests it holds, and how many come back each second."""

    name: str
    capacity: int
    refill_per_s: float


def _window(name: str, minutes: int, requests: int) -> BucketRule:
    return BucketRule(f"Microsoft.Compute/{name}{minutes}Min", requests, requests / (minutes * 60))


SUBSCRIPTION = {
    "GET": BucketRule("x-ms-ratelimit-remaining-subscription-reads", 250, 25),
    "PUT": BucketRule("x-ms-ratelimit-remaining-subscription-writes", 200, 10),
    "PATCH": BucketRule("x-ms-ratelimit-remaining-subscription-writes", 200, 10),
    "POST": BucketRule("x-ms-ratelimit-remaining-subscription-writes", 200, 10),
    "DELETE": BucketRule("x-ms-ratelimit-remaining-subscription-deletes", 200, 10),
}
"""Of the front door, per subscription, region and principal ("Understand how Azure Resource Manager throttles
requests", token buckets since 2024)."""

_READ = (_window("LowCostGet", 3, 15_000), _window("LowCostGet", 30, 120_000))
_SNAPSHOT_CREATE = (
    _window("HighCostSnapshotCreateHydrate", 3, 1_000),
    _window("HighCostSnapshotCreateHydrate", 30, 8_000),
)
_SNAPSHOT_DELETE = (_window("DeleteSnapshot", 3, 1_000), _window("DeleteSnapshot", 30, 8_000))
_RESTORE_POINT_CREATE = (_window("CreateRestorePoints", 3, 120), _window("CreateRestorePoints", 30, 600))
_RESTORE_POINT_READ = (
    _window("LowCostGetRestorePoint", 3, 500),
    _window("LowCostGetRestorePoint", 30, 4_000),
)
_VM_UPDATE = (_window("UpdateVM", 3, 240), _window("UpdateVM", 30, 1_200))

_OF_PROVIDER = {
    ("PUT", "snapshots"): _SNAPSHOT_CREATE,
    ("PATCH", "snapshots"): _SNAPSHOT_CREATE,
    ("DELETE", "snapshots"): _SNAPSHOT_DELETE,
    ("PUT", "restorepointcollections"): _RESTORE_POINT_CREATE,
    ("PATCH", "restorepointcollections"): _RESTORE_POINT_CREATE,
    ("PUT", "restorepoints"): _RESTORE_POINT_CREATE,
    ("GET", "restorepointcollections"): _RESTORE_POINT_READ,
    ("GET", "restorepoints"): _RESTORE_POINT_READ,
    ("PUT", "runcommands"): _VM_UPDATE,
    ("DELETE", "runcommands"): _VM_UPDATE,
}
"""Names and sizes as seen in answers of the service; those of reads and of deletions are assumed."""


def provider_buckets(method: str, kind: str) -> tuple[BucketRule, ...]:
    """Return the provider's buckets for a method on a resource type in lower case; none for most."""
    if method == "GET":
        return _OF_PROVIDER.get((method, kind), _READ)
    return _OF_PROVIDER.get((method, kind), ())


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_s: float


class RequestLimits:
    """The buckets of one world."""

    def __init__(self, clock: Clock, *, enforce: bool) -> None:
        self._clock = clock
        self._enforce = enforce
        self._buckets: dict[str, _Bucket] = {}

    def take(self, method: str, kind: str) -> dict[str, str]:
        """Count a request and return the headers that tell what remains.

        Raises `ThrottledError` when a bucket is empty and limits are enforced.
        """
        front = SUBSCRIPTION.get(method)
        provider = provider_buckets(method, kind)
        headers = {front.name: str(self._take_from(front))} if front is not None else {}
        if provider:
            remaining = (f"{rule.name};{self._take_from(rule)}" for rule in provider)
            headers["x-ms-ratelimit-remaining-resource"] = ",".join(remaining)
        return headers

    def _take_from(self, rule: BucketRule) -> int:
        now_s = self._clock.monotonic()
        bucket = self._buckets.setdefault(rule.name, _Bucket(rule.capacity, now_s))
        refilled = bucket.tokens + (now_s - bucket.filled_at_s) * rule.refill_per_s
        bucket.tokens, bucket.filled_at_s = min(refilled, rule.capacity), now_s
        if bucket.tokens < 1:
            if self._enforce:
                raise ThrottledError(rule.name, math.ceil((1 - bucket.tokens) / rule.refill_per_s))
            bucket.tokens = 1.0
        bucket.tokens -= 1
        return int(bucket.tokens)
