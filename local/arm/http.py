"""What all handlers share: reading requests, answering, beginning operations, paging."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from local.arm.errors import (
    InvalidParameterError,
    InvalidRequestContentError,
    LocationRequiredError,
    OperationFailedError,
)
from local.arm.ids import ResourceId, parse_id
from local.arm.operations import API_VERSIONS, Family, OnFailure, Operation, Work
from local.arm.state import SimWorld

WORLD = web.AppKey("world", SimWorld)

OPERATION_FAILS: web.RequestKey[tuple[str, str]] = web.RequestKey("operation_fails", tuple)
"""Code and message that an operation begun by this request must fail with."""

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.Compute"

_MAX_TAGS = 50
_MAX_TAG_NAME = 512
_MAX_TAG_VALUE = 256
_FORBIDDEN_IN_TAG_NAMES = frozenset("<>%&\\?/")


def world_of(request: web.Request) -> SimWorld:
    """Return the world that the request is about."""
    return request.app[WORLD]


def resource_of(request: web.Request) -> ResourceId:
    """Return the id of the resource in the request's path; its group must exist."""
    resource = parse_id(request.path)
    world_of(request).require_group(resource.group)
    return resource


async def json_body(request: web.Request) -> dict[str, Any]:
    """Return the body; raises `InvalidRequestContentError` when it is not a JSON object."""
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise InvalidRequestContentError(f"The request content was invalid: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidRequestContentError("The request content was invalid: it must be an object.")
    return body


def member(body: Mapping[str, Any], path: str, kind: type, default: Any = None) -> Any:
    """Return a member by its dotted path, or the default where it is absent or null.

    Raises `InvalidParameterError` when it, or an object on the way, has another type than asked for.
    """
    value: Any = body
    *parents, _last = names = path.split(".")
    for depth, name in enumerate(names):
        value = value.get(name)
        if value is None:
            return default
        expected = dict if depth < len(parents) else kind
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            where = ".".join(names[: depth + 1])
            raise InvalidParameterError(where, f"Parameter '{where}' has the wrong type.")
    return value


def location_of(body: Mapping[str, Any]) -> str:
    """Return the location that a tracked resource must have; raises `LocationRequiredError`."""
    location = member(body, "location", str)
    if not location:
        raise LocationRequiredError
    return str(location)


def tags_of(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags, within the limits of "Use tags to organize your Azure resources".

    Raises `InvalidParameterError`.
    """
    tags: dict[str, Any] = member(body, "tags", dict, {})
    if len(tags) > _MAX_TAGS:
        raise InvalidParameterError("tags", f"A resource can have at most {_MAX_TAGS} tags.")
    for name, value in tags.items():
        if not name or len(name) > _MAX_TAG_NAME or _FORBIDDEN_IN_TAG_NAMES & set(name):
            raise InvalidParameterError(f"tags.{name}", "The tag's name is not allowed.")
        if not isinstance(value, str) or len(value) > _MAX_TAG_VALUE:
            raise InvalidParameterError(
                f"tags.{name}", f"Its value must have up to {_MAX_TAG_VALUE} characters."
            )
    return dict(tags)


def number_of(request: web.Request, name: str) -> int | None:
    """Return a number of the query, None where it is absent; raises `InvalidParameterError`."""
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise InvalidParameterError(name, f"The query parameter '{name}' must be a number.")
    return int(text)


def begin(
    request: web.Request, family: Family, location: str, work: Work, on_failure: OnFailure = lambda: None
) -> Operation:
    """Start the operation of a request; a fault rule may want it to fail before it does anything."""
    failure = request.get(OPERATION_FAILS)

    async def fail() -> None:
        assert failure is not None, "only begun where a failure is wanted"
        raise OperationFailedError(*failure)

    chosen = work if failure is None else fail
    return world_of(request).operations.start(family, location, chosen, on_failure)


def operation_headers(request: web.Request, operation: Operation, *, location: bool) -> dict[str, str]:
    """Return where to ask for an operation; run commands and restore points have no Location."""
    world = world_of(request)
    origin = str(request.url.origin())
    headers = {
        "Azure-AsyncOperation": world.signer.url(origin, world.subscription_id, operation, monitor=False),
    }
    if location:
        headers["Location"] = world.signer.url(origin, world.subscription_id, operation, monitor=True)
    return headers


def page[T](
    request: web.Request, family: Family, items: Sequence[T], written: Callable[[T], dict[str, Any]]
) -> web.Response:
    """Answer one page of a list, of which only that page is `written`; `nextLink` leads to the next."""
    size = world_of(request).settings.page_size
    start = number_of(request, "$skiptoken") or 0
    body: dict[str, Any] = {"value": [written(item) for item in items[start : start + size]]}
    if start + size < len(items):
        query = f"api-version={API_VERSIONS[family]}&$skiptoken={start + size}"
        body["nextLink"] = f"{request.url.origin()}{request.path}?{query}"
    return web.json_response(body)
