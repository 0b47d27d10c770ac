"""Errors as the services spell them: what the fault proxy answers instead of them."""

import json
from collections.abc import Mapping
from enum import StrEnum

from multidict import CIMultiDict


class Service(StrEnum):
    """What the proxy stands before."""

    QUEUES = "queues"
    TABLES = "tables"
    AZURE = "azure"


#: Error codes of the storage services ("Common REST API error codes"), and of Azure Resource Manager.
_STORAGE_CODES: Mapping[int, str] = {
    412: "UpdateConditionNotSatisfied",
    429: "ServerBusy",
    500: "InternalError",
    503: "ServerBusy",
}
_AZURE_CODES: Mapping[int, str] = {
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


def refusal(service: Service, status: int, retry_after_s: int | None) -> tuple[CIMultiDict[str], bytes]:
    """Give headers and body of an error of a service."""
    codes = _AZURE_CODES if service is Service.AZURE else _STORAGE_CODES
    code = codes.get(status, "InternalError")
    headers: CIMultiDict[str] = CIMultiDict()
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    match service:
        case Service.QUEUES:
            headers.update({"Content-Type": "application/xml", "x-ms-error-code": code})
            body = (
                "<?xml version='1.0' encoding='utf-8'?>"
                f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            )
        case Service.TABLES:
            headers.update({"Content-Type": "application/json;odata=minimalmetadata"})
            body = json.dumps({"odata.error": {"code": code, "message": {"lang": "en-US", "value": code}}})
        case Service.AZURE:
            headers.update({"Content-Type": "application/json; charset=utf-8"})
            body = json.dumps({"error": {"code": code, "message": "A fault of the proxy."}})
    return headers, body.encode()
