"""The HTTP functions, called with the requests that the Functions host hands them."""

import copy
import json
from typing import Any

import azure.functions as func
import pytest

from shared.policy.documents import MOST_VMS
from shared.triggers.http import LARGEST_BODY
from tests.unit.engine.fake_compute import GROUP, vm_id
from tests.unit.engine.house import SCRIPTS, VM, House

GOOD = {"vms": [VM], "guest_processing": SCRIPTS}
LONG_GROUP = GROUP.replace("/app", "/" + "g" * 90)


async def call(
    house: House, function: str, body: Any = b"", *, headers: dict[str, str] | None = None, **route: str
) -> func.HttpResponse:
    request = func.HttpRequest(
        method="POST",
        url="https://app.invalid/api",
        headers=headers or {},
        route_params=route,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )
    response: func.HttpResponse = await house.functions[function](request)
    return response


def told(response: func.HttpResponse) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.get_body())
    return body


def assert_problem(response: func.HttpResponse, status: int, field: str | None = None) -> dict[str, Any]:
    body = told(response)
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    assert (body["status"], body["type"], body.get("field")) == (status, "about:blank", field)
    assert body["title"]
    assert body["detail"]
    return body


def written(house: House) -> str:
    return repr([house.tables._tables, house.queues._queues])


async def test_a_run_is_accepted_and_says_where_it_is() -> None:
    house = House()
    response = await call(house, "start_run", GOOD)
    assert (response.status_code, response.mimetype) == (202, "application/json")
    assert told(response) == {"run": "run-0001", "href": "/api/runs/run-0001"}
    assert response.headers["Location"] == "/api/runs/run-0001"
    await house.settle()
    shown = await call(house, "get_run", run="run-0001")
    assert (shown.status_code, told(shown)["state"]) == (200, "ended")


@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key"])
async def test_the_same_request_with_the_same_key_is_accepted_again_as_the_same_run(header: str) -> None:
    house = House()
    answers = [await call(house, "start_run", GOOD, headers={header: "k"}) for _ in range(2)]
    assert told(answers[0]) == told(answers[1])
    assert [answer.status_code for answer in answers] == [202, 202]


async def test_another_request_with_the_same_key_is_refused() -> None:
    house = House()
    await call(house, "start_run", GOOD, headers={"Idempotency-Key": "k"})
    before = written(house)
    other = {**GOOD, "vms": [vm_id("db-2")]}
    assert_problem(await call(house, "start_run", other, headers={"Idempotency-Key": "k"}), 422)
    assert written(house) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe\xff", "body"),
        (b"\x00", "body"),
        (b"[" * 100_000, "body"),
        (b'{"vms": ' + b"9" * 5_000 + b"}", "body"),
        (b" " * (LARGEST_BODY + 1), "body"),
        (b"[]", "document"),
        (b"null", "document"),
        (b'"vms"', "document"),
        (b"{}", "vms"),
        ({"vms": ["db-1"]}, "vms[0]"),
        ({"vms": [VM, VM]}, "vms[1]"),
        ({"vms": [VM], "guest_processing": {"attempts": 9}}, "guest_processing.attempts"),
        ({"vms": [VM], "guest_processing": {"attemts": 1}}, "guest_processing.attemts"),
        ({"vms": [VM], "snapshots": {"tags": {"x": 1}}}, "snapshots.tags.x"),
        ({"policy": "No Name"}, "policy"),
        ({"\ud800": 1}, "\ud800"),
    ],
)
async def test_a_bad_request_is_answered_with_the_field_and_nothing_is_written(body: Any, field: str) -> None:
    house = House()
    before = written(house)
    response = await call(house, "start_run", body, headers={"Idempotency-Key": "k"})
    assert_problem(response, 400, field)
    assert written(house) == before
    assert house.interruptions.seen == []


async def test_an_unknown_field_is_answered_with_the_nearest_known_one() -> None:
    response = await call(House(), "start_run", {"vm": [VM]})
    assert "did you mean vms?" in assert_problem(response, 400, "vm")["detail"]


async def test_a_run_of_an_unknown_policy_is_not_found() -> None:
    house = House()
    assert_problem(await call(house, "start_run", {"policy": "nobody"}), 404)
    assert house.interruptions.seen == []


@pytest.mark.parametrize("function", ["get_run", "cancel_run"])
@pytest.mark.parametrize("run", ["nobody", "active", "key-0123"])
async def test_an_unknown_run_is_not_found(function: str, run: str) -> None:
    house = House()
    await call(house, "start_run", GOOD)
    before = written(house)
    assert_problem(await call(house, function, run=run), 404)
    assert written(house) == before


@pytest.mark.parametrize("run", ["a/b", "a#b", "x" * 501, "a\nb", "?"])
async def test_a_name_that_no_run_can_have_is_refused(run: str) -> None:
    assert_problem(await call(House(), "get_run", run=run), 400)
    assert_problem(await call(House(), "cancel_run", run=run), 400)


async def test_a_vm_is_shown_by_its_name_in_any_case_and_by_its_saga() -> None:
    house = House()
    await call(house, "start_run", GOOD)
    waiting = told(await call(house, "get_vm", run="run-0001", vm="DB-1"))
    assert (waiting["phase"], waiting["history"]) == ("pending", [])
    await house.settle()
    by_name = await call(house, "get_vm", run="run-0001", vm="db-1")
    by_saga = await call(house, "get_vm", run="run-0001", vm=waiting["saga"])
    assert told(by_name) == told(by_saga)
    assert (told(by_name)["phase"], told(by_name)["grade"]) == ("done", "application")


async def test_the_links_of_a_run_lead_to_its_vms() -> None:
    house = House()
    await call(house, "start_run", GOOD)
    [vm] = told(await call(house, "get_run", run="run-0001"))["vms"]
    _, _, _, run, _, name = vm["href"].split("/")
    assert (await call(house, "get_vm", run=run, vm=name)).status_code == 200


async def test_a_vm_that_is_not_in_the_run_is_not_found() -> None:
    house = House()
    await call(house, "start_run", GOOD)
    assert_problem(await call(house, "get_vm", run="run-0001", vm="db-2"), 404)
    assert_problem(await call(house, "get_vm", run="nobody", vm="db-1"), 404)


async def test_a_name_that_two_vms_of_the_run_have_is_a_conflict() -> None:
    house = House()
    await call(house, "start_run", {"vms": [VM, VM.replace("/app/", "/other/")]})
    assert_problem(await call(house, "get_vm", run="run-0001", vm="db-1"), 409)


async def test_a_cancel_is_accepted_and_again_too() -> None:
    house = House()
    await call(house, "start_run", GOOD)
    for _ in range(2):
        response = await call(house, "cancel_run", run="run-0001")
        assert (response.status_code, response.headers["Location"]) == (202, "/api/runs/run-0001")
    await house.settle()
    shown = told(await call(house, "get_run", run="run-0001"))
    assert (shown["cancel_requested"], shown["vms"][0]["outcome"]) == (True, "cancelled")


POLICY: dict[str, Any] = {"vms": [VM], "schedule": {"cron": "0 2 * * *", "time_zone": "Europe/Berlin"}}


async def test_a_policy_is_stored_shown_and_removed() -> None:
    house = House()
    stored = await call(house, "put_policy", POLICY, policy="nightly")
    shown = await call(house, "get_policy", policy="nightly")
    assert (stored.status_code, shown.status_code) == (200, 200)
    assert told(stored) == told(shown) == {"policy": "nightly", **POLICY}
    assert stored.headers["ETag"] == shown.headers["ETag"]
    removed = await call(house, "delete_policy", policy="nightly")
    assert (removed.status_code, removed.get_body()) == (204, b"")
    assert_problem(await call(house, "get_policy", policy="nightly"), 404)
    assert_problem(await call(house, "delete_policy", policy="nightly"), 404)


async def test_a_policy_that_somebody_else_changed_is_neither_replaced_nor_removed() -> None:
    house = House()
    old = (await call(house, "put_policy", POLICY, policy="nightly")).headers["ETag"]
    await call(house, "put_policy", POLICY, policy="nightly")
    before = written(house)
    for function, body in (("put_policy", POLICY), ("delete_policy", b"")):
        assert_problem(await call(house, function, body, headers={"If-Match": old}, policy="nightly"), 412)
    assert_problem(await call(house, "put_policy", POLICY, headers={"If-Match": old}, policy="new"), 412)
    assert written(house) == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schedule": {"cron": "61 * * * *"}}, "schedule.cron"),
        ({"schedule": {"cron": "0 0 31 2 *"}}, "schedule.cron"),
        ({"schedule": {"cron": "0 2 * * *", "time_zone": "Mars"}}, "schedule.time_zone"),
        ({"vms": []}, "vms"),
        ({"retention": {}}, "retention"),
    ],
)
async def test_a_bad_policy_is_answered_with_the_field_and_the_stored_one_stays(
    change: dict[str, Any], field: str
) -> None:
    house = House()
    await call(house, "put_policy", POLICY, policy="nightly")
    before = written(house)
    bad = copy.deepcopy(POLICY) | change
    assert_problem(await call(house, "put_policy", bad, policy="nightly"), 400, field)
    assert written(house) == before


@pytest.mark.parametrize("function", ["put_policy", "get_policy", "delete_policy"])
async def test_a_name_that_no_policy_can_have_is_refused(function: str) -> None:
    house = House()
    assert_problem(await call(house, function, POLICY, policy="No/Name"), 400, "policy")
    assert house.interruptions.seen == []


async def test_a_valid_policy_that_does_not_fit_a_table_row_is_said_to_be_too_large() -> None:
    house = House()
    name = f"{LONG_GROUP}/providers/Microsoft.Compute/virtualMachines/{'v' * 59}"
    vms = [f"{name}{number:04}" for number in range(MOST_VMS)]
    assert_problem(await call(house, "put_policy", {"vms": vms}, policy="big"), 413)
    assert house.interruptions.seen == []


async def test_a_defect_is_no_problem_document_but_the_hosts_500() -> None:
    house = House()
    house.app = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await call(house, "get_run", run="r")
