"""The host's own endpoints below /admin: status, drain, invocation by hand, and counters for benchmarks."""

import json
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from local.functions_host.http_front import key_of
from local.functions_host.invoker import Counter
from local.functions_host.keys import Keys


class NoSuchFunctionError(Exception):
    """No enabled function of that name."""


class NotInvocableError(Exception):
    """An HTTP function: it has a URL of its own, and its input is a request."""


class HostControl(Protocol):
    """What the endpoints need of the host."""

    def drain(self) -> None:
        """Stop the listeners; running invocations go on."""

    def drain_state(self) -> str:
        """One of Disabled, InProgress, Completed."""

    def outstanding_invocations(self) -> int:
        """How many functions are running."""

    def invoke_by_hand(self, name: str, text: str) -> None:
        """Start a queue function with this message text, or a timer function; returns at once.

        Raises NoSuchFunctionError, NotInvocableError.
        """

    def counters(self) -> Mapping[str, Counter]:
        """Invocations by function since the start."""


class Admin:
    """The handlers. Without `keys` everybody on this machine may call them."""

    def __init__(self, control: HostControl, keys: Keys | None) -> None:
        self._control = control
        self._keys = keys

    def routes(self) -> list[web.RouteDef]:
        """What the server is to route here."""
        return [
            web.get("/admin/host/status", self._status),
            web.post("/admin/host/drain", self._drain),
            web.get("/admin/host/drain/status", self._drain_status),
            web.post("/admin/functions/{name}", self._invoke),
            web.get("/admin/local/invocations", self._invocations),
        ]

    async def guard(self, request: web.Request) -> None:
        """Let only the master key pass, when keys are in use."""
        if self._keys is not None and not self._keys.allow_admin(key_of(request)):
            raise web.HTTPUnauthorized

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response({"state": "Running"})

    async def _drain(self, _request: web.Request) -> web.Response:
        self._control.drain()
        return web.Response(status=202)

    async def _drain_status(self, _request: web.Request) -> web.Response:
        outstanding = self._control.outstanding_invocations()
        return web.json_response(
            {
                "state": self._control.drain_state(),
                "outstandingInvocations": outstanding,
                "outstandingRetries": 0,
            }
        )

    async def _invoke(self, request: web.Request) -> web.Response:
        try:
            content = json.loads(await request.text() or "{}")
            text = content.get("input") or ""
        except (ValueError, AttributeError):
            raise web.HTTPBadRequest(text='expected a JSON object like {"input": ""}') from None
        try:
            self._control.invoke_by_hand(request.match_info["name"], str(text))
        except NoSuchFunctionError:
            raise web.HTTPNotFound from None
        except NotInvocableError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        return web.Response(status=202)

    async def _invocations(self, _request: web.Request) -> web.Response:
        functions = {
            name: {"count": counter.count, "failures": counter.failures}
            for name, counter in self._control.counters().items()
        }
        return web.json_response({"functions": functions})
