"""The OpenAPI document says what the functions do, and no more."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from jsonschema import Draft202012Validator

from function_app import app
from local.documents import DOCS, DOCUMENTS, text_of
from shared.policy.documents import read_policy, read_run
from shared.triggers.openapi import document
from shared.triggers.rights import ANONYMOUS, FUNCTIONS, Right, right_of
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import SCRIPTS, VM, House
from tests.unit.triggers.contract import faults

DOCUMENT = document()
METHODS = ("get", "put", "post", "delete")
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    if method in METHODS
}
READERS = {"RunRequest": read_run, "Policy": read_policy}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_checked_in_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == text_of(name), "run make documents"


@cache  # an app gives its functions once
def registered() -> dict[str, tuple[str, str]]:
    """Give path and method of every HTTP function, by its name."""
    found = {}
    for function in app.get_functions():
        trigger: Any = function.get_trigger()
        if trigger.get_binding_name() != "httpTrigger":
            continue
        [method] = trigger.methods
        found[str(function.get_function_name())] = (f"/{trigger.route}", str(method.value).lower())
    return found


def test_every_function_is_in_the_document_and_nothing_else_is() -> None:
    assert {name: place[:2] for name, place in OPERATIONS.items()} == registered()


def test_every_function_has_one_right_and_the_document_names_it() -> None:
    listed = [name for names in FUNCTIONS.values() for name in names]
    assert sorted([*listed, *ANONYMOUS]) == sorted(registered())
    assert set(DOCUMENT["components"]["securitySchemes"]) == set(Right)
    for name, (_, _, operation) in OPERATIONS.items():
        assert operation["security"] == ([] if name in ANONYMOUS else [{right_of(name).value: []}])


def test_nothing_is_open_to_everybody_but_the_files_of_the_page() -> None:
    assert {OPERATIONS[name][0] for name in ANONYMOUS} == {"/ui", "/ui/{file}"}
    assert {OPERATIONS[name][1] for name in ANONYMOUS} == {"get"}


def test_who_may_look_changes_nothing_and_who_may_run_changes_no_policy() -> None:
    methods = {
        right: {(OPERATIONS[name][0], OPERATIONS[name][1]) for name in names}
        for right, names in FUNCTIONS.items()
    }
    assert {method for _, method in methods[Right.READ]} == {"get"}
    assert all(path.startswith(("/runs", "/preflight", "/rehearsals")) for path, _ in methods[Right.RUN])
    assert methods[Right.ADMIN] == {
        ("/policies/{policy}", "put"),
        ("/policies/validate", "post"),
        ("/policies/preview", "post"),
        ("/policies/{policy}", "delete"),
        ("/recovery-points/{point}", "delete"),
        ("/recovery-points/{point}/hold", "post"),
        ("/recovery-points/{point}/release", "post"),
        ("/recovery-points/rebuild", "post"),
        ("/reconciliation", "post"),
        ("/reconciliation/{finding}", "delete"),
        ("/retention/{policy}/apply", "post"),
        ("/retention/{policy}/try", "post"),
    }


@pytest.mark.parametrize("name", ["start_run", "put_policy", "validate_policy", "try_policy"])
def test_every_example_is_taken_by_its_reader(name: str) -> None:
    content = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]
    schema = content["schema"]["$ref"].rpartition("/")[2]
    assert content["examples"]
    for example in content["examples"].values():
        READERS[schema](example["value"])
        assert faults(schema, example["value"]) == []


def bodies() -> list[tuple[str, str, Any]]:
    """Give every example of a body in JSON that a call sends, with its operation and its schema."""
    return [
        (name, content["schema"]["$ref"].rpartition("/")[2], example["value"])
        for name, (_, _, operation) in OPERATIONS.items()
        if (content := operation.get("requestBody", {}).get("content", {}).get("application/json"))
        for example in content.get("examples", {}).values()
    ]


@pytest.mark.parametrize(("schema", "example"), [pytest.param(*more, id=name) for name, *more in bodies()])
def test_every_example_of_a_body_is_of_its_schema(schema: str, example: Any) -> None:
    assert faults(schema, example) == []


def test_no_two_schemas_have_the_same_name() -> None:
    modules = [
        import_module(f"shared.triggers.{path.stem}")
        for path in Path("shared/triggers").glob("*_schemas.py")
        if "def schemas()" in path.read_text(encoding="utf-8")
    ]
    served = DOCUMENT["components"]["schemas"]

    for module in modules:
        assert {name: served[name] for name in module.schemas()} == module.schemas(), module.__name__


@pytest.mark.parametrize("schema", DOCUMENT["components"]["schemas"])
def test_every_schema_is_one_and_every_object_that_is_sent_is_closed(schema: str) -> None:
    described = DOCUMENT["components"]["schemas"][schema]
    Draft202012Validator.check_schema(described)
    if schema in ("Policy", "RunOfPolicy", "RunOfVms", "GuestProcessing", "GuestSettings", "Override"):
        assert described["additionalProperties"] is False


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for item in value.values() for each in references(item)]
        return [each for item in value for each in references(item)] if isinstance(value, list) else []

    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) == known, "one leads nowhere, or a schema is not used"
    links = [
        link
        for _, _, operation in OPERATIONS.values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert links
    assert all(link["operationId"] in OPERATIONS for link in links)


def documented(schema: str, shown: dict[str, Any]) -> set[str]:
    return set(shown) - set(DOCUMENT["components"]["schemas"][schema]["properties"])


async def test_what_is_shown_of_runs_fits_the_document_at_every_time() -> None:
    house = House()
    run = await house.ask(VM, vm_id("db-2"))
    vms = [await house.app.reading.vm(run, "db-1")]
    runs = [await house.app.reading.run(run)]
    while await house.work():
        vms.append(await house.app.reading.vm(run, "db-1"))
        runs.append(await house.app.reading.run(run))
    await house.settle()
    vms.append(await house.app.reading.vm(run, "db-1"))
    runs.append(await house.app.reading.run(run))
    assert {"pending", "done"} < {view["phase"] for view in vms}
    for view in runs:
        assert faults("Run", view) == []
        assert documented("Run", view) == set()
        assert all(documented("RunVm", vm) == set() for vm in view["vms"])
    for view in vms:
        assert faults("Vm", view) == []
        assert documented("Saga", view) == set()


@pytest.mark.parametrize("more", [{"recovery_point": "restore_point"}, {}])
async def test_restore_points_and_runs_that_are_cancelled_fit_the_document_too(more: dict[str, Any]) -> None:
    house = House()
    request = {"vms": [VM], "guest_processing": SCRIPTS, "snapshots": more}
    run = await house.app.policies.start(read_run(request), "http", "")
    if not more:
        await house.app.runs.cancel(run)
    await house.settle()
    view = await house.app.reading.vm(run, "db-1")
    assert view["phase"] == "done"
    assert view["outcome"] == ("succeeded" if more else "cancelled")
    assert faults("Vm", view) == []
    assert faults("Run", await house.app.reading.run(run)) == []


async def test_the_document_is_shown_to_who_may_read() -> None:
    response = await House().functions["get_api"](func.HttpRequest(method="GET", url="/", body=b""))
    assert (response.status_code, response.mimetype) == (200, "application/json")
    assert right_of("get_api") is Right.READ
