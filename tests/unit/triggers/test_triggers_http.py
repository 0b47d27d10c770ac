"""The HTTP functions, called with the requests that the Functions host hands them."""

import copy
import json
from typing import Any

import azure.functions as func
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)

from shared.engine.application import Application
from shared.policy.vm_ids import MOST_VMS
from shared.storage.errors import MissingSetting, TornRead
from shared.triggers import http
from shared.triggers.once import Once
from shared.triggers.requests import LARGEST_BODY, LONGEST_KEY
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


def refused_with(status: int) -> HttpResponseError:
    error = HttpResponseError(f"the table service said {status}")
    error.status_code = status
    return error


def func_app(application: Once) -> func.FunctionApp:
    app = func.FunctionApp()
    app.register_functions(http.blueprint(application))
    return app


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
        (b"\xef\xbb\xbf{}", "body"),
        ('{"vms": []}'.encode("utf-16"), "body"),
        (b'{"vms": [], "vms": []}', "body"),
        (b'{"vms": ["\\ud800"]}', "body"),
        (b'{"vms": NaN}', "body"),
        (b'{"vms": -Infinity}', "body"),
        (b'{"vms": 1e400}', "vms"),
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
        ({"\ud800": 1}, "body"),
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
    assert told(stored) == {"policy": "nightly", **POLICY}
    [times] = told(shown).pop("times")
    assert (times["name"], times["next_time"]) == ("default", "2027-01-16T01:00:00.000Z")
    assert {**told(shown), "times": None} == {"policy": "nightly", **POLICY, "times": None}
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


async def test_a_body_that_is_too_large_is_said_to_be() -> None:
    house = House()
    for function in ("start_run", "put_policy"):
        body = b" " * LARGEST_BODY + b"1"
        problem = assert_problem(await call(house, function, body, policy="nightly"), 413)
        assert str(LARGEST_BODY) in problem["detail"]
    assert house.interruptions.seen == []


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/json5",
        "application/json\n",
        "*/*",
        "\udcff",
    ],
)
async def test_a_body_that_is_said_to_be_something_else_is_not_read(content_type: str) -> None:
    house = House()
    headers = {"Content-Type": content_type}
    assert_problem(await call(house, "start_run", GOOD, headers=headers), 415)
    assert_problem(await call(house, "put_policy", POLICY, headers=headers, policy="nightly"), 415)
    assert house.interruptions.seen == []


@pytest.mark.parametrize("encoding", ["gzip", "br, deflate", "x"])
async def test_a_body_that_is_compressed_is_not_read(encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    assert_problem(await call(House(), "start_run", GOOD, headers=headers), 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', ""],
)
async def test_json_is_taken_however_it_is_written_that_it_is_json(content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert (await call(House(), "start_run", GOOD, headers=headers)).status_code == 202


@pytest.mark.parametrize(
    "key", ["k" * (LONGEST_KEY + 1), "ä", "\udcff", "a\nb", "schedule\nnightly\n1", "\0"]
)
async def test_an_idempotency_key_that_not_everybody_can_write_is_refused(key: str) -> None:
    house = House()
    response = await call(house, "start_run", GOOD, headers={"Idempotency-Key": key})
    assert_problem(response, 400, "Idempotency-Key")
    assert house.interruptions.seen == []


@pytest.mark.parametrize("etag", ["", "x", "W/x", '"a", "b"', '"ä"', '"\udcff"', '"a\nb"'])
async def test_what_is_no_etag_is_refused_and_the_policy_stays(etag: str) -> None:
    house = House()
    await call(house, "put_policy", POLICY, policy="nightly")
    before = written(house)
    for function, body in (("put_policy", POLICY), ("delete_policy", b"")):
        response = await call(house, function, body, headers={"If-Match": etag}, policy="nightly")
        assert_problem(response, 400, "If-Match")
    assert written(house) == before


async def test_an_etag_that_no_policy_can_have_is_that_of_another_version_and_a_star_that_of_any() -> None:
    house = House()
    await call(house, "put_policy", POLICY, policy="nightly")
    for function, body in (("put_policy", POLICY), ("delete_policy", b"")):
        response = await call(house, function, body, headers={"If-Match": '"1"'}, policy="nightly")
        assert_problem(response, 412)
    star = {"If-Match": "*"}
    assert (await call(house, "put_policy", POLICY, headers=star, policy="nightly")).status_code == 200
    assert_problem(await call(house, "put_policy", POLICY, headers=star, policy="new"), 412)
    assert (await call(house, "delete_policy", headers=star, policy="nightly")).status_code == 204


CALLS = {
    "start_run": GOOD,
    "get_run": b"",
    "get_vm": b"",
    "cancel_run": b"",
    "put_policy": POLICY,
    "get_policy": b"",
    "delete_policy": b"",
}


@pytest.mark.parametrize("function", CALLS)
async def test_a_defect_is_told_without_a_word_about_the_inside_and_logged_with_its_id(
    function: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    house.app = None  # type: ignore[assignment]
    response = await call(house, function, CALLS[function], run="r", vm="v", policy="p")
    body = assert_problem(response, 500)
    for inside in ("NoneType", "Attribute", "Traceback", "File", ".py"):
        assert inside not in response.get_body().decode()
    [record] = caplog.records
    assert body["instance"].removeprefix("urn:uuid:") in record.getMessage()
    assert "NoneType" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServiceRequestError("Cannot connect to host stillframe.table.core.windows.net"), 503),
        (ServiceResponseError("Server disconnected"), 503),
        (ServiceResponseTimeoutError("read timed out"), 503),
        (refused_with(500), 503),
        (refused_with(503), 503),
        (refused_with(429), 503),
        (TornRead("saga"), 503),
        (refused_with(403), 500),
        (refused_with(400), 500),
        (ClientAuthenticationError("no credential worked"), 500),
        (MissingSetting("AzureWebJobsStorage"), 500),
    ],
    ids=repr,
)
async def test_storage_that_does_not_answer_is_worth_another_try_and_other_errors_are_defects(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def build() -> Application:
        raise error

    [function] = [
        each.get_user_function()
        for each in func_app(Once(build)).get_functions()
        if each.get_function_name() == "get_run"
    ]
    request = func.HttpRequest(method="GET", url="https://app.invalid", route_params={"run": "r"}, body=b"")
    response = await function(request)
    body = assert_problem(response, status)
    assert body["instance"].removeprefix("urn:uuid:") in caplog.text
    assert str(error) not in body["detail"]
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)
