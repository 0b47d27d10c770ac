"""JSON Schemas (2020-12) of what a document says of how the applications of its VMs are held."""

from shared.policy.guest_fields import LONGEST_FREEZE_MS, MOST_HANDLERS, MOST_OVERRIDES
from shared.policy.guest_processing import (
    AgentCredential,
    AgentInstall,
    AgentUse,
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    HandlerName,
    OnGuestFailure,
)
from shared.triggers import script_schemas
from shared.triggers.schema_parts import Schema, choice, closed, or_null, ref, table, text, whole


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "GuestProcessing": _guest_processing(),
        "GuestSettings": closed("The settings for some of the VMs, over those for all.", _settings()),
        "Override": _override(),
        **script_schemas.schemas(),
        "Handler": _handler(),
        "Anchor": _anchor(),
    }


def of_schedule() -> Schema:
    """Describe the section ``guest_processing`` of a schedule."""
    systems = {"linux": or_null(ref("GuestSettings")), "windows": or_null(ref("GuestSettings"))}
    return closed("The settings for the runs of a schedule, over all others.", _settings() | systems)


def _guest_processing() -> Schema:
    layers = {
        "linux": or_null(ref("GuestSettings")),
        "windows": or_null(ref("GuestSettings")),
        "overrides": or_null({"type": "array", "items": ref("Override"), "maxItems": MOST_OVERRIDES}),
    }
    told = (
        "How the applications of the VMs are held. Settings have to fit together for every VM that they are "
        "for: quiesce_timeout_ms is less than freeze_budget_ms, a pre_script has a post_script, which may "
        "take less than resume_timeout_ms, something is held, and what application_aware requires can be."
    )
    return closed(told, _settings() | layers)


def _settings() -> dict[str, Schema]:
    default = GuestProcessing()
    return {
        "enabled": {"type": "boolean", "default": default.enabled},
        "on_guest_failure": choice(OnGuestFailure, default.on_guest_failure),
        "filesystems": choice(Filesystems, default.filesystems),
        "pre_script": or_null(ref("Script")),
        "post_script": or_null(ref("Script")),
        "handlers": {
            "anyOf": [
                {"type": "array", "items": ref("Handler"), "maxItems": MOST_HANDLERS},
                {"enum": ["auto", None]},
            ]
        },
        "anchor": or_null(ref("Anchor")),
        "freeze_budget_ms": whole(2_000, LONGEST_FREEZE_MS, default.freeze_budget_ms),
        "quiesce_timeout_ms": whole(500, LONGEST_FREEZE_MS, default.quiesce_timeout_ms),
        "arming_timeout_ms": whole(5_000, 1_800_000, default.arming_timeout_ms),
        "resume_timeout_ms": whole(5_000, 1_800_000, default.resume_timeout_ms),
        "attempts": whole(1, 5, default.attempts),
        "agent": choice(AgentUse, default.agent),
        "agent_install": choice(AgentInstall, default.agent_install),
        "agent_credential": choice(AgentCredential, default.agent_credential),
        "agent_client_id": text(64),
        "application_aware": {"enum": list(ApplicationAware)},
    }


def _override() -> Schema:
    named: Schema = {"type": "array", "minItems": 1}
    tagged: Schema = {"type": "object", "minProperties": 1}
    whole = closed(
        "Settings for some of the document's VMs: those named, those with all of the tags.",
        {
            "vms": or_null({"type": "array", "items": {"type": "string", "maxLength": 1024}}),
            "tags": or_null(table(15, 256)),
            "guest_processing": ref("GuestSettings"),
        },
        required=("guest_processing",),
    )
    either = [
        {"properties": {"vms": named}, "required": ["vms"]},
        {"properties": {"tags": tagged}, "required": ["tags"]},
    ]
    return whole | {"anyOf": either}


def _handler() -> Schema:
    return closed(
        "An application that the agent holds by itself.",
        {
            "name": {"enum": list(HandlerName)},
            "mode": or_null(text(64)),
            "required": {"type": "boolean", "default": True},
            "settings": or_null(table(32, 256)),
        },
        required=("name",),
    )


def _anchor() -> Schema:
    return closed(
        "A snapshot inside the guest as the instant.",
        {
            "provider": {"enum": list(AnchorProvider)},
            "lifetime_ms": whole(10_000, LONGEST_FREEZE_MS, 120_000),
            "settings": or_null(table(32, 256)),
        },
        required=("provider",),
    )
