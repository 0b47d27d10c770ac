"""What happens to every request around its handler: journal, faults, errors, the front door's checks."""

import asyncio
import json
import logging
import uuid
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from local.arm import networks, subscriptions
from local.arm.clock import arm_time
from local.arm.errors import (
    ArmError,
    AuthenticationFailedError,
    MissingApiVersionError,
    SubscriptionNotFoundError,
    UnknownApiVersionError,
)
from local.arm.faults import Drop, Fault
from local.arm.http import OPERATION_FAILS, world_of
from local.arm.journal import Exchange, without_secrets, without_token
from local.arm.operations import API_VERSIONS, Family
from local.arm.state import SimWorld

_LOG = logging.getLogger(__name__)

_INJECTED: web.RequestKey[bool] = web.RequestKey("injected", bool)
_DISK_KINDS = {"disks", "snapshots", "diskrestorepoints", "diskoperations"}

PRIVATE = "/_sim/"
"""Paths of the simulator's own API: outside the journal, the faults and the front door's checks."""


class _Dropped(Exception):
    """The connection is to be broken instead of answered."""


@web.middleware
async def journal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Record the request and its answer, and break the connection where a fault wants it."""
    if request.path.startswith(PRIVATE):
        return await handler(request)
    world = world_of(request)
    sequence, at, started_s = world.journal.next_sequence(), world.clock.now(), world.clock.monotonic()
    text = await request.text()
    try:
        response: web.StreamResponse | None = await handler(request)
    except _Dropped:
        response = None
    exchange = Exchange(
        sequence=sequence,
        method=request.method,
        path=request.path,
        query=dict(request.query),
        request_headers=without_token(request.headers),
        request_body=without_secrets(_parsed(text)),
        status=None if response is None else response.status,
        response_headers={} if response is None else without_token(response.headers),
        response_body=_parsed(response.text or "") if isinstance(response, web.Response) else None,
        started_at=arm_time(at),
        started_s=started_s,
        ended_s=world.clock.monotonic(),
        injected=request.get(_INJECTED, False),
    )
    world.journal.add(exchange)
    if response is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    return response


@web.middleware
async def faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the first fault rule that fits happen to the request."""
    if request.path.startswith(PRIVATE):
        return await handler(request)
    fault = world_of(request).faults.take(request.method, request.path)
    if fault is None:
        return await handler(request)
    await asyncio.sleep(fault.delay_ms / 1000)
    if fault.drop is Drop.BEFORE:
        raise _Dropped
    if fault.status is not None:
        request[_INJECTED] = True
        return _answer(fault, fault.status)
    if fault.operation_fails is not None:
        request[OPERATION_FAILS] = fault.operation_fails
    response = await handler(request)
    if fault.drop is Drop.AFTER:
        raise _Dropped
    response.headers.update(fault.headers)
    return response


def _answer(fault: Fault, status: int) -> web.Response:
    if fault.body is None:
        return web.Response(status=status, headers=fault.headers)
    return web.json_response(fault.body, status=status, headers=fault.headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into answers of the service's form, and give every answer its request id."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except ArmError as error:
        response = web.json_response(error.body(), status=error.status, headers=error.headers())
    except web.HTTPException as error:
        code = "InvalidResourceType" if error.status == 404 else "HttpMethodNotSupported"
        response = web.json_response({"error": {"code": code, "message": error.reason}}, status=error.status)
    # The outermost edge: a defect of the simulator must reach the client as the service's own form of it.
    except Exception as error:  # noqa: BLE001
        _LOG.exception("%s %s", request.method, request.path)
        body = {"error": {"code": "InternalServerError", "message": repr(error)}}
        response = web.json_response(body, status=500)
    response.headers["x-ms-request-id"] = str(uuid.uuid4())
    response.headers["x-ms-correlation-request-id"] = str(uuid.uuid4())
    return response


@web.middleware
async def front_door(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check token, api-version and subscription, and count the request."""
    if request.path.startswith(PRIVATE):
        return await handler(request)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AuthenticationFailedError
    world, kind = world_of(request), _kind_of(request.path)
    if request.path == subscriptions.PATH:  # the Resource Manager's own, and no subscription's to count
        _check_api_version(request, subscriptions.API_VERSION)
        return await handler(request)
    if kind == networks.KIND:
        _check_api_version(request, networks.API_VERSION)
    else:
        _check_api_version(request, API_VERSIONS[Family.DISK if kind in _DISK_KINDS else Family.COMPUTE])
    _check_subscription(request, world)
    remaining = world.limits.take(request.method, kind)
    response = await handler(request)
    response.headers.update(remaining)
    return response


def _kind_of(path: str) -> str:
    """Return the last resource type in a path, in lower case."""
    _, _, inner = path.partition("/providers/")
    names = inner.split("/")[1:]
    if not names:
        return ""
    return (names[-2] if len(names) % 2 == 0 else names[-1]).lower()


def _check_api_version(request: web.Request, supported: str) -> None:
    given = request.query.get("api-version")
    if not given:
        raise MissingApiVersionError
    if given != supported:
        raise UnknownApiVersionError(given=given, supported=supported)


def _check_subscription(request: web.Request, world: SimWorld) -> None:
    subscription = request.match_info.get("subscription", world.subscription_id)
    if subscription.lower() != world.subscription_id.lower():
        raise SubscriptionNotFoundError(subscription)


def _parsed(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
