"""What can go wrong between Stillframe and Azure Resource Manager: one class per cause.

Errors are told apart by the service's code and by the HTTP status, never by their text. The SDK's own classes
do not serve: every 409 is a ResourceExistsError, and an operation that fails after it was accepted is an
HttpResponseError with status 200.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestTimeoutError,
    ServiceResponseTimeoutError,
)

from shared.compute.names import InvalidResourceId


class ComputeError(Exception):
    """Azure did not do what it was asked to.

    Attributes:
        cause: the class of errors it belongs to, stable, for records.
        code: stable: the service's own code, or one of this module's where no answer came.
        detail: the service's message, for people.
        passing: whether a later try can succeed.
        retry_after_ms: the pause that the service asked for, if it did.

    """

    cause: ClassVar[str] = "failed"
    passing: ClassVar[bool] = False

    def __init__(self, code: str, detail: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_ms = retry_after_ms


class NotFound(ComputeError):
    """The resource, its group or its subscription is not there."""

    cause = "not_found"


class Denied(ComputeError):
    """The app's identity may not do this, or could not prove itself."""

    cause = "denied"


class Refused(ComputeError):
    """The service will not do this, however often it is asked."""

    cause = "refused"


class Throttled(ComputeError):
    """Too many requests; another generation may try after ``retry_after_ms``."""

    cause = "throttled"
    passing = True


class Conflict(ComputeError):
    """Another operation on the resource is in the way."""

    cause = "conflict"
    passing = True


class LimitReached(ComputeError):
    """A limit on the number of resources, such as 7 incremental snapshots of a disk within 5 minutes."""

    cause = "limit_reached"
    passing = True


class Unavailable(ComputeError):
    """The service failed inside, or could not be reached. Whether the request took effect is not known."""

    cause = "unavailable"
    passing = True


class TimedOut(Unavailable):
    """No answer came in time. Whether the request took effect is not known."""

    cause = "timed_out"


class NotOurs(ComputeError):
    """A snapshot does not carry the tag of the saga that wants to delete it."""

    cause = "not_ours"

    def __init__(self, snapshot_id: str, saga_id: str) -> None:
        super().__init__("NotOurs", f"{snapshot_id} does not belong to saga {saga_id}")
        self.snapshot_id = snapshot_id
        self.saga_id = saga_id


class UnsupportedGuest(ComputeError):
    """There is no agent for the guest's operating system."""

    cause = "unsupported_guest"

    def __init__(self, vm_id: str, os_type: str) -> None:
        super().__init__("UnsupportedGuest", f"there is no agent for {os_type} guests such as {vm_id}")
        self.vm_id = vm_id
        self.os_type = os_type


#: The service's codes that mean the same whatever the status. Sources: "Common ARM deployment errors",
#: "Throttling errors" and "Error codes of compute" of Microsoft Learn.
_BY_CODE: dict[str, type[ComputeError]] = {
    "toomanyrequests": Throttled,
    "toomanyrequestsreceived": Throttled,
    "subscriptionrequeststhrottled": Throttled,
    "resourcecollectionrequeststhrottled": Throttled,
    "snapshotslimitreached": LimitReached,
    "snapshotcountexceeded": LimitReached,
    "quotaexceeded": LimitReached,
    "resourcequotaexceeded": LimitReached,
    "conflict": Conflict,
    "anotheroperationinprogress": Conflict,
    "operationpreempted": Conflict,
    "resourceisbusy": Conflict,
    "retryableerror": Unavailable,
    "serverbusy": Unavailable,
    "servertimeout": Unavailable,
    "serviceunavailable": Unavailable,
    "internalservererror": Unavailable,
    "internalexecutionerror": Unavailable,
    "internaloperationerror": Unavailable,
    "internaldiskmanagererror": Unavailable,
    "allocationfailed": Unavailable,
    "operationtimedout": TimedOut,
    "gatewaytimeout": TimedOut,
    "resourcenotfound": NotFound,
    "resourcegroupnotfound": NotFound,
    "subscriptionnotfound": NotFound,
    "parentresourcenotfound": NotFound,
    "notfound": NotFound,
    "authorizationfailed": Denied,
    "linkedauthorizationfailed": Denied,
    "authenticationfailed": Denied,
    "invalidauthenticationtoken": Denied,
    "expiredauthenticationtoken": Denied,
    "propertychangenotallowed": Refused,
}

_BY_STATUS: dict[int, type[ComputeError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: TimedOut,
    429: Throttled,
    504: TimedOut,
}


def classify(error: AzureError) -> ComputeError:
    """Say what an error of the SDK means.

    A status that says it all (401, 403, 404, 408, 429, 504) wins over codes, because throttled requests come
    with the code of a conflict; then the most specific known code: details, inner error, the error itself.
    """
    if isinstance(error, (ServiceRequestTimeoutError, ServiceResponseTimeoutError)):
        return TimedOut("NoAnswer", error.message)
    if isinstance(error, DecodeError):
        return Unavailable("UnreadableAnswer", error.message)
    if not isinstance(error, HttpResponseError) or error.status_code is None:
        kind = Denied if isinstance(error, ClientAuthenticationError) else Unavailable
        return kind("NoToken" if kind is Denied else "Unreachable", error.message)
    return _from_answer(error, error.status_code)


#: What reading an answer raises that is not of its schema: the SDK's models look at a member only when it is
#: asked for, and then take it for what it should be.
_NOT_OF_ITS_SCHEMA = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError)


@contextmanager
def classified() -> Iterator[None]:
    """Let errors of the SDK, and of reading its models, out of the block as `ComputeError`."""
    try:
        yield
    except AzureError as error:
        raise classify(error) from error
    except InvalidResourceId:
        raise
    except _NOT_OF_ITS_SCHEMA as error:
        told = f"Azure's answer is not of its schema ({type(error).__name__}: {error})"
        raise Unavailable("UnreadableAnswer", told) from error


def _from_answer(error: HttpResponseError, status: int) -> ComputeError:
    codes = list(_codes(error.error))
    known = next((code for code in codes if code.lower() in _BY_CODE), None)
    kind = _BY_STATUS.get(status) or (_BY_CODE[known.lower()] if known else _by_class(status))
    code = known or (codes[-1] if codes else f"Http{status}")
    message = str(getattr(error.error, "message", None) or error.message)
    return kind(code, message, retry_after_ms=_retry_after_ms(error.response))


def _codes(error: Any) -> Iterator[str]:
    """Yield the codes of an error body, the most specific first."""
    if error is None:
        return
    for detail in error.details:
        yield from _codes(detail)
    inner = error.innererror if isinstance(error.innererror, Mapping) else {}
    for code in (inner.get("internalErrorCode"), inner.get("code"), error.code):
        if isinstance(code, str) and code:
            yield code


def _by_class(status: int) -> type[ComputeError]:
    """Judge an answer whose code is not known; 200 is an operation that failed after it was accepted."""
    return Unavailable if status >= 500 else Refused


def _retry_after_ms(response: Any) -> int | None:
    """Read the pause that an answer asks for; the provider spells it in whole seconds."""
    text = getattr(response, "headers", {}).get("Retry-After", "")
    return int(text) * 1000 if text.isascii() and text.isdigit() else None
