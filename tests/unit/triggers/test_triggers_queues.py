"""The queue functions, called with the messages that the Functions host hands them."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.functions.queue import QueueMessage

from shared.engine.queue_names import ACKS, GROUPS, NOTICES, POINTS, RUNS, STEPS, BadMessageError, StepMessage
from shared.engine.running import STARTED_AT_ONCE
from shared.saga.names import saga_id
from shared.triggers.rights import ANONYMOUS
from tests.unit.engine.house import T0, VM, House

ROOT = Path(__file__).resolve().parents[3]
GARBAGE = [b"", b"\xff\xfe\x00", b"nonsense", b"[]", b"{}", b"[" * 50_000, b'{"run": 5}', b"null"]


def message(body: bytes, **told: Any) -> QueueMessage:
    return QueueMessage(id="1", body=body, dequeue_count=1, **told)


def all_there_is(house: House) -> str:
    """Give every row and every message."""
    tables = {table: rows for table, rows in house.tables._tables.items() if rows}
    return repr([tables, {queue: held for queue, held in house.queues._queues.items() if held}])


@pytest.mark.parametrize("queue", [RUNS, STEPS])
@pytest.mark.parametrize("body", GARBAGE)
async def test_garbage_on_the_apps_own_queues_fails_and_changes_nothing(queue: str, body: bytes) -> None:
    house = House()
    before = all_there_is(house)
    with pytest.raises(BadMessageError):
        await house.functions[queue](message(body))
    assert all_there_is(house) == before


@pytest.mark.parametrize("queue", [f"{RUNS}-poison", f"{STEPS}-poison", ACKS, f"{ACKS}-poison"])
@pytest.mark.parametrize("body", GARBAGE)
async def test_garbage_is_dropped_where_nothing_else_would_take_it_away(queue: str, body: bytes) -> None:
    house = House()
    before = all_there_is(house)
    await house.functions[queue](message(body))
    assert all_there_is(house) == before


async def test_the_time_of_an_ack_is_the_queues() -> None:
    house = House()
    await house.ask()
    for _ in range(20):
        if any('"kind":"quiesced"' in held.text for held in house.messages(ACKS)):
            break
        await house.work()
    [ack] = house.messages(ACKS)
    house.clock.now += 2_000
    taken = datetime.fromtimestamp(T0 / 1000, UTC)
    await house.functions[ACKS](message(ack.text.encode(), insertion_time=taken))
    saga = house.guest().commands[0].saga
    history = await house.sagas.history(saga)
    [quiesced] = [entry for entry in history if entry.event == "Quiesced"]
    assert (quiesced.at - T0, quiesced.detail["queued_at"] - T0) == (2_000, 0)


async def test_a_poisoned_start_ends_its_saga() -> None:
    house = House()
    run = await house.ask()
    step = StepMessage(run, saga_id(run, VM), VM)
    await house.functions[f"{STEPS}-poison"](message(step.text().encode()))
    view = await house.view(run)
    assert (view["phase"], view["outcome"]) == ("done", "failed")
    assert view["reasons"] == ["a message could not be processed: its start"]


async def test_a_poisoned_watch_resumes_the_guest_and_ends_its_saga() -> None:
    house = House()
    house.guest().deaf_to.add("quiesce")
    run = await house.ask(attempts=1)
    for _ in range(6):
        await house.work()
    assert house.guest().held
    step = StepMessage(run, saga_id(run, VM), VM, watch=1)
    await house.functions[f"{STEPS}-poison"](message(step.text().encode()))
    await house.settle(until=house.clock())
    assert not house.guest().held
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], house.compute.snapshots) == ("failed", {})
    assert "a message could not be processed: watch 1" in view["reasons"][-1]


@pytest.mark.parametrize("step", [StepMessage("nobody", "s", VM), StepMessage("nobody", "a/b", VM, 3)])
async def test_a_poisoned_step_of_an_unknown_run_is_dropped(
    step: StepMessage, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    before = all_there_is(house)
    await house.functions[f"{STEPS}-poison"](message(step.text().encode()))
    assert all_there_is(house) == before
    assert "a poison message is dropped" in caplog.text


async def test_a_poisoned_run_message_has_the_runs_vms_ended() -> None:
    house = House()
    vms = [f"{VM}-{number}" for number in range(STARTED_AT_ONCE + 1)]
    run = await house.ask(*vms)
    [fan_out] = house.messages(RUNS)
    await house._delete(RUNS, fan_out)
    await house.functions[f"{RUNS}-poison"](message(fan_out.text.encode()))
    await house.settle()
    view = await house.app.reading.run(run)
    assert [vm["outcome"] for vm in view["vms"]] == ["failed"] * len(vms)


async def test_a_poisoned_ack_resumes_the_guest_and_ends_its_saga() -> None:
    house = House()
    run = await house.ask(attempts=1)
    for _ in range(20):
        if house.guest().held:
            break
        await house.work()
    [ack] = house.messages(ACKS)
    await house._delete(ACKS, ack)
    await house.functions[f"{ACKS}-poison"](message(ack.text.encode()))
    await house.settle(until=house.clock())
    assert not house.guest().held
    await house.settle()
    assert (await house.view(run))["outcome"] == "failed"


async def test_the_timers_start_what_is_due_and_sweep_what_goes_on() -> None:
    house = House()
    document = {"vms": [VM], "schedule": {"cron": "0 * * * *"}, "guest_processing": {"enabled": False}}
    await house.app.policies.put("hourly", document, None)
    house.clock.now += 3_600_000
    await house.functions["schedules"](None)
    assert len(house.messages(STEPS)) == 1
    await house.functions["sweep"](None)
    assert [json.loads(held.text)["task"] for held in house.messages(RUNS)] == ["sweep"]


# The functions of function_app.py itself, in a process of their own: an app gives its functions only once,
# and what an import pulls in shows only in a fresh interpreter.

INDEXING = """
import json, sys
import function_app
loaded = sorted(sys.modules)
functions = []
for function in function_app.app.get_functions():
    bindings = function.get_bindings_dict()["bindings"]
    functions.append({"name": function.get_function_name(), "bindings": bindings})
print(json.dumps({"loaded": loaded, "functions": functions}, default=str))
"""


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    environment = {"STILLFRAME_MASTER_KEY": base64.b16encode(bytes(32)).decode(), "PATH": ""}
    command = [sys.executable, "-c", INDEXING]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def triggers(indexed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for function in indexed["functions"]:
        [trigger] = [b for b in function["bindings"] if b["type"].endswith("Trigger")]
        found[function["name"]] = trigger
    return found


def test_every_http_route_but_the_page_needs_a_function_key(indexed: dict[str, Any]) -> None:
    routes = {name: t for name, t in triggers(indexed).items() if t["type"] == "httpTrigger"}
    assert {name: (trigger["route"], trigger["methods"]) for name, trigger in routes.items()} == {
        "get_api": ("openapi.json", ["GET"]),
        "start_run": ("runs", ["POST"]),
        "get_run": ("runs/{run}", ["GET"]),
        "get_timeline": ("runs/{run}/timeline", ["GET"]),
        "get_vm": ("runs/{run}/vms/{vm}", ["GET"]),
        "cancel_run": ("runs/{run}/cancel", ["POST"]),
        "list_runs": ("runs", ["GET"]),
        "retry_run": ("runs/{run}/retry", ["POST"]),
        "preflight_run": ("preflight", ["POST"]),
        "preflight_vm": ("preflight", ["GET"]),
        "start_rehearsal": ("rehearsals", ["POST"]),
        "get_rehearsal": ("rehearsals/{run}", ["GET"]),
        "list_policies": ("policies", ["GET"]),
        "validate_policy": ("policies/validate", ["POST"]),
        "try_policy": ("policies/preview", ["POST"]),
        "preview_policy": ("policies/{policy}/preview", ["GET"]),
        "get_policy_schema": ("schemas/policy.json", ["GET"]),
        "put_policy": ("policies/{policy}", ["PUT"]),
        "get_policy": ("policies/{policy}", ["GET"]),
        "delete_policy": ("policies/{policy}", ["DELETE"]),
        "list_points": ("recovery-points", ["GET"]),
        "get_point": ("recovery-points/{point}", ["GET"]),
        "delete_point": ("recovery-points/{point}", ["DELETE"]),
        "rebuild_points": ("recovery-points/rebuild", ["POST"]),
        "hold_point": ("recovery-points/{point}/hold", ["POST"]),
        "release_point": ("recovery-points/{point}/release", ["POST"]),
        "preview_retention": ("retention/{policy}", ["GET"]),
        "try_retention": ("retention/{policy}/try", ["POST"]),
        "apply_retention": ("retention/{policy}/apply", ["POST"]),
        "get_reconciliation": ("reconciliation", ["GET"]),
        "reconcile": ("reconciliation", ["POST"]),
        "delete_orphan": ("reconciliation/{finding}", ["DELETE"]),
        "health": ("health", ["GET"]),
        "page": ("ui", ["GET"]),
        "page_files": ("ui/{file}", ["GET"]),
    }
    levels = {name: str(trigger["authLevel"]).upper() for name, trigger in routes.items()}
    open_to_all = {name for name, level in levels.items() if level != "FUNCTION"}
    assert open_to_all == set(ANONYMOUS)


def test_every_queue_has_a_function_and_so_has_its_poison(indexed: dict[str, Any]) -> None:
    queues = {
        name: (trigger["queueName"], trigger["connection"])
        for name, trigger in triggers(indexed).items()
        if trigger["type"] == "queueTrigger"
    }
    assert queues == {
        "run_task": (RUNS, "AzureWebJobsStorage"),
        "saga_step": (STEPS, "AzureWebJobsStorage"),
        "agent_ack": (ACKS, "GuestStorage"),
        "group_message": (GROUPS, "AzureWebJobsStorage"),
        "poisoned_group_message": (f"{GROUPS}-poison", "AzureWebJobsStorage"),
        "point_task": (POINTS, "AzureWebJobsStorage"),
        "poisoned_point_task": (f"{POINTS}-poison", "AzureWebJobsStorage"),
        "poisoned_run_task": (f"{RUNS}-poison", "AzureWebJobsStorage"),
        "poisoned_step": (f"{STEPS}-poison", "AzureWebJobsStorage"),
        "poisoned_ack": (f"{ACKS}-poison", "GuestStorage"),
        "deliver_notice": (NOTICES, "AzureWebJobsStorage"),
        "poisoned_notice": (f"{NOTICES}-poison", "AzureWebJobsStorage"),
    }
    assert all(len(queue) <= 63 for queue, _ in queues.values())


def test_the_timers_go_by_settings(indexed: dict[str, Any]) -> None:
    timers = {
        name: trigger["schedule"]
        for name, trigger in triggers(indexed).items()
        if trigger["type"] == "timerTrigger"
    }
    assert timers == {
        "schedules": "%STILLFRAME_SCHEDULES_TIMER%",
        "sweep": "%STILLFRAME_SWEEP_TIMER%",
        "retention": "%STILLFRAME_RETENTION_TIMER%",
        "reconciliation": "%STILLFRAME_RECONCILIATION_TIMER%",
        "housekeeping": "%STILLFRAME_HOUSEKEEPING_TIMER%",
    }


@pytest.mark.parametrize(
    "module", ["azure.mgmt.compute", "azure.identity", "azure.storage.queue", "aiohttp", "cryptography"]
)
def test_indexing_imports_nothing_heavy(indexed: dict[str, Any], module: str) -> None:
    assert [name for name in indexed["loaded"] if name == module or name.startswith(module + ".")] == []


def test_indexing_needs_no_setting(indexed: dict[str, Any]) -> None:
    assert {"start_run", "saga_step", "agent_ack", "sweep"} <= {each["name"] for each in indexed["functions"]}
