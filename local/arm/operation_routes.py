"""Where clients ask how an operation goes: Azure-AsyncOperation URLs, and Location URLs with monitor=true."""

from aiohttp import web

from local.arm.errors import OperationNotFoundError, SignatureMismatchError
from local.arm.http import SUBSCRIPTION, world_of
from local.arm.operations import Family, Operation


def routes() -> list[web.RouteDef]:
    """Return the routes of operations of both families."""
    return [
        web.get(f"{SUBSCRIPTION}/locations/{{location}}/{family}/{{operation}}", _get) for family in Family
    ]


async def _get(request: web.Request) -> web.Response:
    world, operation_id = world_of(request), request.match_info["operation"]
    operation = world.operations.find(operation_id)
    if operation is None:
        raise OperationNotFoundError(operation_id)
    if not world.signer.fits(operation_id, request.query):
        raise SignatureMismatchError
    if request.query.get("monitor") == "true":
        return _monitored(request, operation)
    return web.json_response(operation.body())


def _monitored(request: web.Request, operation: Operation) -> web.Response:
    """Answer 202 until the end, then with the resource; the status of a failure (409) is assumed."""
    if operation.error is not None:
        code, message = operation.error
        return web.json_response({"error": {"code": code, "message": message}}, status=409)
    if operation.status == "InProgress":
        return web.Response(status=202, headers={"Location": str(request.url)})
    if operation.output is None:
        return web.Response(status=204)
    return web.json_response(operation.output)
