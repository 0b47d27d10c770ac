"""The HTTP functions of the app behind one server."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from local.functions_host.functions import Function
from local.functions_host.http_messages import rpc_request, wire_response
from local.functions_host.invoker import Invoker, Outcome
from local.functions_host.keys import HEADER, QUERY, Keys
from local.functions_host.routes import MethodNotAllowedError, NoSuchRouteError, RouteTable

ANSWER_LIMIT_S = 230.0  # Azure's load balancer waits no longer for an answer
LARGEST_BODY = 100 * 1024 * 1024  # bytes; maxRequestBodySize of the host


class HttpFront:
    """Finds the function for a request, checks the key, invokes. Without `keys` nothing is checked."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        route_prefix: str,
        keys: Keys | None,
        invoker: Invoker,
        log: logging.Logger,
        answer_limit_s: float = ANSWER_LIMIT_S,
    ) -> None:
        self._routes = routes
        self._prefix = f"/{route_prefix}/" if route_prefix else "/"
        self._keys = keys
        self._invoker = invoker
        self._log = log
        self._answer_limit_s = answer_limit_s
        self._unanswered: set[asyncio.Task[Outcome]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request below the route prefix."""
        if not request.path.startswith(self._prefix):
            raise web.HTTPNotFound
        try:
            function, trigger, parameters = self._routes.find(
                request.method, request.path.removeprefix(self._prefix)
            )
        except NoSuchRouteError:
            raise web.HTTPNotFound from None
        except MethodNotAllowedError as error:
            raise web.HTTPMethodNotAllowed(request.method, error.allowed) from None
        if self._keys and not self._keys.allow_function(function.name, trigger.auth_level, key_of(request)):
            raise web.HTTPUnauthorized
        value = rpc_request(request, await request.read(), parameters)
        invocation = asyncio.create_task(
            self._invoker.invoke(function, value, trace_parent=request.headers.get("traceparent"))
        )
        return await self._answer(function, invocation)

    async def _answer(self, function: Function, invocation: asyncio.Task[Outcome]) -> web.StreamResponse:
        # Held, because the function goes on when its caller is answered without it.
        self._unanswered.add(invocation)
        invocation.add_done_callback(self._unanswered.discard)
        done, _ = await asyncio.wait({invocation}, timeout=self._answer_limit_s)
        if not done:
            self._log.warning(
                "no answer within %g s", self._answer_limit_s, extra={"function": function.name}
            )
            raise web.HTTPGatewayTimeout
        outcome = invocation.result()
        if not outcome.succeeded:
            return web.Response(status=500)
        if function.http_output is None:
            return web.Response(status=204)
        return wire_response(outcome.values.get(function.http_output))


def key_of(request: web.Request) -> str | None:
    """The access key that a request presents; the header wins over the query."""
    return request.headers.get(HEADER) or request.query.get(QUERY)


def build_application(
    front: HttpFront, admin_routes: list[web.RouteDef], admin_guard: Callable[[web.Request], Awaitable[None]]
) -> web.Application:
    """The server's application: /admin behind its guard, everything else to the functions."""

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path.startswith("/admin/"):
            await admin_guard(request)
        return await handler(request)

    application = web.Application(client_max_size=LARGEST_BODY, middlewares=[guard])
    application.add_routes(admin_routes)
    application.router.add_route("*", r"/{path:[\s\S]*}", front.handle)
    return application
