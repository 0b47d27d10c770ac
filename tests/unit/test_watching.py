"""The alerts and the workbook find what the app really writes, and nothing else."""

import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.engine import measuring
from shared.engine.ack_counts import KeptAckCounts
from shared.engine.queue_names import GROUPS, RUNS, STEPS, GroupMessage, RunMessage, RunTask
from shared.policy.documents import read_run
from shared.saga.causes import Cause
from shared.storage.counters import CounterTable
from tests.templates.kql import QueryError, run
from tests.unit.engine.house import DAY_MS, SCRIPTS, VM, House
from tests.unit.engine.test_engine_concurrency import RETRY, started, throttled
from tests.unit.triggers.test_triggers_queues import message

WATCH = Path(__file__).resolve().parents[2] / "infra" / "watch"
ALERTS: dict[str, str] = {
    each["name"]: "\n".join(each["query"]) for each in json.loads((WATCH / "alerts.json").read_text())
}
CHARTS: dict[str, str] = {
    each["name"]: each["content"]["query"]
    for each in json.loads((WATCH / "workbook.json").read_text())["items"]
    if each["type"] == 3
}
#: Columns of the tables of Application Insights (Microsoft Learn, "Azure Monitor Logs reference").
COLUMNS: Mapping[str, Sequence[str]] = {
    "AppTraces": ("TimeGenerated", "Message", "SeverityLevel", "Properties"),
    "AppMetrics": ("TimeGenerated", "Name", "Sum", "Min", "Max", "ItemCount", "Properties"),
}


async def well(house: House) -> None:
    await house.ask()
    await house.settle()


async def guest_warns(house: House) -> None:
    house.guest().warnings = [
        {"kind": "handler", "name": "postgresql:5432", "code": "probe_failed", "detail": "no answer"}
    ]
    await well(house)


async def capture_fails(house: House) -> None:
    house.compute.failing_disks = {"db-1-os"}
    await well(house)


async def agent_is_silent(house: House) -> None:
    house.guest().deaf_to = {"arm"}
    await house.ask(on_guest_failure="fail", attempts=1)
    await house.settle()


async def script_fails_and_a_lower_grade_is_kept(house: House) -> None:
    house.guest().script_fails = True
    await house.ask(on_guest_failure="continue")
    await house.settle()


async def rehearsal_fails(house: House) -> None:
    house.guest().script_fails = True
    document = {"vms": [VM], "guest_processing": SCRIPTS}
    await house.app.policies.start(read_run(document), "http", "", rehearsal=True)
    await house.settle()


async def first_try_fails_and_the_second_is_well(house: House) -> None:
    house.compute.errors["start_agent"] = throttled(8)
    await started(house, 1, retry=RETRY)
    await house.settle()


async def every_try_fails(house: House) -> None:
    house.compute.errors["start_agent"] = throttled(200)
    await started(house, 1, retry=RETRY)
    await house.settle()


async def message_is_lost_and_the_sweep_mends_it(house: House) -> None:
    await house.ask()
    for lost in house.messages(STEPS):
        await house._delete(STEPS, lost)
    await house.settle()


async def message_is_poison(house: House) -> None:
    await house.functions[f"{STEPS}-poison"](message(b"no message"))


async def message_of_a_group_is_poison(house: House) -> None:
    poison = GroupMessage(run_id="run-1", name="shop").text()
    await house.functions[f"{GROUPS}-poison"](message(poison.encode()))


async def run_task_is_poison(house: House) -> None:
    run_id = await house.ask()
    await house.settle()
    poison = RunMessage(RunTask.SWEEP, run_id).text()
    await house.functions[f"{RUNS}-poison"](message(poison.encode()))


async def schedule_is_missed(house: House) -> None:
    schedule = {"cron": "0 9 * * *", "start_within_ms": 3_600_000}
    settings = {"vms": [VM], "guest_processing": {"enabled": False}, "schedule": schedule}
    await house.app.policies.put("nightly", settings, None)
    house.clock.now += DAY_MS // 2
    await house.app.policies.start_due()


async def receiver_is_away(house: House) -> None:
    receiver = {"on": ["success"], "webhook": {"url": "http://127.0.0.1:9/", "secret": "ops"}}
    document = {"vms": [VM], "guest_processing": {"enabled": False}, "notifications": [receiver]}
    await house.app.policies.start(read_run(document), "http", "")
    await house.settle(house.clock() + 3 * DAY_MS)


async def acks_are_forged(house: House) -> None:
    counts = KeptAckCounts(CounterTable(house.tables), house.clock)
    counts.turned_away("bad_signature")
    assert counts._writing is not None
    await counts._writing


#: What happens, and which alerts it is to raise.
SCENES: dict[Callable[[House], Awaitable[None]], set[str]] = {
    well: set(),
    guest_warns: set(),
    capture_fails: {"vm-failed"},
    agent_is_silent: {"vm-failed", "agent-missing"},
    script_fails_and_a_lower_grade_is_kept: {"grade-below-policy"},
    rehearsal_fails: set(),
    first_try_fails_and_the_second_is_well: set(),
    every_try_fails: {"vm-failed", "agent-missing"},
    message_is_lost_and_the_sweep_mends_it: {"saga-overdue"},
    message_is_poison: {"poison-message"},
    message_of_a_group_is_poison: {"poison-message"},
    run_task_is_poison: {"poison-message"},
    schedule_is_missed: {"run-missed"},
    receiver_is_away: {"notice-given-up"},
    acks_are_forged: {"forged-acks"},
}


async def lines_of(
    scene: Callable[[House], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> list[dict[str, Any]]:
    """What is in AppTraces once this has happened."""
    caplog.clear()
    caplog.set_level(logging.INFO, "stillframe")
    environment = {
        "STILLFRAME_WEBHOOK_SECRET_OPS": "whsec_" + "A" * 32,
        "STILLFRAME_WEBHOOK_NETWORKS": "127.0.0.1/32",
    }
    await scene(House(environment=environment))
    return [
        {
            "TimeGenerated": record.created,
            "Message": record.getMessage(),
            "SeverityLevel": record.levelno // 10 - 1,
        }
        for record in caplog.records
        if record.name.startswith("stillframe.")
    ]


def test_every_alert_is_explained_with_how_often_it_looks() -> None:
    page = (WATCH.parents[1] / "docs" / "deploy.md").read_text()
    told = re.findall(r"^\| `([a-z-]+)` \| (\d+) min \|", page, re.MULTILINE)
    rules = json.loads((WATCH / "alerts.json").read_text())
    assert sorted(told) == sorted((rule["name"], str(rule["minutes"])) for rule in rules)


def test_every_alert_has_something_that_raises_it() -> None:
    assert set().union(*SCENES.values()) == set(ALERTS)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_what_happens_raises_its_alerts_and_no_others(
    scene: Callable[[House], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    lines = await lines_of(scene, caplog)
    raised = {name for name, query in ALERTS.items() if run(query, {"AppTraces": lines}, COLUMNS)}
    assert raised == SCENES[scene], [line["Message"] for line in lines]


async def test_an_alert_names_the_vm_its_run_and_its_saga(caplog: pytest.LogCaptureFixture) -> None:
    [row] = run(ALERTS["vm-failed"], {"AppTraces": await lines_of(capture_fails, caplog)}, COLUMNS)
    assert (row["vm"], row["grade"], row["cause"]) == (VM, "none", "snapshot_failed")
    assert row["run"] == "run-0001"
    assert re.fullmatch("[0-9a-f]{20}", row["saga"])


async def test_the_host_may_put_something_before_a_line(caplog: pytest.LogCaptureFixture) -> None:
    lines = await lines_of(capture_fails, caplog)
    prefixed = [line | {"Message": f"[worker 1] {line['Message']}"} for line in lines]
    assert len(run(ALERTS["vm-failed"], {"AppTraces": prefixed}, COLUMNS)) == 1


def test_a_grade_is_below_the_policys_for_every_cause_but_those_that_only_mar_it() -> None:
    named = set(re.findall(r"'(\w+)'", ALERTS["grade-below-policy"].partition("!in")[2]))
    assert named <= set(Cause)
    assert named == {Cause.POST_SCRIPT_FAILED, Cause.WARNED, Cause.COPY_FAILED, Cause.LEFT_OVER}
    assert set(re.findall(r"'(agent_\w+)'", ALERTS["agent-missing"])) == {
        cause for cause in Cause if cause.startswith("agent_")
    }


#: Each chart, and what it has to find something in.
SHOWN: dict[str, Callable[[House], Awaitable[None]]] = {
    "ends": well,
    "freeze-windows": well,
    "nearest-to-budget": well,
    "grades": well,
    "not-well": capture_fails,
    "warnings": guest_warns,
    "late": message_is_lost_and_the_sweep_mends_it,
    "forged-acks": acks_are_forged,
}
#: The charts that are of metrics, and what each is of.
MEASURED = {"overhead": "stillframe.freeze_overhead", "phases": "stillframe.phase.duration"}


def test_every_chart_is_looked_at() -> None:
    assert {*SHOWN, *MEASURED} == set(CHARTS)


@pytest.mark.parametrize("name", SHOWN)
async def test_a_chart_shows_what_happened(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert run(CHARTS[name], {"AppTraces": await lines_of(SHOWN[name], caplog)}, COLUMNS) != []


async def test_a_rehearsal_hides_nobodys_last_grade(caplog: pytest.LogCaptureFixture) -> None:
    assert run(CHARTS["grades"], {"AppTraces": await lines_of(rehearsal_fails, caplog)}, COLUMNS) == []


async def test_a_vm_that_was_tried_three_times_failed_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = await lines_of(every_try_fails, caplog)
    assert sum("stillframe try ended: vm=" in line["Message"] for line in lines) == 2
    assert len(run(ALERTS["vm-failed"], {"AppTraces": lines}, COLUMNS)) == 1


async def test_the_freeze_windows_are_those_of_the_line(caplog: pytest.LogCaptureFixture) -> None:
    lines = await lines_of(well, caplog)
    [told] = [line["Message"] for line in lines if "stillframe ended:" in line["Message"]]
    found = re.search(r"freeze window (\d+) ms of (\d+) ms", told)
    assert found is not None
    [row] = run(CHARTS["nearest-to-budget"], {"AppTraces": lines}, COLUMNS)
    assert (row["vm"], row["longest"], row["budget"]) == (VM, int(found[1]), int(found[2]))
    [ends] = run(CHARTS["ends"], {"AppTraces": lines}, COLUMNS)
    assert (ends["vms"], ends["how"]) == (1, "succeeded / application")


@pytest.mark.parametrize("name", MEASURED)
def test_a_chart_of_metrics_is_of_one_that_the_app_has_with_the_attributes_that_it_has(name: str) -> None:
    metric = MEASURED[name]
    source = inspect.getsource(measuring)
    assert f'"{metric}"' in source
    row = {"TimeGenerated": 7, "Name": metric, "Sum": 30, "Min": 10, "Max": 20, "ItemCount": 2}
    rows = [row | {"Properties": {"phase": "arming"}}, row | {"Name": "stillframe.sagas", "Properties": {}}]
    [shown] = run(CHARTS[name], {"AppMetrics": rows}, COLUMNS)
    assert shown["mean"] == 15
    for attribute in re.findall(r"Properties\.(\w+)", CHARTS[name]):
        assert f'{{"{attribute}": ' in source


@pytest.mark.parametrize("query", [*ALERTS.values(), *CHARTS.values()], ids=[*ALERTS, *CHARTS])
def test_a_column_that_is_not_there_is_an_error(query: str) -> None:
    table, *_ = query.split()
    used = [name for name in COLUMNS[table] if re.search(rf"\b{name}\b", re.sub("'[^']*'", "", query))]
    assert used
    for name in used:
        others = {table: [each for each in COLUMNS[table] if each != name]}
        with pytest.raises(QueryError):
            run(query, {}, others)


@pytest.mark.parametrize("name", [*ALERTS, *CHARTS])
def test_a_name_that_the_line_is_not_taken_apart_into_is_an_error(name: str) -> None:
    query = ALERTS.get(name) or CHARTS[name]
    head, parse, rest = query.partition("parse-where ")
    pattern, line, stages = rest.partition("\n")
    bare = re.sub("'[^']*'", "", stages)
    for part in set(re.findall(r"(?<= )\w+(?=:long| |$)", re.sub("'[^']*'", "", pattern))):
        if re.search(rf"\b{part}\b(?! =)", bare):
            misspelt = re.sub(rf"(?<= ){part}(?=:long| |$)", f"{part}x", pattern)
            with pytest.raises(QueryError):
                run(head + parse + misspelt + line + stages, {}, COLUMNS)
