"""Answers of the HTTP API that are no errors."""

import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """Answer with JSON."""
    return func.HttpResponse(
        json.dumps(body, indent=2),
        status_code=status,
        mimetype="application/json",
        headers=dict(headers or {}),
    )
