"""The roles in infra/ against what is really asked of Azure."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from local.arm.journal import Exchange
from tests.integration.compute.conftest import SAGA, TAGS, Azure
from tests.integration.compute.test_region_copies import order
from tests.integration.compute.test_restore_points import facts_of, take

ROLES = Path(__file__).resolve().parents[3] / "infra" / "roles"
VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
#: Needed besides the request's own action: Azure checks the source of a copy with it.
LINKED = {"Microsoft.Compute/snapshots/write": {"Microsoft.Compute/disks/beginGetAccess/action"}}
#: Granted although no request names it: reading a VM with its instance view is checked with both.
IMPLIED = {
    "Microsoft.Compute/virtualMachines/instanceView/read",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
}


def action(exchange: Exchange) -> str:
    """Give the RBAC action of a request: the types in its path, without names, and the verb."""
    _, _, path = exchange.path.partition("/providers/Microsoft.Compute/")
    parts = re.sub(r"^locations/[^/]+/", "locations/-/", path).split("/")
    types = [part for index, part in enumerate(parts) if index % 2 == 0]
    return f"Microsoft.Compute/{'/'.join(types)}/{VERBS[exchange.method]}"


def actions(exchanges: Sequence[Exchange]) -> set[str]:
    asked = {action(exchange) for exchange in exchanges}
    if any("CopyStart" in json.dumps(exchange.request_body) for exchange in exchanges):
        asked.add("Microsoft.Compute/snapshots/beginGetAccess/action")
    return asked.union(*(LINKED.get(each, set()) for each in asked))


def granted() -> set[str]:
    roles = [json.loads(path.read_text()) for path in ROLES.glob("*.json")]
    return {action for role in roles for action in role["Actions"]}


async def test_the_roles_grant_what_the_app_asks_of_azure_and_nothing_else(azure: Azure) -> None:
    facts = await azure.facts()
    await azure.compute.start_agent(facts, SAGA, 1, "{}")
    captures = await azure.capture(await azure.targets())
    ids = [capture.snapshot_id for capture in captures]
    await azure.compute.look_at_copies(ids)
    await azure.compute.tag(ids[0], {**TAGS, "stillframe-grade": "crash"})
    await azure.compute.look_at(ids[0])
    for marker in ("", "restorePointCollections"):
        await azure.compute.list_kept(azure.vm_id.split("/")[2], azure.vm_id.split("/")[4], marker)
    await azure.compute.copy_snapshots([order(ids[0])], SAGA)
    for snapshot_id in ids:
        await azure.compute.delete(snapshot_id, SAGA)
    await azure.compute.stop_agent(azure.vm_id, SAGA, 1)
    await facts_of(azure)
    _, report = await take(azure)
    await azure.compute.look_at_copies([report.point_id])
    await azure.compute.tag(report.point_id, {"stillframe-grade": "crash"})
    await azure.compute.delete(report.point_id, SAGA)

    asked = actions(tuple(azure.world.journal.select()))

    # Long-running operations of run commands and restarts of polls are granted whether seen here or not.
    polls = {"Microsoft.Compute/locations/DiskOperations/read", "Microsoft.Compute/locations/operations/read"}
    assert asked - granted() == set()
    assert granted() - asked - IMPLIED - polls <= {"Microsoft.Compute/virtualMachines/runCommands/read"}
