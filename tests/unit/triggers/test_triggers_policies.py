"""Policies over HTTP: listed, checked, tried, in YAML; and the schema of their document."""

import json
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from jsonschema import Draft202012Validator

from shared.compute.errors import Denied
from shared.policy.selection import Scope, VmSummary
from shared.triggers.policy_document import schema
from shared.triggers.requests import LARGEST_BODY
from shared.triggers.yaml_documents import DEEPEST_YAML, LONGEST_YAML
from tests.unit.engine.fake_compute import GROUP, vm_id
from tests.unit.engine.house import T0, VM, House
from tests.unit.fuzz.documents_of_users import POLICIES
from tests.unit.triggers.contract import faults

SUB = "00000000-0000-0000-0000-000000000001"
EXAMPLE = Path("docs/policies.md").read_text(encoding="utf-8")
YAML = f"""
version: 1
description: "no: more"
vms: [{VM}]
schedules:
  - name: nightly          # in the night
    cron: 30 2 * * *
    time_zone: Europe/Berlin
    blackout: [{{from: 22:00, to: 23:30}}]
  - {{name: weekly, cron: "0 5 * * SUN", paused: true}}
"""


async def call(house: House, function: str, body: Any = b"", **more: Any) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers, params = more.pop("headers", {}), more.pop("params", {})
    url = "https://app.invalid/api"
    request = func.HttpRequest("POST", url, headers=headers, params=params, route_params=more, body=data)
    response: func.HttpResponse = await house.functions[function](request)
    return response.status_code, json.loads(response.get_body() or b"{}")


async def yaml(house: House, function: str, text: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return await call(house, function, text.encode(), headers={"content-type": "application/yaml"}, **more)


def tagged(name: str, **tags: str) -> VmSummary:
    return VmSummary(
        id=vm_id(name),
        name=name,
        resource_group=GROUP.rpartition("/")[2],
        subscription=SUB,
        tags=tuple(tags.items()),
    )


async def test_yaml_is_stored_as_the_json_that_it_stands_for() -> None:
    house = House()
    status, stored = await yaml(house, "put_policy", YAML, policy="nightly")
    assert (status, stored["description"]) == (200, "no: more")
    assert stored["schedules"][0]["blackout"] == [{"from": "22:00", "to": "23:30"}]
    _, shown = await call(house, "get_policy", policy="nightly")
    assert faults("StoredPolicy", shown) == []
    assert [one["name"] for one in shown["times"]] == ["nightly", "weekly"]
    assert shown["times"][1]["next_time"] is None


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("vms: [", "body", "expected YAML"),
        ("a: 1\na: 2", "body", "'a' comes twice in one object (line 2, column 1)"),
        ("a: &x [1]\nb: *x", "body", "anchors and aliases are not read"),
        ("a: !!python/object:os.system x", "body", "tags are not read"),
        ("a: {<<: {b: 1}}", "body", "merged keys"),
        ("a: 1\n---\nb: 2", "body", "one document alone"),
        ("", "body", "not an empty text"),
        ("[" * (DEEPEST_YAML + 1), "body", "levels"),
        ("a: " + "x" * LONGEST_YAML, "body", "at most"),
        ("vms: [1]", "vms[0]", "expected a text"),
        (YAML.replace("paused: true", "paused: yes"), "schedules[1].paused", "true or false"),
        (YAML.replace("cron: 30 2 * * *", "cron: 30"), "schedules[0].cron", "a text"),
    ],
)
async def test_yaml_that_json_has_not_is_refused_and_nothing_is_stored(
    text: str, field: str, words: str
) -> None:
    house = House()
    status, problem = await yaml(house, "put_policy", text, policy="nightly")
    assert (status, problem["field"]) == (400, field)
    assert words in problem["detail"]
    assert not house.tables._tables["policies"]


async def test_a_yaml_body_is_bounded_and_in_utf_8() -> None:
    house, kind = House(), {"content-type": "text/yaml; charset=utf-8"}
    assert (await call(house, "validate_policy", b"x" * (LARGEST_BODY + 1), headers=kind))[0] == 413
    assert (await call(house, "validate_policy", b"a: \xff", headers=kind))[0] == 400


async def test_a_valid_policy_is_answered_in_one_form_and_not_stored() -> None:
    house = House()
    document = {"vms": [VM], "schedule": {"cron": "0 2 * * *"}, "snapshots": None}
    status, answer = await call(house, "validate_policy", document)
    assert status == 200
    schedules = [{"name": "default", "cron": "0 2 * * *"}]
    assert answer["document"] == {"version": 1, "vms": [VM], "schedules": schedules}
    assert faults("ValidPolicy", answer) == []
    assert not house.tables._tables["policies"]
    status, problem = await call(house, "validate_policy", {"vms": [VM], "schedule": {"cron": "61 * * * *"}})
    assert (status, problem["field"]) == (400, "schedule.cron")


async def test_policies_are_listed_by_name_page_by_page() -> None:
    house = House()
    for name in ("c", "a", "b"):
        await call(house, "put_policy", {"vms": [VM], "schedule": {"cron": "0 2 * * *"}}, policy=name)
    await house.policies.put("b", {"vms": "of an older version"})
    _, page = await call(house, "list_policies", params={"limit": "2"})
    assert faults("Policies", page) == []
    assert [(one["policy"], one["problem"] is None) for one in page["items"]] == [("a", True), ("b", False)]
    place = page["continuation"]
    _, page = await call(house, "list_policies", params={"limit": "2", "continuation": place})
    assert [one["policy"] for one in page["items"]] == ["c"]
    assert page["continuation"] is None
    for params in ({"limit": "0"}, {"continuation": "!"}, {"limt": "1"}):
        assert (await call(house, "list_policies", params=params))[0] == 400


async def test_a_preview_says_which_vms_by_which_rule_and_when() -> None:
    house = House()
    house.compute.vms = [tagged(f"vm-{n}", env="prod") for n in range(120)] + [tagged("vm-old", env="prod")]
    rule = {"subscriptions": [SUB], "tags": {"tag": "env", "equals": "prod"}}
    document = {
        "vms": [vm_id("gone")],
        "selection": {"include": [rule], "exclude": [{"names": ["*-old"]}]},
        "schedules": [
            {
                "name": "hourly",
                "cron": "0 * * * *",
                "blackout": [{"from": "09:00", "to": "10:00"}],
                "guest_processing": {"attempts": 1},
            }
        ],
        "groups": [
            {"name": "seven", "selection": {"include": [{"names": ["vm-7?"], "tags": rule["tags"]}]}},
            {"name": "none", "vms": [vm_id("gone")], "selection": {"include": [{"names": ["x"]}]}},
            {"name": "many", "selection": {"include": [{"names": ["*"]}]}},
        ],
    }
    status, view = await call(house, "try_policy", document, params={"limit": "1000"})
    assert status == 200
    assert faults("PolicyPreview", view) == []
    assert (view["complete"], view["selected_count"], view["excluded_count"]) == (True, 121, 1)
    by_name = {one["name"]: (one["rule"], one["found"]) for one in view["selected"]}
    assert by_name["gone"] == ("vms", None)
    assert by_name["vm-7"] == ("selection.include[0]", True)
    assert [(one["name"], one["rule"]) for one in view["excluded"]] == [("vm-old", "selection.exclude[0]")]
    [hourly] = view["schedules"]
    assert hourly["guest_processing_changes"] == ["attempts"]
    assert len(hourly["next_times"]) == 5
    seven, none, many = view["groups"]
    assert (seven["group"], seven["count"], seven["problem"]) == ("seven", 10, None)
    assert {one["name"] for one in seven["vms"]} == {f"vm-7{n}" for n in range(10)}
    assert (none["count"], many["count"]) == (1, 110)
    assert "Fewer than two" in none["problem"]
    assert "no more than 32" in many["problem"]
    assert {one["name"]: one["group"] for one in view["selected"]}["vm-75"] == "seven"
    assert hourly["in_blackout"] == hourly["next_times"][:1] == ["2027-01-15T09:00:00.000Z"]
    assert not house.tables._tables["policies"]
    await call(house, "put_policy", document, policy="all")
    _, stored = await call(house, "preview_policy", policy="all", params={"limit": "2"})
    assert (stored["policy"], len(stored["selected"]), stored["selected_count"]) == ("all", 2, 121)


async def test_a_preview_that_could_not_read_all_says_so() -> None:
    house = House()
    house.compute.unlistable[Scope(SUB)] = Denied("AuthorizationFailed", "no right")
    _, view = await call(house, "try_policy", {"selection": {"include": [{"subscriptions": [SUB]}]}})
    assert (view["complete"], view["selected_count"]) == (False, 0)
    assert view["unread"][0]["code"] == "AuthorizationFailed"


@pytest.mark.parametrize("name", ["preview", "validate"])
async def test_no_policy_is_named_like_a_call(name: str) -> None:
    status, problem = await call(House(), "put_policy", {"vms": [VM]}, policy=name)
    assert (status, problem["field"]) == (400, "policy")


async def test_the_schema_that_is_answered_takes_every_genuine_policy() -> None:
    status, answered = await call(House(), "get_policy_schema")
    assert status == 200
    assert answered == schema()
    Draft202012Validator.check_schema(answered)
    for document in POLICIES:
        assert list(Draft202012Validator(answered).iter_errors(document)) == []
    assert list(Draft202012Validator(answered).iter_errors({"vms": [VM], "colour": 1}))


def test_the_clock_of_these_tests_is_an_hour_before_a_blackout() -> None:
    assert T0 % 86_400_000 == 8 * 3_600_000


async def test_the_example_of_the_page_about_policies_is_one() -> None:
    text = EXAMPLE.split("```yaml\n")[1].split("```")[0]
    status, answer = await yaml(House(), "validate_policy", text)
    assert (status, answer.get("valid")) == (200, True), answer
