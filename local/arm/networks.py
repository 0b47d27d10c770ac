"""Network interfaces of Microsoft.Network, as far as a VM needs one.

There are no networks here: a subnet's id must be one, and that is all that is asked of it.
"""

import re
from typing import Any

from aiohttp import web

from local.arm.errors import ArmError, InvalidParameterError, OperationNotAllowedError
from local.arm.http import json_body, location_of, member, tags_of, world_of

API_VERSION = "2024-05-01"
"""A version of "Network Interfaces - Create Or Update" (Microsoft Learn)."""

KIND = "networkinterfaces"

_ONE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/networkInterfaces/{nic}"
)
_SUBNET = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network/virtualNetworks/[^/]+/subnets/[^/]+",
    re.IGNORECASE,
)

REQUEST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["location", "properties"],
    "properties": {
        "location": {"type": "string"},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "properties": {
            "type": "object",
            "additionalProperties": False,
            "required": ["ipConfigurations"],
            "properties": {
                "enableAcceleratedNetworking": {"type": "boolean"},
                "networkSecurityGroup": {"type": "object", "properties": {"id": {"type": "string"}}},
                "ipConfigurations": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["name", "properties"],
                        "properties": {
                            "name": {"type": "string"},
                            "properties": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["subnet"],
                                "properties": {
                                    "primary": {"type": "boolean"},
                                    "privateIPAllocationMethod": {"enum": ["Dynamic", "Static"]},
                                    "subnet": {
                                        "type": "object",
                                        "required": ["id"],
                                        "properties": {"id": {"type": "string"}},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The part of the NetworkInterface of that page which is used here."""


class NicNotFoundError(ArmError):
    """The network interface is not there."""

    status = 404
    code = "ResourceNotFound"

    def __init__(self, path: str) -> None:
        super().__init__(f"The Resource '{path}' was not found.")


def routes() -> list[web.RouteDef]:
    """Return the routes of network interfaces."""
    return [web.get(_ONE, _get), web.put(_ONE, _put), web.delete(_ONE, _delete)]


async def _get(request: web.Request) -> web.Response:
    nic = world_of(request).resources.nics.get(request.path.lower())
    if nic is None:
        raise NicNotFoundError(request.path)
    return web.json_response(nic)


async def _put(request: web.Request) -> web.Response:
    world, body = world_of(request), await json_body(request)
    world.require_group(request.match_info["group"])
    configurations = member(body, "properties.ipConfigurations", list, [])
    subnets = [str(member(each, "properties.subnet.id", str, "")) for each in configurations]
    if not subnets or not all(_SUBNET.fullmatch(subnet) for subnet in subnets):
        raise InvalidParameterError("ipConfigurations", "Each needs the id of a subnet.")
    known = request.path.lower() in world.resources.nics
    nic = {
        "name": request.match_info["nic"],
        "id": request.path,
        "type": "Microsoft.Network/networkInterfaces",
        "location": location_of(body),
        "tags": tags_of(body),
        "properties": {**member(body, "properties", dict, {}), "provisioningState": "Succeeded"},
    }
    world.resources.nics[request.path.lower()] = nic
    return web.json_response(nic, status=200 if known else 201)


async def _delete(request: web.Request) -> web.Response:
    world, key = world_of(request), request.path.lower()
    if any(key in {nic.lower() for nic in vm.spec.nics} for vm in world.resources.vms.values()):
        raise OperationNotAllowedError("The network interface is used by a VM.")
    return web.Response(status=204 if world.resources.nics.pop(key, None) is None else 200)
