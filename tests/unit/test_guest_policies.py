"""infra/guests: the policy definitions as they decide about VMs, and the templates around them."""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from local.package import __main__ as package
from shared.storage.guest_names import ACK_QUEUE, command_queue
from shared.version import VERSION
from tests.unit import azure_policy

GUESTS = Path(__file__).resolve().parents[2] / "infra" / "guests"
DEFINITIONS = ("policy-agent.json", "policy-identity-none.json", "policy-identity-user.json")
BICEP = ("gallery.bicep", "policy.bicep", "policy-gallery.bicep", "policy-storage.bicep")

#: Azure's built-in roles ("Azure built-in roles for Storage").
MESSAGE_PROCESSOR = "8a0f0c08-91a1-4084-bc3d-661d67233fed"
MESSAGE_SENDER = "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"

VM = "/subscriptions/s/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/Vm1"
APPLICATION = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/q/applications/{}/versions/0.1.0"
)
PARAMETERS = {
    "effect": "DeployIfNotExists",
    "tagName": "stillframe-agent",
    "tagValue": "install",
    "guestAccountId": "/subscriptions/t/resourceGroups/h/providers/Microsoft.Storage/storageAccounts/guests",
    "linuxVersionId": APPLICATION.format("stillframe-agent-linux"),
    "windowsVersionId": "",
}
APPLICATIONS = "Microsoft.Compute/virtualMachines/applicationProfile.galleryApplications[*]"


def load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GUESTS / name).read_text())
    return document


def machine(**more: Any) -> dict[str, Any]:
    system = more.pop("system", "Linux")
    return {
        "type": "Microsoft.Compute/virtualMachines",
        "name": "Vm1",
        "id": VM,
        "tags[stillframe-agent]": "install",
        "identity.type": "SystemAssigned",
        "Microsoft.Compute/virtualMachines/storageProfile.osDisk.osType": system,
        **more,
    }


def wanted_by(name: str, vm: dict[str, Any], **parameters: str) -> bool:
    return azure_policy.applies(load(name)["policyRule"]["if"], PARAMETERS | parameters, vm)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_declares_what_it_uses_and_uses_what_it_declares(name: str) -> None:
    assert azure_policy.faults(load(name)) == []


def planted() -> Iterator[tuple[str, dict[str, Any]]]:
    agent = load("policy-agent.json")

    def deployment(document: dict[str, Any]) -> Any:
        return document["policyRule"]["then"]["details"]["deployment"]["properties"]

    undeclared = copy.deepcopy(agent)
    del undeclared["parameters"]["tagValue"]
    yield "tagValue is not declared", undeclared
    unused = copy.deepcopy(agent)
    unused["parameters"]["more"] = {"type": "String"}
    yield "more is not used", unused
    unset = copy.deepcopy(agent)
    del deployment(unset)["parameters"]["vmId"]
    yield "the template: vmId is not given", unset
    inner = copy.deepcopy(agent)
    del deployment(inner)["template"]["resources"][0]["properties"]["parameters"]["queue"]
    yield "deployment: queue is not given", inner
    unclosed = copy.deepcopy(agent)
    unclosed["policyRule"]["then"]["effect"] = "[parameters('effect'"
    yield "unclosed", unclosed


@pytest.mark.parametrize(("fault", "definition"), list(planted()))
def test_a_planted_fault_is_found(fault: str, definition: dict[str, Any]) -> None:
    assert any(fault in found for found in azure_policy.faults(definition))


@pytest.mark.parametrize(
    ("vm", "wanted"),
    [
        (machine(), True),
        (machine(**{"identity.type": "SystemAssigned, UserAssigned"}), True),
        (machine(**{"tags[stillframe-agent]": "no"}), False),
        (machine(**{"tags[stillframe-agent]": None}), False),
        (machine(**{"identity.type": None}), False),  # the next evaluation, once it has one
        (machine(system="Windows"), False),  # there is no version for it
        (machine(type="Microsoft.Compute/disks"), False),
    ],
)
def test_the_agent_goes_to_tagged_vms_with_an_identity_for_which_there_is_a_version(
    vm: dict[str, Any], *, wanted: bool
) -> None:
    assert wanted_by("policy-agent.json", vm) is wanted


def test_windows_gets_the_agent_once_it_has_a_version() -> None:
    version = APPLICATION.format("stillframe-agent-windows")

    assert wanted_by("policy-agent.json", machine(system="Windows"), windowsVersionId=version)
    assert not wanted_by("policy-agent.json", machine(), linuxVersionId="", windowsVersionId=version)


@pytest.mark.parametrize(
    ("identity", "none", "user"),
    [
        (None, True, False),
        ("None", True, False),
        ("UserAssigned", False, True),
        ("SystemAssigned", False, False),
        ("SystemAssigned, UserAssigned", False, False),
    ],
)
def test_an_identity_is_added_once_and_takes_none_away(
    identity: str | None, *, none: bool, user: bool
) -> None:
    vm = machine(**{"identity.type": identity})

    assert wanted_by("policy-identity-none.json", vm) is none
    assert wanted_by("policy-identity-user.json", vm) is user
    if user:
        (change,) = load("policy-identity-user.json")["policyRule"]["then"]["details"]["operations"]
        assert azure_policy.evaluate(change["value"], PARAMETERS, vm) == "UserAssigned,SystemAssigned"


@pytest.mark.parametrize(
    ("installed", "is_there"),
    [
        ([], False),
        ([APPLICATION.format("another-application")], False),
        ([PARAMETERS["linuxVersionId"].replace("0.1.0", "0.0.9")], False),
        ([APPLICATION.format("another-application"), PARAMETERS["linuxVersionId"].upper()], True),
    ],
)
def test_a_vm_with_another_version_gets_this_one(installed: list[str], *, is_there: bool) -> None:
    details = load("policy-agent.json")["policyRule"]["then"]["details"]
    vm = machine(**{APPLICATIONS: [{APPLICATIONS + ".packageReferenceId": each} for each in installed]})

    assert azure_policy.applies(details["existenceCondition"], PARAMETERS, vm) is is_there


def test_the_template_names_the_queues_as_the_app_does() -> None:
    template, inner = agent_templates()
    given = template["resources"][0]["properties"]["parameters"]

    assert azure_policy.evaluate(given["queue"]["value"], {"vmId": VM}, {}) == command_queue(VM)
    assert azure_policy.evaluate(given["account"]["value"], PARAMETERS, {}) == "guests"
    scopes = {
        each["properties"]["roleDefinitionId"]: azure_policy.evaluate(
            each["scope"], {"account": "guests", "queue": "cmd-1"}, {}
        )
        for each in inner["resources"]
        if each["type"].endswith("/roleAssignments")
    }
    queues = "Microsoft.Storage/storageAccounts/guests/queueServices/default/queues/"
    role = "[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{}')]"
    assert scopes == {
        role.format(MESSAGE_PROCESSOR): queues + "cmd-1",
        role.format(MESSAGE_SENDER): queues + ACK_QUEUE,
    }


def test_the_application_comes_after_the_rights_so_that_its_presence_tells_of_them() -> None:
    template, _ = agent_templates()
    rights, application = template["resources"]

    assert "variables('rights')" in application["dependsOn"][0]
    assert rights["name"] == "[variables('rights')]"


def test_the_policys_identity_may_give_the_two_roles_and_no_other() -> None:
    storage = (GUESTS / "policy-storage.bicep").read_text()
    _, inner = agent_templates()
    needed = {role for text in azure_policy.texts(inner) for role in re.findall(r"[0-9a-f-]{36}", text)}

    assert needed == {MESSAGE_PROCESSOR, MESSAGE_SENDER}
    assert "var given = '${messageProcessor}, ${messageSender}'" in storage
    for role in needed:
        assert re.search(rf"var message\w+ = '{role}'", storage)
    for part in ("{${given}}", "StringEqualsIgnoreCase {\\'ServicePrincipal\\'}", "conditionVersion: '2.0'"):
        assert part in storage


def test_the_initiative_sets_every_parameter_that_a_definition_wants() -> None:
    text = (GUESTS / "policy.bicep").read_text()

    for name in ("guestAccountId", "linuxVersionId", "windowsVersionId"):
        assert f"{name}: {{ value: {name} }}" in text
    declared = {name for each in DEFINITIONS for name in load(each)["parameters"]}
    assert declared == set(PARAMETERS)


@pytest.mark.parametrize("system", ["linux", "windows"])
def test_the_commands_fit_and_go_by_the_name_under_which_the_package_lies(system: str) -> None:
    commands = load("commands.json")[system]

    for action in ("install", "update", "remove"):
        assert len(commands[action]) <= 4096  # the limit of a VM Application's command
        assert commands["application"] in commands[action]


def test_the_gallery_publishes_what_make_package_builds(tmp_path: Path) -> None:
    text = (GUESTS / "gallery.bicep").read_text()
    interpreter = tmp_path / "python.zip"
    interpreter.touch()
    pinned = [
        "--windows-python",
        str(interpreter),
        "--windows-python-sha256",
        hashlib.sha256(b"").hexdigest(),
    ]
    assert package.main(["--into", str(tmp_path / "built"), *pinned]) == 0

    for system in ("linux", "windows"):
        (name,) = re.findall(rf"var {system}Package = '(.+)'", text)
        assert (tmp_path / "built" / name.replace("${version}", VERSION)).is_file()


@pytest.mark.parametrize("name", BICEP)
def test_the_templates_parse_and_what_they_refer_to_is_there(name: str) -> None:
    text = (GUESTS / name).read_bytes()
    root = Parser(Language(tree_sitter_bicep.language())).parse(text).root_node

    assert [node.start_point[0] + 1 for node in nodes(root) if node.is_error or node.is_missing] == []
    for module in re.findall(rb"module \w+ '([^']+)'|loadJsonContent\('([^']+)'\)", text):
        assert (GUESTS / (module[0] or module[1]).decode()).is_file()


def nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def agent_templates() -> tuple[dict[str, Any], dict[str, Any]]:
    template = load("policy-agent.json")["policyRule"]["then"]["details"]["deployment"]["properties"][
        "template"
    ]
    return template, template["resources"][0]["properties"]["template"]
