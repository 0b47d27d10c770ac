import json
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceExistsError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.mgmt.core.exceptions import ARMErrorFormat

from shared.compute.errors import (
    ComputeError,
    Conflict,
    Denied,
    LimitReached,
    NotFound,
    Refused,
    Throttled,
    TimedOut,
    Unavailable,
    classified,
    classify,
)

TEXT = "words that nothing may depend on: throttled, not found, conflict"


class Answer:
    """What the SDK's errors read of a response."""

    reason = "a reason"

    def __init__(self, status_code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status_code = status_code
        self.headers = headers or {}
        self._body = body

    @property
    def request(self) -> object:
        return "request"

    def text(self) -> str:
        return json.dumps(self._body)


def answered(
    status: int,
    error: dict[str, Any] | None,
    *,
    headers: dict[str, str] | None = None,
    kind: type[HttpResponseError] = HttpResponseError,
) -> HttpResponseError:
    body = {} if error is None else {"error": {"message": TEXT, **error}}
    return kind(response=Answer(status, body, headers), error_format=ARMErrorFormat)


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (404, {"code": "ResourceNotFound"}, NotFound, "ResourceNotFound"),
        (404, {"code": "ResourceGroupNotFound"}, NotFound, "ResourceGroupNotFound"),
        (404, {"code": "SomethingNew"}, NotFound, "SomethingNew"),
        (401, {"code": "ExpiredAuthenticationToken"}, Denied, "ExpiredAuthenticationToken"),
        (403, {"code": "LinkedAuthorizationFailed"}, Denied, "LinkedAuthorizationFailed"),
        (403, None, Denied, "Http403"),
        (
            429,
            {
                "code": "OperationNotAllowed",
                "details": [{"code": "TooManyRequests", "target": "HighCostGet3Min", "message": TEXT}],
                "innererror": {"internalErrorCode": "TooManyRequestsReceived"},
            },
            Throttled,
            "TooManyRequests",
        ),
        (
            429,
            {"code": "OperationNotAllowed", "innererror": {"internalErrorCode": "TooManyRequestsReceived"}},
            Throttled,
            "TooManyRequestsReceived",
        ),
        (429, None, Throttled, "Http429"),
        (409, {"code": "OperationNotAllowed"}, Refused, "OperationNotAllowed"),
        (409, {"code": "PropertyChangeNotAllowed"}, Refused, "PropertyChangeNotAllowed"),
        (409, {"code": "Conflict"}, Conflict, "Conflict"),
        (409, {"code": "AnotherOperationInProgress"}, Conflict, "AnotherOperationInProgress"),
        (409, {"code": "QuotaExceeded"}, LimitReached, "QuotaExceeded"),
        (400, {"code": "InvalidParameter"}, Refused, "InvalidParameter"),
        (412, {"code": "PreconditionFailed"}, Refused, "PreconditionFailed"),
        (408, None, TimedOut, "Http408"),
        (500, {"code": "InternalServerError"}, Unavailable, "InternalServerError"),
        (502, None, Unavailable, "Http502"),
        (503, {"code": "SomethingNew"}, Unavailable, "SomethingNew"),
        (504, {"code": "GatewayTimeout"}, TimedOut, "GatewayTimeout"),
        # Operations that fail after they were accepted: the status is that of the look at the operation.
        (200, {"code": "SnapshotsLimitReached"}, LimitReached, "SnapshotsLimitReached"),
        (200, {"code": "internalExecutionError"}, Unavailable, "internalExecutionError"),
        (200, {"code": "OperationPreempted"}, Conflict, "OperationPreempted"),
        (200, {"code": "SomethingNew"}, Refused, "SomethingNew"),
    ],
)
def test_errors_are_told_apart_by_code_and_status(
    status: int, error: dict[str, Any] | None, kind: type[ComputeError], code: str
) -> None:
    found = classify(answered(status, error))

    assert (type(found), found.code) == (kind, code)


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ServiceRequestError("cannot connect"), Unavailable, "Unreachable"),
        (ServiceResponseError("connection reset"), Unavailable, "Unreachable"),
        (ServiceRequestTimeoutError("connect"), TimedOut, "NoAnswer"),
        (ServiceResponseTimeoutError("read"), TimedOut, "NoAnswer"),
        (ClientAuthenticationError("no managed identity"), Denied, "NoToken"),
        (DecodeError("not JSON", response=Answer(200, {})), Unavailable, "UnreadableAnswer"),
        (AzureError("something else"), Unavailable, "Unreachable"),
    ],
)
def test_requests_without_an_answer_have_codes_of_their_own(
    error: AzureError, kind: type[ComputeError], code: str
) -> None:
    found = classify(error)

    assert (type(found), found.code) == (kind, code)


def test_a_conflict_class_of_the_sdk_means_nothing() -> None:
    limit = answered(409, {"code": "QuotaExceeded"}, kind=ResourceExistsError)

    assert isinstance(classify(limit), LimitReached)


@pytest.mark.parametrize(
    ("kind", "passing"),
    [
        (NotFound, False),
        (Denied, False),
        (Refused, False),
        (Throttled, True),
        (Conflict, True),
        (LimitReached, True),
        (Unavailable, True),
        (TimedOut, True),
    ],
)
def test_only_causes_that_pass_are_worth_another_try(kind: type[ComputeError], *, passing: bool) -> None:
    assert kind("Code", "detail").passing is passing


def test_causes_are_distinct_in_records() -> None:
    kinds = [NotFound, Denied, Refused, Throttled, Conflict, LimitReached, Unavailable, TimedOut]

    assert len({kind.cause for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("17", 17_000), ("0", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("²", None)],
)
def test_the_pause_that_is_asked_for_is_read(header: str, expected: int | None) -> None:
    found = classify(answered(429, None, headers={"Retry-After": header}))

    assert found.retry_after_ms == expected


def test_the_detail_is_the_message_of_the_service() -> None:
    assert classify(answered(409, {"code": "Conflict"})).detail == TEXT


def test_other_exceptions_are_not_taken_for_errors_of_azure() -> None:
    with pytest.raises(ZeroDivisionError), classified():
        raise ZeroDivisionError
