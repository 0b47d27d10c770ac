"""Azure as a table of answers below the SDK: they go through its pipeline and its models."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from azure.core.pipeline.policies import AsyncRetryPolicy
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.mgmt.compute.aio import ComputeManagementClient

from shared.compute.client import ClientPool, ComputeClients
from shared.compute.credentials import LoopbackCredential

ENDPOINT = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Answer:
    """What the service says: any text in the place of a body."""

    text: str
    status: int = 200
    headers: Mapping[str, str] = ()  # type: ignore[assignment]


class _Response(AsyncHttpResponse):
    """An answer that is wholly there."""

    def __init__(self, request: HttpRequest, answer: Answer) -> None:
        self._request = request
        self._answer = answer
        self._body = answer.text.encode("utf-8", "surrogatepass")
        self._headers = {"Content-Type": "application/json", **dict(answer.headers)}

    request = property(lambda self: self._request)
    status_code = property(lambda self: self._answer.status)
    headers = property(lambda self: self._headers)
    reason = property(lambda _: "as told")
    content_type = property(lambda _: "application/json")
    is_closed = property(lambda _: True)
    is_stream_consumed = property(lambda _: True)
    content = property(lambda self: self._body)
    url = property(lambda self: self._request.url)
    encoding: str | None = "utf-8"

    def text(self, encoding: str | None = None) -> str:
        return self._body.decode(encoding or "utf-8")

    def json(self) -> Any:
        return json.loads(self.text())

    def raise_for_status(self) -> None:
        raise NotImplementedError

    async def read(self) -> bytes:
        return self._body

    async def iter_bytes(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._body

    async def iter_raw(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._body

    async def close(self) -> None:
        return

    async def __aexit__(self, *_: object) -> None:
        return


class Transport(AsyncHttpTransport[Any, Any]):
    """Answers every request by what its path contains: the first that fits, else 404."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = answers

    async def send(self, request: Any, **_: Any) -> Any:
        for part, answer in self.answers.items():
            if part in request.url:
                return _Response(request, answer)
        return _Response(request, Answer('{"error": {"code": "ResourceNotFound", "message": "no"}}', 404))

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        return


class Answering(ClientPool):
    """The clients of one subscription over a table of answers."""

    def __init__(self) -> None:
        super().__init__(LoopbackCredential, endpoint=ENDPOINT)
        self.transport = Transport({})
        client = ComputeManagementClient(
            LoopbackCredential(),
            "00000000-0000-0000-0000-000000000001",
            base_url=ENDPOINT,
            transport=self.transport,
            retry_policy=AsyncRetryPolicy.no_retries(),
            authentication_policy=_Nobody(),
        )
        self._one = ComputeClients.__new__(ComputeClients)
        self._one.patient = self._one.freeze_window = client

    def of(self, subscription_id: str) -> ComputeClients:
        return self._one


class _Nobody:
    """Asks for no token."""

    def __new__(cls) -> Any:
        from azure.core.pipeline.policies import SansIOHTTPPolicy  # noqa: PLC0415 - one line's use

        return SansIOHTTPPolicy()
