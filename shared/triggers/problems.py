"""Errors as RFC 9457 problem details."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func

from shared.engine.reading import VmNameNotUnique, VmNotInRun
from shared.policy.fields import DocumentError
from shared.storage.errors import (
    IdempotencyMismatch,
    PolicyChanged,
    PolicyNotFound,
    RowTooLarge,
    RunNotFound,
    UnusableKey,
)

#: Error class -> HTTP status and title. What is not here is a defect, and the host answers 500.
_STATUS: dict[type[Exception], tuple[int, str]] = {
    DocumentError: (400, "The document is not valid"),
    UnusableKey: (400, "The name may not be used"),
    RunNotFound: (404, "No such run"),
    VmNotInRun: (404, "No such VM in this run"),
    PolicyNotFound: (404, "No such policy"),
    VmNameNotUnique: (409, "More than one VM has this name"),
    PolicyChanged: (412, "The policy was changed by somebody else"),
    RowTooLarge: (413, "The document is too large to be stored"),
    IdempotencyMismatch: (422, "The idempotency key was used for another request"),
}


async def answer(work: Callable[[], Awaitable[func.HttpResponse]]) -> func.HttpResponse:
    """Do the work of a request; errors that have a status are told as problem details."""
    try:
        return await work()
    except tuple(_STATUS) as error:
        status, title = _STATUS[type(error)]
        return problem(status, title, str(error), field=getattr(error, "field", None))


def problem(status: int, title: str, detail: str, *, field: str | None = None) -> func.HttpResponse:
    """Write problem details; ``field`` names the member of the request that is wrong."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if field is not None:
        body["field"] = field
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/problem+json")
