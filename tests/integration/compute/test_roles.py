"""The roles in infra/ against what is really asked of Azure, at each scope, both ways."""

from collections import defaultdict
from pathlib import Path

import pytest

from local.arm.settings import SimSettings
from local.arm.specs import VmSpec
from shared.compute.collections import OwnCollection
from shared.policy.selection import Scope
from shared.policy.snapshots import SnapshotSettings
from tests.integration.compute.conftest import DB1, SAGA, SNAPSHOTS, TAGS, Azure, serving
from tests.integration.compute.test_region_copies import order
from tests.integration.compute.test_restore_points import facts_of, take
from tests.templates.bicep import BicepFile, members, text
from tests.templates.rights import DEFINITIONS, Need, assigned, needs, roles, verdict

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"


async def everything_that_the_app_asks_of_azure(azure: Azure) -> set[Need]:
    """Every call of the compute layer at least once, from selection to reconciliation."""
    compute = azure.compute
    _, _, subscription, _, group, *_ = azure.vm_id.split("/")
    await compute.reach()
    await compute.list_vms(Scope(subscription, group))
    await compute.diagnose(azure.vm_id, SnapshotSettings(resource_group=SNAPSHOTS))
    await compute.look_at_groups(subscription, [SNAPSHOTS])
    await compute.warm(azure.vm_id)
    await compute.start_agent(await azure.facts(), SAGA, 1, "{}")
    captures = await azure.capture(await azure.targets())
    ids = [capture.snapshot_id for capture in captures]
    assert all(capture.captured for capture in captures)
    await compute.look_at_copies(ids)
    await compute.copy_snapshots([order(ids[0])], SAGA)
    _, report = await take(azure, facts=await facts_of(azure))
    for made in (ids[0], report.point_id):
        await compute.tag(made, {**TAGS, "stillframe-grade": "crash"})
        await compute.look_at(made)
    await compute.look_at_copies([report.point_id])
    for marker in ("", "restorePointCollections"):
        await compute.list_kept(subscription, SNAPSHOTS, marker)
    for made in (*ids, report.point_id):
        await compute.delete(made, SAGA)
    place = report.point_id.partition("/restorePoints/")[0]
    await compute.list_collections(subscription, SNAPSHOTS)
    assert await compute.is_empty(place)
    await compute.delete_collection(OwnCollection(place, azure.vm_id, SAGA))
    await compute.stop_agent(azure.vm_id, SAGA, 1)
    return needs(azure.world.journal.select())


@pytest.fixture
async def needed(azure: Azure) -> set[Need]:
    return await everything_that_the_app_asks_of_azure(azure)


def judged(needed: set[Need], vm: VmSpec, definitions: Path = DEFINITIONS) -> list[str]:
    """The roles as main.bicep assigns them when snapshots have a group of their own."""
    given = defaultdict[str, frozenset[str]](frozenset, roles(definitions))

    def all_of(where: str) -> frozenset[str]:
        return frozenset[str]().union(*(given[name] for name in assigned(where)))

    at = {
        f"{SUBSCRIPTION}/resourceGroups/{vm.resource_group}": all_of("onSources"),
        f"{SUBSCRIPTION}/resourceGroups/{SNAPSHOTS}": all_of("onTargets"),
        SUBSCRIPTION: given["operations"],
    }
    return verdict(needed, at)


async def test_the_roles_give_what_the_app_asks_of_azure_where_it_asks_and_nothing_else(
    needed: set[Need],
) -> None:
    assert set(roles()) == {"source", "target", "regionCopy", "agentStart", "operations"}
    assert judged(needed, DB1) == []


async def test_a_role_without_one_of_its_actions_is_told_and_so_is_one_that_nothing_needs(
    needed: set[Need], tmp_path: Path
) -> None:
    lines = DEFINITIONS.read_text().splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("  'Microsoft.")]
    assert len(places) == sum(map(len, roles().values()))
    planted = tmp_path / "definitions.bicep"
    for place in places:
        action = lines[place].split("'")[1]
        planted.write_text("\n".join(lines[:place] + lines[place + 1 :]))
        [told] = judged(needed, DB1, planted)
        assert told.startswith(f"no role gives {action} on "), action
    for place in places:
        more = "  'Microsoft.Compute/disks/endGetAccess/action' // nobody ends what nobody began"
        planted.write_text("\n".join([*lines[:place], more, *lines[place:]]))
        [told] = judged(needed, DB1, planted)
        assert told.startswith("nothing needs Microsoft.Compute/disks/endGetAccess/action on ")


def test_each_role_is_given_its_own_actions_and_its_own_name() -> None:
    file = BicepFile(DEFINITIONS)
    objects = [each for each in file.value("roles").named_children if each.type == "object"]
    lists = [text(dict(members(each))["actions"]) for each in objects]
    outputs = {name: text(each.node.named_children[-1]) for name, each in file.of("output").items()}
    assert outputs == {name: f"role[{place}].name" for place, name in enumerate(lists)}


async def test_looking_for_vms_in_a_whole_subscription_needs_the_source_role_on_it() -> None:
    async with serving(DB1, settings=SimSettings()) as azure:
        await azure.compute.list_vms(Scope(azure.vm_id.split("/")[2]))
        [need] = needs(azure.world.journal.select())
    assert need == Need(SUBSCRIPTION, "Microsoft.Compute/virtualMachines/read")
    assert need.action in roles()["source"]


async def test_snapshots_beside_their_vms_need_both_roles_on_the_same_group() -> None:
    async with serving(DB1) as azure:
        facts = await azure.compute.read_facts(azure.vm_id, SnapshotSettings())
        needed = needs(azure.world.journal.select())
    assert facts.disks
    group = f"{SUBSCRIPTION}/resourcegroups/{DB1.resource_group.lower()}"
    assert {need.scope for need in needed} == {group}
    assert {need.action for need in needed} <= roles()["source"] | roles()["target"]
