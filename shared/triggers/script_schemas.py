"""JSON Schemas (2020-12) of what a document says of the scripts that hold and release an application."""

from shared.policy import variables
from shared.policy.guest_processing import Script, StderrRule
from shared.policy.script_fields import LARGEST_CONTENT, MOST_RETRIES
from shared.triggers.schema_parts import Schema, any_case, choice, closed, or_null, ref, table, whole

_VARIABLES = "|".join(variables.VARIABLES)
#: Neither NUL nor a percent sign that begins no variable.
_EXPANDABLE = rf"^(?:[^%\u0000]|%(?:{_VARIABLES})?%)*$"


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Script": {"anyOf": [ref("ScriptInGuest"), ref("DeliveredScript")]},
        "ScriptInGuest": _script_in_guest(),
        "DeliveredScript": _delivered_script(),
    }


def _script_in_guest() -> Schema:
    return closed(
        "A script that is in the guest, in a folder that its administrator allows.",
        {
            "path": {"type": "string", "maxLength": 1024, "pattern": r"^(?:/|[A-Za-z]:\\)"},
            "content": {"type": "null"},
            "sha256": {"type": "null"},
            "name": {"type": "null"},
            **_script_rules(),
            "ignore_missing": {"type": "boolean", "default": False},
        },
        required=("path",),
    )


def _delivered_script() -> Schema:
    return closed(
        "A script that is delivered; sha256, where it is given, must be that of the content.",
        {
            "path": {"type": "null"},
            "content": {
                "type": "string",
                "maxLength": LARGEST_CONTENT,
                "pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$",
            },
            "sha256": or_null({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"}),
            "name": or_null({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}),
            **_script_rules(),
            "ignore_missing": {"const": False},
        },
        required=("content",),
    )


def _script_rules() -> dict[str, Schema]:
    default = Script()
    argument = {"type": "string", "maxLength": 1024, "pattern": _EXPANDABLE}
    names = {"pattern": f"^(?!{any_case(variables.RESERVED)})[A-Za-z_][A-Za-z0-9_]{{0,127}}$"}
    user = {"type": "string", "maxLength": 64, "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?$"}
    return {
        "arguments": or_null({"type": "array", "items": argument, "maxItems": 64}),
        "environment": or_null(table(64, 1024, names=names, pattern=_EXPANDABLE)),
        "timeout_ms": whole(100, 600_000, default.timeout_ms),
        "retries": whole(0, MOST_RETRIES, default.retries),
        "retry_delay_ms": whole(0, 600_000, default.retry_delay_ms),
        "accepted_exit_codes": or_null(_codes()),
        "warning_exit_codes": or_null(_codes()),
        "ignore_exit_codes": {"type": "boolean", "default": default.ignore_exit_codes},
        "stderr": choice(StderrRule, default.stderr),
        "run_as": or_null(user),
    }


def _codes() -> Schema:
    code = {"type": "integer", "minimum": -(2**31), "maximum": 2**32 - 1}
    return {"type": "array", "items": code, "maxItems": 64}
