"""JSON Schemas (2020-12) of how many VMs at once, and of what is tried again."""

from shared.policy.concurrency import LONGEST_ADMISSION_MS, MOST_AT_ONCE, Concurrency, Order
from shared.policy.retry import LARGEST_GROWTH, LONGEST_DELAY_MS, MOST_ATTEMPTS, NO_RETRY
from shared.triggers.schema_parts import Schema, or_null


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    usual = Concurrency()
    count: Schema = or_null({"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE})
    return {
        "Concurrency": {
            "description": "How many VMs of a run are worked on at once, and how many guests held at once; "
            "without them there is no limit. Nobody is held while it waits.",
            "type": "object",
            "properties": {
                "vms": count,
                "held": count,
                "order": {"enum": list(Order), "default": usual.order.value},
                "admission_timeout_ms": _whole(1_000, LONGEST_ADMISSION_MS, usual.admission_timeout_ms),
            },
            "additionalProperties": False,
        },
        "Retry": {
            "description": "How often, and after which growing delays, a VM is tried again that failed by "
            "something that can pass by waiting.",
            "type": "object",
            "properties": {
                "attempts": _whole(0, MOST_ATTEMPTS, 1),
                "delay_ms": _whole(1_000, LONGEST_DELAY_MS, NO_RETRY.delay_ms),
                "growth": or_null({"type": "number", "minimum": 1, "maximum": LARGEST_GROWTH}),
                "longest_delay_ms": _whole(1_000, LONGEST_DELAY_MS, NO_RETRY.longest_delay_ms),
            },
            "additionalProperties": False,
        },
    }


def _whole(least: int, most: int, default: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}
