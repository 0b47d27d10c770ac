"""JSON Schemas (2020-12) of what went wrong, with a request or a saga. Later versions may add members."""

from shared.saga.causes import Cause
from shared.saga.state import Phase
from shared.triggers.schema_parts import COUNT, TEXT, Schema, all_there, or_null

#: What a problem of a saga says wherever it is shown.
SENTENCE: dict[str, Schema] = {"sentence": TEXT, "step": {"enum": list(Phase)}}


def schemas() -> dict[str, Schema]:
    """Give the schemas by their names; they refer to each other as components of an OpenAPI document."""
    return {
        "Problem": _problem(),
        "WhatWentWrong": _what_went_wrong(),
    }


def _problem() -> Schema:
    return {
        "description": "Problem details (RFC 9457). Instance is there where a log line has the same id.",
        "type": "object",
        "properties": {
            "type": {"const": "about:blank"},
            "title": TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": TEXT,
            "field": {"description": "The member of the request that is wrong.", "type": "string"},
            "instance": {"type": "string", "pattern": "^urn:uuid:"},
        },
        "required": ["type", "title", "status", "detail"],
    }


def _what_went_wrong() -> Schema:
    members: dict[str, Schema] = {
        **SENTENCE,
        "what_to_do": TEXT,
        "generation": COUNT,
        "cause": {"enum": list(Cause)},
        "code": or_null(TEXT),
        "see": TEXT,
    }
    return all_there("Why a saga did not end well, in words, and what to do.", members)
