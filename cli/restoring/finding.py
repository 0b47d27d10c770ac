"""Finding a recovery point: over the API of the app, or by what Azure alone still tells."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from cli.client import Client
from cli.errors import BadUsage, CliError
from cli.restoring.arm import Arm
from cli.restoring.points import NoSuchPoint, Point, from_restore_point, from_snapshots, with_vm


def over_the_api(client: Client, arm: Arm, point_id: str, *, location: str) -> Point:
    """Find a recovery point whose record the app has.

    Raises:
        NoSuchPoint: the app has it, but Azure has it no more.
    """
    record = client.get(f"/recovery-points/{quote(point_id, safe='')}").body
    state = str(record["state"])
    if state in ("deleting", "deleted"):
        raise NoSuchPoint(f"the recovery point {point_id} is {state}: {record.get('why') or ''}".rstrip(": "))
    resources, generation = [str(each) for each in record["resources"]], int(record["generation"])
    if any("/restorePoints/" in each for each in resources):
        found = _restore_point(arm, point_id, resources[0])
    else:
        there = [arm.find(each) for each in (*resources, *record["copies"])]
        snapshots = [each for each in there if each is not None]
        found = from_snapshots(point_id, snapshots, generation=generation, location=location)
    known = {"grade": str(record["grade"]), "vm_id": str(record["vm"])}
    return _filled_in(arm, _replaced(found, known, resources))


def by_tags(
    arm: Arm, scopes: Sequence[str], point_id: str, *, generation: int | None, location: str
) -> Point:
    """Find a recovery point without the app, in resource groups given as ``<subscription>/<group>``.

    Raises:
        BadUsage: a scope is none.
        NoSuchPoint: it is in none of them.
    """
    snapshots: list[dict[str, Any]] = []
    for scope in scopes:
        subscription, _, group = scope.partition("/")
        if not subscription or not group or "/" in group:
            raise BadUsage(f"--from {scope}: expected SUBSCRIPTION/RESOURCE-GROUP")
        prefix = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
        listed = arm.list(f"{prefix}/snapshots")
        snapshots += [each for each in listed if (each.get("tags") or {}).get("stillframe-saga") == point_id]
        if not snapshots:
            found = _in_collections(arm, prefix, point_id, generation)
            if found is not None:
                return _filled_in(arm, found)
    return _filled_in(arm, from_snapshots(point_id, snapshots, generation=generation, location=location))


def _in_collections(arm: Arm, prefix: str, point_id: str, generation: int | None) -> Point | None:
    """Look for a restore point by its name in the collections of a resource group."""
    for collection in arm.list(f"{prefix}/restorePointCollections"):
        name = str(collection["name"])
        if not name.startswith("sf-"):
            continue
        whole = arm.find(f"{prefix}/restorePointCollections/{name}", **{"$expand": "restorePoints"}) or {}
        for point in (whole.get("properties") or {}).get("restorePoints") or []:
            named, _, of = str(point["name"]).rpartition("-g")
            if named == f"sf-{point_id}" and generation in (None, int(of) if of.isdecimal() else -1):
                return _restore_point(arm, point_id, str(point["id"]))
    return None


def _restore_point(arm: Arm, point_id: str, resource_id: str) -> Point:
    point = arm.find(resource_id, **{"$expand": "instanceView"})
    collection = arm.find(resource_id.partition("/restorePoints/")[0])
    if point is None or collection is None:
        raise NoSuchPoint(f"the restore point of {point_id} is gone: {resource_id}")
    return from_restore_point(point_id, point, collection)


def _replaced(found: Point, known: Mapping[str, str], resources: Sequence[str]) -> Point:
    """Take from the record what it knows better, and how many disks there are where no tag says it."""
    if found.slots is None and len(found.disks) < len(resources):
        raise NoSuchPoint(
            f"of the {len(resources)} snapshots of the recovery point {found.point_id} "
            f"only {len(found.disks)} are there"
        )
    slots = found.slots if found.slots is not None else tuple(disk.slot for disk in found.disks)
    return replace(found, grade=known["grade"], vm_id=known["vm_id"], slots=slots)


def _filled_in(arm: Arm, point: Point) -> Point:
    """Ask the VM for what is not known, where it is still there and something is missing.

    Restore points never tell the zone, so that for them it is asked always.
    """
    complete = point.shape.size and point.shape.os and all(disk.sku and disk.caching for disk in point.disks)
    complete = complete and not any(disk.option == "Restore" for disk in point.disks)
    if complete or not point.vm_id:
        return point
    try:
        vm = arm.find(point.vm_id, **{"$expand": "instanceView"})
    except CliError:  # it is not needed: what is missing then is asked for
        return point
    return with_vm(point, vm) if vm else point
