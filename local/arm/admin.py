"""The simulator's own API under /_sim/: set up VMs, make faults, read what happened."""

from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler

from local.arm.described import InvalidSpecError, some_members
from local.arm.faults import InvalidFaultError, fault_from_json
from local.arm.http import json_body, number_of, world_of
from local.arm.ids import ResourceId
from local.arm.specs import VmSpec, vm_from_json
from local.arm.vms import require_vm, vm_json


def routes() -> list[web.RouteDef]:
    """Return the routes of the simulator's own API."""
    return [
        web.post("/_sim/vms", _put_vm),
        web.patch("/_sim/vms/{group}/{vm}", _change_vm),
        web.post("/_sim/groups/{group}", _add_group),
        web.post("/_sim/faults", _add_fault),
        web.delete("/_sim/faults", _clear_faults),
        web.get("/_sim/faults", _count_faults),
        web.get("/_sim/journal", _read_journal),
        web.delete("/_sim/journal", _clear_journal),
        web.get("/_sim/captures", _read_captures),
    ]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell what is wrong with a request to this API, by the member's name."""
    try:
        return await handler(request)
    except (InvalidSpecError, InvalidFaultError) as error:
        return web.json_response({"field": error.field, "reason": error.reason}, status=400)


async def _put_vm(request: web.Request) -> web.Response:
    world = world_of(request)
    vm = world.put_vm(vm_from_json(await json_body(request)))
    return web.json_response(vm_json(world, vm), status=201)


async def _change_vm(request: web.Request) -> web.Response:
    """Change a VM's power state, its agent's readiness, its tags, or what its restore points come to."""
    world = world_of(request)
    changes = some_members(VmSpec, await json_body(request), "vm")
    path = ("virtualMachines", request.match_info["vm"])
    vm = require_vm(world, ResourceId(world.subscription_id, request.match_info["group"], path))
    for name in changes:
        if name not in {"power", "agent_ready", "tags", "restore_point_consistency"}:
            raise InvalidSpecError(f"vm.{name}", "cannot be changed")
    return web.json_response(vm_json(world, world.put_vm(replace(vm.spec, **changes))))


async def _add_group(request: web.Request) -> web.Response:
    world_of(request).add_group(request.match_info["group"])
    return web.Response(status=204)


async def _add_fault(request: web.Request) -> web.Response:
    fault, times = fault_from_json(await json_body(request))
    world_of(request).faults.add(fault, times)
    return web.Response(status=204)


async def _clear_faults(request: web.Request) -> web.Response:
    world_of(request).faults.clear()
    return web.Response(status=204)


async def _count_faults(request: web.Request) -> web.Response:
    return web.json_response({"remaining": world_of(request).faults.remaining()})


async def _read_journal(request: web.Request) -> web.Response:
    """Return the journal, filtered by method, path_contains, status, and after (a sequence number)."""
    query = request.query
    exchanges = world_of(request).journal.select(
        method=query.get("method"),
        path_contains=query.get("path_contains", ""),
        status=number_of(request, "status"),
        after=number_of(request, "after") or 0,
    )
    return web.json_response([exchange.as_json() for exchange in exchanges])


async def _clear_journal(request: web.Request) -> web.Response:
    world_of(request).journal.clear()
    return web.Response(status=204)


async def _read_captures(request: web.Request) -> web.Response:
    """Return the captures, filtered by disk, snapshot and vm (the VM's name)."""
    query = request.query
    return web.json_response(
        [
            record.as_json()
            for record in world_of(request).captures.records
            if query.get("disk") in {None, record.disk}
            and query.get("snapshot") in {None, record.snapshot}
            and query.get("vm") in {None, record.vm}
        ]
    )
