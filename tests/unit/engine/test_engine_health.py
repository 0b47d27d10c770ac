"""The health report: what the app rests on, what is late, put aside or turned away. It never raises."""

import json
from collections.abc import Callable

import azure.functions as func
import pytest
from azure.core.exceptions import ServiceRequestError

from shared.compute.errors import Denied
from shared.engine import health, lateness
from shared.engine.application import Application
from shared.engine.health import KEPT_MS, TOO_LATE_MS
from shared.engine.queue_names import ACKS, GROUPS, NOTICES, POINTS, RUNS, STEPS
from shared.settings import SettingError
from shared.storage.findings import Finding, FindingKind, FindingTable
from shared.triggers import health as health_trigger
from shared.triggers.once import Once
from shared.version import VERSION
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import House

REQUEST = func.HttpRequest(method="GET", url="/api/health", body=b"")


async def report(house: House) -> tuple[int, dict[str, object]]:
    answer = await house.functions["health"](REQUEST)
    return answer.status_code, json.loads(answer.get_body())


async def waiting(house: House) -> str:
    """Start a run whose agent never answers."""
    house.compute.start_guest = lambda _vm, _bootstrap: None
    run = await house.ask()
    await house.work()
    return run


async def test_an_app_at_rest_is_healthy_and_says_its_version() -> None:
    status, document = await report(House())

    assert status == 200
    assert (document["status"], document["problems"], document["attention"]) == ("healthy", [], [])
    assert document["version"] == VERSION
    assert document["arm"]["ok"] is True  # type: ignore[index]
    assert document["poison"] == dict.fromkeys(
        [f"{queue}-poison" for queue in (RUNS, STEPS, GROUPS, POINTS, NOTICES, ACKS)], 0
    )


async def test_more_findings_than_are_counted_are_said_to_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FINDINGS_AT_MOST", 2)
    house = House()
    for number in range(3):
        resource = f"/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/s{number}"
        finding = Finding(
            kind=FindingKind.ORPHAN,
            resource_id=resource,
            point_id="p",
            policy="nightly",
            detail="nobody's",
            first_seen=house.clock(),
            last_seen=house.clock(),
        )
        await FindingTable(house.tables).note(finding)
    status, document = await report(house)

    findings = document["findings"]
    assert isinstance(findings, dict)
    assert (status, findings["count"], findings["complete"]) == (200, 2, False)
    attention = document["attention"]
    assert isinstance(attention, list)
    assert ["more than 2 findings" in told for told in attention] == [True]


async def test_a_saga_that_goes_on_in_time_is_not_overdue() -> None:
    house = House()
    await waiting(house)
    _, document = await report(house)

    overdue = document["overdue"]
    assert isinstance(overdue, dict)
    del overdue["ms"]
    assert overdue == {"ok": True, "count": 0, "oldest": None, "sagas_looked_at": 1, "complete": True}


@pytest.mark.parametrize(("late_ms", "status"), [(60_000, 200), (TOO_LATE_MS + 1_000, 503)])
async def test_an_overdue_saga_is_named_and_one_that_is_much_too_late_is_a_problem(
    late_ms: int, status: int
) -> None:
    house = House()
    run = await waiting(house)
    saga = (await house.view(run))["saga"]
    state = (await house.sagas.load(saga)).state
    assert state.deadline is not None
    house.clock.now = state.deadline + late_ms
    found, document = await report(house)

    assert found == status
    told = f"saga {saga} of run {run} is overdue by {late_ms // 1000} s while arming"
    assert document["problems" if status == 503 else "attention"] == [told]
    oldest = document["overdue"]["oldest"]  # type: ignore[index]
    assert (oldest["run"], oldest["saga"], oldest["phase"]) == (run, saga, "arming")


async def test_a_saga_that_never_started_is_overdue() -> None:
    house = House()
    await house.ask()
    house.clock.now += 200_000
    _, document = await report(house)

    assert document["overdue"]["oldest"]["phase"] == "pending"  # type: ignore[index]


async def test_one_look_takes_in_no_more_than_it_may_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "SAGAS_AT_MOST", 3)
    house = House()
    await house.ask(*(vm_id(f"db-{number}") for number in range(5)))
    _, document = await report(house)

    assert document["overdue"]["sagas_looked_at"] == 3  # type: ignore[index]
    assert document["overdue"]["complete"] is False  # type: ignore[index]


async def test_poison_messages_and_turned_away_acks_are_counted() -> None:
    house = House()
    await house.queues.send(f"{STEPS}-poison", "no message of ours")
    await house.counters.add("acks", "2027-01-15", {"rejected_stranger": 2, "ignored_saga_done": 1})
    house.clock.now = 1_800_000_000_000  # 2027-01-15
    status, document = await report(house)

    assert status == 200
    assert document["attention"] == ["1 messages in stillframe-steps-poison"]
    assert document["acks"]["2027-01-15"] == {"rejected": {"stranger": 2}, "ignored": {"saga_done": 1}}  # type: ignore[index]


async def broken(*_: object) -> int:
    raise ServiceRequestError("https://account.invalid/queue?sig=secret cannot be reached")


def break_arm(house: House) -> None:
    house.compute.errors["reach"] = [Denied("NoToken", "no token for https://secret")]


def break_queues(house: House) -> None:
    house.queues.count = broken  # type: ignore[method-assign, assignment]


def break_tables(house: House) -> None:
    house.tables.get = broken  # type: ignore[method-assign, assignment]
    house.tables.rows = broken  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("breaks", "problems"),
    [
        (break_arm, ["Azure Resource Manager cannot be reached: NoToken"]),
        (
            break_queues,
            [
                "the app's queues cannot be reached: ServiceRequestError",
                "the guests' queues cannot be reached: ServiceRequestError",
            ],
        ),
        (
            break_tables,
            [
                "the tables cannot be read: ServiceRequestError",
                "it cannot be seen whether a saga is overdue: TypeError",
            ],
        ),
    ],
)
async def test_what_cannot_be_reached_is_named_and_nothing_of_its_error_is_shown_but_the_class(
    breaks: Callable[[House], None], problems: list[str]
) -> None:
    house = House()
    breaks(house)
    status, document = await report(house)

    assert (status, document["status"], document["problems"]) == (503, "unhealthy", problems)
    assert "secret" not in json.dumps(document)


async def test_a_report_is_kept_for_some_seconds_so_that_asking_costs_nothing() -> None:
    house = House()
    assert (await report(house))[0] == 200
    break_arm(house)
    assert (await report(house))[0] == 200
    house.clock.now += KEPT_MS
    assert (await report(house))[0] == 503


async def test_an_app_without_its_settings_says_which_one_is_missing() -> None:
    def fails() -> Application:
        raise SettingError("STILLFRAME_MASTER_KEY", "at least 32 bytes as hex digits")

    app = func.FunctionApp()
    app.register_functions(health_trigger.blueprint(Once(fails)))
    [function] = app.get_functions()
    answer = await function.get_user_function()(REQUEST)

    assert answer.status_code == 503
    assert "STILLFRAME_MASTER_KEY" in answer.get_body().decode()


def test_the_queues_of_the_report_are_those_that_have_functions() -> None:
    house = House()

    assert {f"{ACKS}-poison", f"{STEPS}-poison"} <= set(house.functions)
