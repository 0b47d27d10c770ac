"""What a restore makes of what Azure says: each resource with its body, or a sentence on what is missing."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from cli.errors import BadUsage, Broken, CliError, Code, NotAllowed
from cli.restoring.arm import Arm, arm_endpoint, token_for
from cli.restoring.plan import RESTORED, Plan, TooWeak, Wanted, plan, template
from cli.restoring.points import NoSuchPoint, Point, from_restore_point, from_snapshots, with_vm
from local.arm.contract import ENDPOINTS
from local.arm.model_schemas import Direction, model_schema
from local.arm.operations import API_VERSIONS, Family
from shared.compute import tags
from shared.saga.facts import DiskFacts, VmFacts, VmShape

SAGA = "938dee88ec901f7740f4"
GROUP = "/subscriptions/sub/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/apart"
DISKS = (
    DiskFacts(disk_id="d", name="os", lun=None, location="westeurope", sku="Premium_LRS", size_gib=30),
    DiskFacts(
        disk_id="d",
        name="a",
        lun=0,
        location="westeurope",
        sku="PremiumV2_LRS",
        size_gib=64,
        iops=5000,
        mbps=300,
    ),
)
FACTS = VmFacts(
    vm_id=VM,
    name="db-1",
    location="westeurope",
    os_type="Linux",
    power_state="running",
    vm_agent_ready=True,
    disks=(replace(DISKS[0], caching="ReadWrite"), replace(DISKS[1], caching="None")),
    shape=VmShape(size="Standard_E4s_v5", generation="V2", security="TrustedLaunch", vtpm=True, zone="2"),
)
WANTED = Wanted(subscription="sub", group="target", name="back", subnet=SUBNET)


def snapshot(
    disk: DiskFacts, *, location: str = "westeurope", told: bool = True, **more: Any
) -> dict[str, Any]:
    mine = tags.at_birth(policy="p", run="r", saga=SAGA, generation=1) | {"stillframe-grade": "application"}
    name = f"sf-{SAGA}-g1-{disk.slot}" if location == "westeurope" else f"sf-{location}-{SAGA}-g1-{disk.slot}"
    option = "Copy" if location == "westeurope" else "CopyStart"
    return {
        "id": f"{GROUP}/providers/Microsoft.Compute/snapshots/{name}",
        "name": name,
        "location": location,
        "tags": mine | (tags.of_disk(FACTS, disk) if told else {}),
        "properties": {
            "creationData": {"createOption": option},
            "diskSizeGB": disk.size_gib,
            "timeCreated": "2026-11-24T00:00:00Z",
            **({"osType": "Linux", "hyperVGeneration": "V2"} if disk.lun is None else {}),
            **more,
        },
    }


def point(*snapshots: dict[str, Any], location: str = "", generation: int | None = None) -> Point:
    found = snapshots or tuple(snapshot(disk) for disk in FACTS.disks)
    return from_snapshots(SAGA, found, generation=generation, location=location)


def bodies(planned: Plan) -> dict[str, Any]:
    return {each.name: each.body for each in planned.resources}


def test_everything_is_as_it_was_by_the_tags_that_the_app_writes() -> None:
    made = bodies(plan(point(), WANTED))
    assert list(made) == ["back-os", "back-lun0", "back-nic", "back"]
    assert made["back-os"]["properties"]["securityProfile"] == {"securityType": "TrustedLaunch"}
    assert made["back-os"]["zones"] == ["2"]
    data = made["back-lun0"]
    assert data["sku"] == {"name": "PremiumV2_LRS"}
    assert (data["properties"]["diskIOPSReadWrite"], data["properties"]["diskMBpsReadWrite"]) == (5000, 300)
    assert data["properties"]["networkAccessPolicy"] == "DenyAll"
    vm = made["back"]["properties"]
    assert vm["hardwareProfile"] == {"vmSize": "Standard_E4s_v5"}
    assert vm["securityProfile"]["uefiSettings"] == {"secureBootEnabled": False, "vTpmEnabled": True}
    assert vm["storageProfile"]["osDisk"]["caching"] == "ReadWrite"
    assert [(disk["lun"], disk["caching"]) for disk in vm["storageProfile"]["dataDisks"]] == [(0, "None")]
    assert {each["tags"][RESTORED] for each in made.values()} == {f"{SAGA}-g1"}


def test_what_is_asked_for_wins_over_what_it_was() -> None:
    asked = replace(WANTED, size="Standard_D2s_v5", sku="StandardSSD_ZRS", zone="none", tags={"owner": "dba"})
    made = bodies(plan(point(), asked))
    assert made["back"]["properties"]["hardwareProfile"] == {"vmSize": "Standard_D2s_v5"}
    assert "zones" not in made["back"]
    assert "diskIOPSReadWrite" not in made["back-lun0"]["properties"]
    assert made["back-nic"]["tags"]["owner"] == "dba"


def test_sectors_stay_as_they_were_and_are_said_where_a_disk_could_have_others() -> None:
    def sectors(planned: Plan) -> list[int | None]:
        disks = [body for name, body in bodies(planned).items() if name not in ("back", "back-nic")]
        return [body["properties"]["creationData"].get("logicalSectorSize") for body in disks]

    assert sectors(plan(point(), WANTED)) == [None, None]
    assert sectors(plan(point(), replace(WANTED, sku="PremiumV2_LRS"))) == [512, None]
    small = [snapshot(disk) for disk in FACTS.disks]
    small[1]["properties"]["creationData"]["logicalSectorSize"] = 512
    assert sectors(plan(point(*small), WANTED)) == [None, 512]


def test_a_template_makes_the_same_in_the_same_order() -> None:
    planned = plan(point(), WANTED)
    whole = template(planned)
    resources = {each["name"]: each for each in whole["resources"]}
    assert set(resources) == set(bodies(planned))
    assert resources["back"]["dependsOn"] == [
        "[resourceId('Microsoft.Compute/disks', 'back-os')]",
        "[resourceId('Microsoft.Compute/disks', 'back-lun0')]",
        "[resourceId('Microsoft.Network/networkInterfaces', 'back-nic')]",
    ]
    assert resources["back-os"]["apiVersion"] == API_VERSIONS[Family.DISK]
    assert resources["back"]["apiVersion"] == API_VERSIONS[Family.COMPUTE]


@pytest.mark.parametrize(
    ("found", "asked", "cause", "words"),
    [
        (point(), replace(WANTED, subnet=""), BadUsage, "--subnet: missing"),
        (point(), replace(WANTED, subnet="apart"), BadUsage, "--subnet apart"),
        (point(), replace(WANTED, name="-x"), BadUsage, "--name -x"),
        (point(), replace(WANTED, only=("7",), disks_only=True), BadUsage, "--only 7: there are os, 0"),
        (
            replace(point(), grade="crash"),
            replace(WANTED, min_grade="filesystem"),
            TooWeak,
            "below filesystem",
        ),
        (replace(point(), grade=""), replace(WANTED, min_grade="crash"), TooWeak, "no grade that is known"),
        (point(snapshot(FACTS.disks[0])), WANTED, NoSuchPoint, "not there: LUN 0"),
        (
            replace(point(), shape=replace(point().shape, security="ConfidentialVM")),
            WANTED,
            BadUsage,
            "security type ConfidentialVM",
        ),
        (point(snapshot(FACTS.disks[1])), replace(WANTED, incomplete=True), BadUsage, "without the disk"),
        (point(snapshot(FACTS.disks[0], told=False)), WANTED, BadUsage, "--size: missing"),
        (
            point(*(snapshot(disk, completionPercent=40.0) for disk in FACTS.disks)),
            WANTED,
            NoSuchPoint,
            "copied to 40 % only",
        ),
    ],
)
def test_what_cannot_be_restored_is_one_sentence(
    found: Point, asked: Wanted, cause: type[CliError], words: str
) -> None:
    with pytest.raises(cause) as refusal:
        plan(found, asked)
    assert words in refusal.value.sentence


def test_some_of_the_disks_are_restored_where_that_is_asked_for() -> None:
    lacking = plan(point(snapshot(FACTS.disks[0])), replace(WANTED, incomplete=True))
    assert "not there, and not restored: LUN 0" in lacking.notes
    one = plan(point(), replace(WANTED, only=("0",), disks_only=True))
    assert list(bodies(one)) == ["back-lun0"]


def test_an_old_recovery_point_is_completed_by_its_vm_and_by_what_is_said() -> None:
    old = point(*(snapshot(disk, told=False) for disk in FACTS.disks))
    with pytest.raises(BadUsage, match="--size"):
        plan(old, replace(WANTED, sku="Premium_LRS"))
    vm = {
        "location": "westeurope",
        "zones": ["3"],
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D8s_v5"},
            "storageProfile": {
                "osDisk": {
                    "osType": "Linux",
                    "caching": "ReadWrite",
                    "managedDisk": {"storageAccountType": "Premium_LRS"},
                },
                "dataDisks": [
                    {
                        "lun": 0,
                        "caching": "ReadOnly",
                        "managedDisk": {"storageAccountType": "StandardSSD_LRS"},
                    }
                ],
            },
        },
    }
    made = bodies(plan(with_vm(old, vm), WANTED))
    assert made["back-lun0"]["sku"] == {"name": "StandardSSD_LRS"}
    assert made["back"]["zones"] == ["3"]
    assert made["back"]["properties"]["storageProfile"]["dataDisks"][0]["caching"] == "ReadOnly"


def test_in_another_region_its_copies_are_taken_and_zones_are_not() -> None:
    both = [snapshot(disk, location=place) for disk in FACTS.disks for place in ("westeurope", "northeurope")]
    assert {disk.location for disk in point(*both).disks} == {"westeurope"}
    moved = plan(point(*both, location="northeurope"), WANTED)
    assert {body["location"] for body in bodies(moved).values()} == {"northeurope"}
    assert all("zones" not in body for body in bodies(moved).values())
    with pytest.raises(NoSuchPoint, match="has no snapshot in eastus"):
        point(*both, location="eastus")


def test_of_several_generations_the_graded_one_is_taken_or_one_has_to_be_said() -> None:
    second = [snapshot(disk) for disk in FACTS.disks]
    for each in second:
        each["tags"]["stillframe-generation"] = "2"
    first = [snapshot(disk) for disk in FACTS.disks]
    with pytest.raises(BadUsage, match="several generations"):
        point(*first, *second)
    assert point(*first, *second, generation=2).generation == 2
    for each in first:
        del each["tags"]["stillframe-grade"]
    assert point(*first, *second).generation == 2
    with pytest.raises(NoSuchPoint):
        point(*first, generation=7)


def test_a_restore_point_is_graded_by_its_collection_while_it_is_the_newest() -> None:
    inside = {
        "diskRestorePoint": {"id": "/x/diskRestorePoints/os"},
        "managedDisk": {"storageAccountType": "Premium_LRS"},
    }
    metadata = {
        "location": "westeurope",
        "hardwareProfile": {"vmSize": "Standard_E4s_v5"},
        "storageProfile": {"osDisk": {"osType": "Windows", **inside}},
    }
    made = {"name": f"sf-{SAGA}-g2", "properties": {"sourceMetadata": metadata}}
    told = {"stillframe-saga": SAGA, "stillframe-generation": "2", "stillframe-grade": "application"}
    for mine, grade in ((told, "application"), (told | {"stillframe-generation": "3"}, "")):
        found = from_restore_point(SAGA, made, {"tags": mine, "properties": {"source": {"id": VM}}})
        assert (found.grade, found.shape.os, found.disks[0].option) == (grade, "Windows", "Restore")


def test_every_body_is_what_the_models_of_azure_take() -> None:
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    fast = replace(WANTED, sku="UltraSSD_LRS", encryption_set=f"{GROUP}/x/diskEncryptionSets/e")
    for asked in (WANTED, fast):
        for each in plan(point(), asked).resources:
            kind = each.kind.rpartition("/")[2]
            endpoint = ENDPOINTS.get(("PUT", f"{kind}/{{}}"))
            if endpoint is not None and endpoint.takes:
                schema = model_schema(endpoint.takes, Direction.CREATE)
                assert list(Draft202012Validator(schema).iter_errors(each.body)) == []


def arm(*answers: httpx.Response, **environment: str) -> tuple[Arm, list[httpx.Request]]:
    asked: list[httpx.Request] = []
    waiting = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return waiting.pop(0)

    endpoint = "http://127.0.0.1:1"
    return Arm(endpoint, environment, httpx.MockTransport(answer), sleep=lambda _: None), asked


def test_azure_is_asked_again_when_it_asks_for_patience_and_told_of_when_it_refuses() -> None:
    error = {"error": {"code": "AuthorizationFailed", "message": "no right to do that"}}
    found, asked = arm(
        httpx.Response(429, headers={"Retry-After": "1"}),
        httpx.Response(503),
        httpx.Response(200, json={"id": VM}),
        httpx.Response(403, json=error),
    )
    assert found.find(VM) == {"id": VM}
    assert len(asked) == 3
    with pytest.raises(NotAllowed, match="AuthorizationFailed"):
        found.find(VM)


def test_the_token_is_sent_nowhere_else() -> None:
    away = {"value": [], "nextLink": "https://evil.example.org/next"}
    lists, asked = arm(httpx.Response(200, json=away))
    with pytest.raises(Broken, match="another host"):
        lists.list(f"{GROUP}/providers/Microsoft.Compute/snapshots")
    begun, _ = arm(httpx.Response(202, headers={"Azure-AsyncOperation": "https://evil.example.org/op"}))
    with pytest.raises(Broken, match="another host"):
        begun.put(VM, {})
    assert [request.url.host for request in asked] == ["127.0.0.1"]


@pytest.mark.parametrize("wrong", ["ftp://x", "http://management.example.org", "https://x/path", "nonsense"])
def test_an_endpoint_that_no_token_may_be_sent_to_is_refused(wrong: str) -> None:
    with pytest.raises(BadUsage, match="STILLFRAME_ARM_ENDPOINT"):
        arm_endpoint({"STILLFRAME_ARM_ENDPOINT": wrong})


def test_a_token_is_that_of_the_environment_or_of_the_azure_cli_or_it_is_said_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    public = arm_endpoint({})
    assert token_for(public, {"STILLFRAME_ARM_TOKEN": "mine"}) == "mine"
    az = tmp_path / "az"
    az.write_text('#!/bin/sh\necho "the-token $*"\n')
    az.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert token_for(public, {}).startswith(
        "the-token account get-access-token --resource https://management"
    )
    az.write_text("#!/bin/sh\necho 'Please run az login' >&2; exit 1\n")
    with pytest.raises(NotAllowed, match="Please run az login") as refusal:
        token_for(public, {})
    assert refusal.value.code is Code.NOT_ALLOWED
    assert "az login" in refusal.value.hint
    monkeypatch.setattr("cli.restoring.arm.subprocess.run", _no_such_program)
    with pytest.raises(NotAllowed, match="gave no token"):
        token_for(public, {})


def _no_such_program(*_: Any, **__: Any) -> Any:
    raise FileNotFoundError("az")


def test_what_was_planned_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(template(plan(point(), WANTED))))
