"""Errors as RFC 9457 problem details."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import azure.functions as func
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

from shared.compute.errors import ComputeError
from shared.engine.draining import Draining
from shared.engine.points import HoldImmutable, NewestPoint, PointGone, PointHeld
from shared.engine.reading import VmNameNotUnique, VmNotInRun
from shared.engine.reconciling import NotAnOrphan
from shared.engine.retaining import NoRetention
from shared.engine.retrying import NothingFailed, RunNotEnded
from shared.logs import logger
from shared.policy.fields import DocumentError
from shared.storage.errors import (
    FindingNotFound,
    IdempotencyMismatch,
    PointChanged,
    PointNotFound,
    PolicyChanged,
    PolicyNotFound,
    RowTooLarge,
    RunNotFound,
    TornRead,
    UnknownSchema,
    UnreadableSaga,
    UnusableKey,
)
from shared.triggers.requests import BodyTooLarge, NotJson

_log = logger("http")

#: Error class -> HTTP status and title. What is not here is none of the caller's doing.
_STATUS: dict[type[Exception], tuple[int, str]] = {
    DocumentError: (400, "The document is not valid"),
    UnusableKey: (400, "The name may not be used"),
    RunNotEnded: (409, "The run goes on"),
    NothingFailed: (409, "Nothing failed"),
    RunNotFound: (404, "No such run"),
    VmNotInRun: (404, "No such VM in this run"),
    PolicyNotFound: (404, "No such policy"),
    PointNotFound: (404, "No such recovery point"),
    PointHeld: (409, "The recovery point is held"),
    PointGone: (409, "The recovery point is deleted"),
    HoldImmutable: (409, "The hold is immutable"),
    NewestPoint: (409, "The recovery point is the newest good one"),
    PointChanged: (409, "The recovery point is being changed by others"),
    FindingNotFound: (404, "No such finding"),
    NotAnOrphan: (409, "It may not be deleted as an orphan"),
    NoRetention: (409, "The policy keeps everything"),
    VmNameNotUnique: (409, "More than one VM has this name"),
    PolicyChanged: (412, "The policy was changed by somebody else"),
    BodyTooLarge: (413, "The body is too large"),
    RowTooLarge: (413, "The document is too large to be stored"),
    NotJson: (415, "The body is no JSON"),
    UnknownSchema: (503, "Written by a newer version"),
    UnreadableSaga: (503, "Written by a newer version"),
    IdempotencyMismatch: (422, "The idempotency key was used for another request"),
}

#: Seconds after which storage that could not be reached may be asked again.
RETRY_AFTER_S = 5
#: Seconds after which a run may be asked for again while the app is being drained.
DRAINED_AFTER_S = 60


async def answer(work: Callable[[], Awaitable[func.HttpResponse]]) -> func.HttpResponse:
    """Do the work of a request; errors are told as problem details.

    What is none of the caller's doing is told without a word about the inside; the log has it, under the id
    that the answer names.
    """
    try:
        return await work()
    except tuple(_STATUS) as error:
        status, title = _STATUS[type(error)]
        return problem(status, title, str(error), field=getattr(error, "field", None))
    except ComputeError as error:
        return _azure_failed(error)
    except Draining as error:
        body = _body(503, "No new run begins", str(error))
        return _response(body, {"Retry-After": str(DRAINED_AFTER_S)})
    except (AzureError, TornRead) as error:
        return _unavailable() if _may_pass(error) else _defect()
    except Exception:  # noqa: BLE001 - the outermost edge: nobody is above who could know better
        return _defect()


def _may_pass(error: Exception) -> bool:
    """Whether the storage may answer when it is asked again: it was not reached, or asks for patience."""
    if isinstance(error, HttpResponseError):
        return error.status_code in (408, 429) or (error.status_code or 0) >= 500
    return isinstance(error, ServiceRequestError | ServiceResponseError | TornRead)


def _unavailable() -> func.HttpResponse:
    error_id = uuid.uuid4()
    _log.exception("error %s: the storage does not answer", error_id)
    detail = f"The storage does not answer. Try again in {RETRY_AFTER_S} s."
    body = _body(503, "Not available now", detail) | {"instance": error_id.urn}
    return _response(body, {"Retry-After": str(RETRY_AFTER_S)})


def _azure_failed(error: ComputeError) -> func.HttpResponse:
    """Tell the service's code and no more: its message may quote whose identity the app has."""
    error_id = uuid.uuid4()
    _log.exception("error %s: Azure did not do it", error_id)
    if error.passing:
        seconds = max(RETRY_AFTER_S, -(-(error.retry_after_ms or 0) // 1000))
        detail = f"Azure does not do it now ({error.code}). Try again in {seconds} s."
        body, headers = _body(503, "Not available now", detail), {"Retry-After": str(seconds)}
    else:
        detail = f"Azure does not do it: {error.code}. The log has more as error {error_id}."
        body, headers = _body(502, "Azure refused", detail), None
    return _response(body | {"instance": error_id.urn}, headers)


def _defect() -> func.HttpResponse:
    error_id = uuid.uuid4()
    _log.exception("error %s: a request failed", error_id)
    detail = f"A defect of the app, or of its settings. The log has it as error {error_id}."
    return _response(_body(500, "Something went wrong", detail) | {"instance": error_id.urn})


def problem(status: int, title: str, detail: str, *, field: str | None = None) -> func.HttpResponse:
    """Write problem details; ``field`` names the member of the request that is wrong."""
    body = _body(status, title, detail)
    return _response(body | ({} if field is None else {"field": field}))


def _body(status: int, title: str, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": title, "status": status, "detail": detail}


def _response(body: dict[str, Any], headers: dict[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body), status_code=body["status"], mimetype="application/problem+json", headers=headers
    )
