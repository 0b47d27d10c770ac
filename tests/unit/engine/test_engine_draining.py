"""While the app is being drained no run begins, those under way end, and what is due stays due."""

import json
from typing import Any

import azure.functions as func
import pytest

from shared.engine.draining import Draining
from shared.engine.health import KEPT_MS
from shared.settings import SettingError, read_settings
from tests.unit.engine.house import T0, VM, House

NIGHTLY: dict[str, Any] = {"vms": [VM], "schedule": {"cron": "* * * * *"}}


def drained(house: House, *, drain: bool = True) -> None:
    """Start the app anew with or without the setting."""
    house.drain = drain
    house.app = house.another_instance()


async def post(house: House, function: str, body: Any, key: str = "") -> func.HttpResponse:
    headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    request = func.HttpRequest(method="POST", url="/api/x", body=json.dumps(body).encode(), headers=headers)
    answer: func.HttpResponse = await house.functions[function](request)
    return answer


async def health(house: House) -> dict[str, Any]:
    house.clock.now += KEPT_MS
    request = func.HttpRequest(method="GET", url="/api/health", body=b"")
    document: dict[str, Any] = json.loads((await house.functions["health"](request)).get_body())
    return document


@pytest.mark.parametrize("function", ["start_run", "start_rehearsal"])
async def test_who_asks_for_a_run_is_told_that_none_begins_and_when_to_ask_again(function: str) -> None:
    house = House()
    drained(house)
    answer = await post(house, function, {"vms": [VM]})
    body = json.loads(answer.get_body())
    assert (answer.status_code, body["title"]) == (503, "No new run begins")
    assert "being drained (STILLFRAME_DRAIN)" in body["detail"]
    assert answer.headers["Retry-After"] == "60"
    assert house.tables._tables["runs"] == {}


async def test_a_repeated_request_is_answered_with_the_run_that_it_became() -> None:
    house = House()
    run = await house.ask(key="once")
    drained(house)
    assert await house.ask(key="once") == run
    with pytest.raises(Draining):
        await house.ask(key="another")


async def test_runs_under_way_come_to_their_end_and_health_counts_them() -> None:
    house = House()
    run = await house.ask()
    drained(house)
    document = await health(house)
    assert document["draining"] is True
    assert document["status"] == "healthy"
    assert document["attention"] == ["draining: no new run begins; 1 VMs of runs under way are left"]
    await house.settle()
    view = await house.view(run)
    assert (view["phase"], view["outcome"]) == ("done", "succeeded")
    document = await health(house)
    assert document["attention"] == ["draining: no new run begins, and no VM of a run is left"]


async def test_what_is_due_meanwhile_begins_once_afterwards() -> None:
    house = House()
    await house.app.policies.put("nightly", NIGHTLY, None)
    drained(house)
    house.clock.now = T0 + 600_000
    assert await house.app.policies.start_due() == []
    drained(house, drain=False)
    assert len(await house.app.policies.start_due()) == 1
    assert await house.app.policies.start_due() == []
    assert (await health(house))["draining"] is False


@pytest.mark.parametrize(("text", "wanted"), [("", False), ("true", True), ("True", True), ("false", False)])
def test_the_setting_says_whether(text: str, wanted: bool) -> None:  # noqa: FBT001 - what the setting gives
    environment = {"STILLFRAME_MASTER_KEY": "00" * 32, "STILLFRAME_DRAIN": text}
    assert read_settings(environment).drain is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STILLFRAME_DRAIN", "yes"),
        ("STILLFRAME_KEEP_RUNS_DAYS", "30"),
        ("STILLFRAME_KEEP_RUNS_DAYS", "ever"),
        ("STILLFRAME_KEEP_RUNS_DAYS", "36501"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError) as refused:
        read_settings({"STILLFRAME_MASTER_KEY": "00" * 32, name: value})
    assert refused.value.name == name


def test_runs_are_kept_for_400_days_where_nothing_is_said() -> None:
    environment = {"STILLFRAME_MASTER_KEY": "00" * 32}
    assert read_settings(environment).keep_runs_days == 400
    assert read_settings(environment | {"STILLFRAME_KEEP_RUNS_DAYS": "31"}).keep_runs_days == 31
