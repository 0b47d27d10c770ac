"""The errors of the service: one class per cause, each knowing its status, code and body."""

from typing import Any

from local.arm.ids import ResourceId


class ArmError(Exception):
    """An answer that is an error. `status` and `code` are what a client may rely on; texts are not."""

    status = 400
    code = "BadRequest"

    def __init__(self, message: str, *, target: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.target = target

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to this error."""
        return {}

    def body(self) -> dict[str, Any]:
        """Return the JSON body, `{"error": {"code", "message", ...}}`."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        return {"error": error}


class AuthenticationFailedError(ArmError):
    """No bearer token came with the request."""

    status = 401
    code = "AuthenticationFailed"

    def __init__(self) -> None:
        super().__init__(
            "Authentication failed. The 'Authorization' header is missing or is no bearer token."
        )

    def headers(self) -> dict[str, str]:
        """Return the challenge."""
        return {"WWW-Authenticate": 'Bearer authorization_uri="http://127.0.0.1/", error="invalid_token"'}


class MissingApiVersionError(ArmError):
    """The request names no api-version."""

    code = "MissingApiVersionParameter"

    def __init__(self) -> None:
        super().__init__("The api-version query parameter (?api-version=) is required for all requests.")


class UnknownApiVersionError(ArmError):
    """The request names an api-version that this resource type does not have."""

    code = "NoRegisteredProviderFound"

    def __init__(self, *, given: str, supported: str) -> None:
        super().__init__(
            f"No registered resource provider found for API version '{given}'. "
            f"The supported api-versions are '{supported}'."
        )
        self.given = given
        self.supported = supported


class InvalidRequestContentError(ArmError):
    """The body is not a JSON object."""

    code = "InvalidRequestContent"


class InvalidParameterError(ArmError):
    """A member of the body is missing or has a value that is not allowed; `target` names it."""

    code = "InvalidParameter"

    def __init__(self, target: str, message: str) -> None:
        super().__init__(message, target=target)


class LocationRequiredError(ArmError):
    """A tracked resource came without a location."""

    code = "LocationRequired"

    def __init__(self) -> None:
        super().__init__("The location property is required for this definition.")


class SignatureMismatchError(ArmError):
    """An operation's URL was changed after it was signed. Status and code are assumed."""

    status = 403
    code = "AuthorizationFailed"

    def __init__(self) -> None:
        super().__init__("The signature of this operation's URL does not fit it.")


class SubscriptionNotFoundError(ArmError):
    """The subscription is not the simulated one."""

    status = 404
    code = "SubscriptionNotFound"

    def __init__(self, subscription: str) -> None:
        super().__init__(f"The subscription '{subscription}' could not be found.")
        self.subscription = subscription


class ResourceGroupNotFoundError(ArmError):
    """The resource group was not set up."""

    status = 404
    code = "ResourceGroupNotFound"

    def __init__(self, group: str) -> None:
        super().__init__(f"Resource group '{group}' could not be found.")
        self.group = group

    def headers(self) -> dict[str, str]:
        """Return who found the failure: the front door, not the provider."""
        return {"x-ms-failure-cause": "gateway"}


class ResourceNotFoundError(ArmError):
    """The resource is not there."""

    status = 404
    code = "ResourceNotFound"

    def __init__(self, resource: ResourceId) -> None:
        super().__init__(
            f"The Resource '{resource.full_name}' under resource group '{resource.group}' was not found. "
            "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        )
        self.resource = resource

    def headers(self) -> dict[str, str]:
        """Return who found the failure: the front door, not the provider."""
        return {"x-ms-failure-cause": "gateway"}


class ParentResourceNotFoundError(ArmError):
    """The resource that this one is nested in is not there."""

    status = 404
    code = "ParentResourceNotFound"

    def __init__(self, parent: ResourceId) -> None:
        super().__init__(
            "Can not perform requested operation on nested resource. "
            f"Parent resource '{'/'.join(parent.path[1::2])}' not found."
        )
        self.parent = parent


class OperationNotFoundError(ArmError):
    """No operation of this id was ever started."""

    status = 404
    code = "NotFound"

    def __init__(self, operation_id: str) -> None:
        super().__init__(f"The operation '{operation_id}' was not found.")
        self.operation_id = operation_id


class OperationNotAllowedError(ArmError):
    """The resource's state, or a limit, forbids the request."""

    status = 409
    code = "OperationNotAllowed"


class PropertyChangeNotAllowedError(ArmError):
    """An update would change a member that is fixed at creation; `target` names it."""

    status = 409
    code = "PropertyChangeNotAllowed"

    def __init__(self, target: str) -> None:
        super().__init__(f"Changing property '{target}' is not allowed.", target=target)


class ConflictError(ArmError):
    """The resource is already there and cannot be updated, or another operation is in its way."""

    status = 409
    code = "Conflict"


class ThrottledError(ArmError):
    """A request bucket of the provider is empty; `retry_after_s` says when it has a token again."""

    status = 429
    code = "OperationNotAllowed"

    def __init__(self, bucket: str, retry_after_s: int) -> None:
        super().__init__("The server rejected the request because too many requests have been received.")
        self.bucket = bucket
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        """Return the pause that the service asks for, and the bucket as empty."""
        of_provider = self.bucket.startswith("Microsoft.Compute/")
        name = "x-ms-ratelimit-remaining-resource" if of_provider else self.bucket
        return {"Retry-After": str(self.retry_after_s), name: f"{self.bucket};0" if of_provider else "0"}

    def body(self) -> dict[str, Any]:
        """Return the provider's nested shape, which names the bucket in its details."""
        error = super().body()["error"]
        detail = {"code": "TooManyRequests", "target": self.bucket, "message": self.message}
        inner = {"internalErrorCode": "TooManyRequestsReceived"}
        return {"error": {**error, "details": [detail], "innererror": inner}}


class OperationFailedError(Exception):
    """A long-running operation ends as Failed; raised by its work, told by the operation's URL."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
