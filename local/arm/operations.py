"""Long-running operations: the work, its status, and the signed URLs that tell of it."""

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from local.arm.clock import Clock, arm_time
from local.arm.errors import OperationFailedError

_LOG = logging.getLogger(__name__)


class Family(StrEnum):
    """The two halves of the compute provider: each has its own api-version and its own operation URLs."""

    COMPUTE = "operations"
    DISK = "DiskOperations"


API_VERSIONS: Mapping[Family, str] = {Family.COMPUTE: "2026-04-01", Family.DISK: "2026-03-02"}
"""The versions that azure-mgmt-compute 39.0.0 sends; each operation of the client carries its own."""

Work = Callable[[], Awaitable[dict[str, Any] | None]]
"""What an operation does; it returns the resource's body at the end, or None where there is none."""

OnFailure = Callable[[], None]
"""What becomes of the resource when its operation fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One long-running operation. `error` is (code, message); `output` the resource at the end."""

    id: str
    family: Family
    location: str
    started: datetime
    status: str = "InProgress"
    ended: datetime | None = None
    error: tuple[str, str] | None = None
    output: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Return what the Azure-AsyncOperation URL answers."""
        body: dict[str, Any] = {"startTime": arm_time(self.started), "status": self.status, "name": self.id}
        if self.ended is not None:
            body["endTime"] = arm_time(self.ended)
        if self.error is not None:
            code, message = self.error
            body["error"] = {"code": code, "message": message}
        if self.output is not None and self.family is Family.DISK:
            body["properties"] = {"output": self.output}
        return body


class Operations:
    """All operations of one world. Their work runs on by itself, whatever becomes of the request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, family: Family, location: str, work: Work, on_failure: OnFailure) -> Operation:
        """Begin the work and return the operation that tells how it goes.

        `on_failure` is called when the work raises, before the operation tells of it.
        """
        operation = Operation(
            id=str(uuid.uuid4()), family=family, location=location, started=self._clock.now()
        )
        self._all[operation.id] = operation
        task = asyncio.create_task(self._carry_out(operation, work, on_failure))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation

    def find(self, operation_id: str) -> Operation | None:
        """Return the operation as it is now."""
        return self._all.get(operation_id)

    async def close(self) -> None:
        """Stop all work that is still going on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, operation: Operation, work: Work, on_failure: OnFailure) -> None:
        try:
            ended = replace(operation, status="Succeeded", output=await work())
        except OperationFailedError as error:
            on_failure()
            ended = replace(operation, status="Failed", error=(error.code, error.message))
        # The outermost edge of a task: a backend may raise anything, and the service tells it as a failure.
        except Exception as error:  # noqa: BLE001
            on_failure()
            _LOG.exception("operation %s failed", operation.id)
            ended = replace(operation, status="Failed", error=("InternalExecutionError", repr(error)))
        self._all[operation.id] = replace(ended, ended=self._clock.now())


class UrlSigner:
    """Makes and checks operation URLs of the service's form and length (about 3 kB each since 2023).

    They carry a time `t`, a certificate `c`, a signature `s` and a hash `h`; here the certificate is noise
    and the signature an HMAC, so that a changed URL is noticed.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._certificate = _base64url(secrets.token_bytes(1800))

    def url(self, origin: str, subscription: str, operation: Operation, *, monitor: bool) -> str:
        """Return the operation's URL: with `monitor` for Location, else for Azure-AsyncOperation."""
        path = (
            f"/subscriptions/{subscription}/providers/Microsoft.Compute"
            f"/locations/{operation.location}/{operation.family}/{operation.id}"
        )
        moment = str(int(operation.started.timestamp() * 10_000_000))
        pairs = {
            "p": str(uuid.UUID(bytes=hashlib.md5(operation.id.encode()).digest())),
            **({"monitor": "true"} if monitor else {}),
            "api-version": API_VERSIONS[operation.family],
            "t": moment,
            "c": self._certificate,
            "s": self._signature(operation.id, moment),
            "h": _base64url(hashlib.sha256(path.encode()).digest()),
        }
        return f"{origin}{path}?" + "&".join(f"{name}={value}" for name, value in pairs.items())

    def fits(self, operation_id: str, query: Mapping[str, str]) -> bool:
        """Tell whether the query is one that `url` made for this operation."""
        expected = self._signature(operation_id, query.get("t", ""))
        return hmac.compare_digest(expected, query.get("s", "")) and query.get("c") == self._certificate

    def _signature(self, operation_id: str, moment: str) -> str:
        text = f"{operation_id}|{moment}".encode()
        parts = [hmac.digest(self._secret, bytes([index]) + text, "sha256") for index in range(8)]
        return _base64url(b"".join(parts))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
