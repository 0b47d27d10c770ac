"""A whole run through the real triggers and use cases."""

import json
import logging
import re
from typing import Any

import pytest

from shared.engine.orders import Keys
from shared.engine.queue_names import ACKS, STEPS
from shared.protocol import ARM, QUIESCE, RESUME
from tests.unit.engine.house import MASTER, STORAGE_KEY, VM, House

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_it_ends_with_an_application_consistent_recovery_point_of_every_disk() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    assert (view["phase"], view["outcome"], view["grade"]) == ("done", "succeeded", "application"), view
    assert {copy["snapshot"] for copy in view["recovery_point"]} == set(house.compute.snapshots)
    assert all(snapshot.held for snapshot in house.compute.snapshots.values())
    assert house.compute.captures_of == list(house.compute.snapshots)
    assert house.failures == []


async def test_the_guest_gets_three_commands_each_once() -> None:
    house = House()
    await house.ask()
    await house.settle()
    assert [command.kind for command in house.guest().commands] == [ARM, QUIESCE, RESUME]
    assert house.guest().rejected == []


async def test_it_takes_four_invocations_besides_the_request_and_the_sweep() -> None:
    house = House()
    await house.ask()
    await house.settle()
    told = [(queue, json.loads(text)) for queue, text in house.delivered]
    kinds = [
        (queue, body.get("task") or body.get("kind") or body["watch"])
        for queue, body in told
        if body.get("task") != "sweep"
    ]
    assert kinds == [
        (STEPS, 0), (ACKS, "ready"), (ACKS, "quiesced"), (ACKS, "resumed"),
    ]  # fmt: skip


async def test_it_leaves_no_message_no_run_command_and_no_run_to_sweep() -> None:
    house = House()
    await house.ask()
    await house.settle()
    assert [queue for queue in house.functions if house.messages(queue)] == []
    assert house.compute.run_commands == set()
    assert [run async for run in house.runs.active()] == []


async def test_every_snapshot_says_whose_it_is_and_what_it_is_worth() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    for name, snapshot in house.compute.snapshots.items():
        slot = name.rpartition("-")[2]
        assert snapshot.tags == {
            "stillframe-policy": "",
            "stillframe-run": run,
            "stillframe-saga": view["saga"],
            "stillframe-generation": "1",
            "stillframe-grade": "application",
            "stillframe-freeze-window-ms": str(view["freeze_window_ms"]),
            "stillframe-evidence": view["evidence_sha256"],
            "stillframe-warnings": "0",
            "stillframe-left-out": "",
            "stillframe-outcome": "succeeded",
            "stillframe-vm": "00000000-0000-0000-0000-000000000001/app/db-1",
            "stillframe-restore": f"slots=os,0-1 disk={slot} os=Linux location=westeurope sku=Premium_LRS",
        }


async def test_the_run_shows_how_each_vm_ended() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    view = await house.app.reading.run(run)
    assert (view["state"], view["vm_count"], view["vms_ended"]) == ("ended", 1, 1)
    [vm] = view["vms"]
    assert (vm["vm"], vm["name"], vm["phase"]) == (VM, "db-1", "done")
    assert (vm["outcome"], vm["grade"]) == ("succeeded", "application")


async def test_what_the_guest_warns_of_is_logged_at_once_and_shown_everywhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    run = await house.ask()
    warning = {"kind": "handler", "name": "postgresql:5432", "code": "probe_failed", "detail": "no answer"}
    house.guest().warnings = [warning]
    await house.settle()

    view, whole = await house.view(run), await house.app.reading.run(run)
    assert view["warnings"] == [{"generation": 1, **warning}]
    assert (whole["warnings"], whole["vms"][0]["warnings"]) == (1, 1)
    assert (view["grade"], view["outcome"]) == ("application", "degraded")
    assert {snapshot.tags["stillframe-warnings"] for snapshot in house.compute.snapshots.values()} == {"1"}
    [alert] = [record for record in caplog.records if ": stillframe warning: " in record.getMessage()]
    assert alert.levelname == "WARNING"
    assert alert.getMessage().startswith(f"run={run} saga={view['saga']} generation=1 step=")
    assert f" vm={VM} of_generation=1 " in alert.getMessage()
    assert 'name="postgresql:5432" code=probe_failed: no answer' in alert.getMessage()
    assert any(entry["effects"][-1:] == ["Alert"] for entry in view["history"])


async def test_a_run_without_warnings_says_so(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    run = await house.ask()
    await house.settle()

    assert (await house.app.reading.run(run))["warnings"] == 0
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_the_times_that_people_read_are_rfc_3339() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    whole, view = await house.app.reading.run(run), await house.view(run)
    times = [whole["created_at"], whole["vms"][0]["ended_at"], view["started_at"], view["ended_at"]]
    times += [entry["at"] for entry in view["history"]]
    assert [time for time in times if not RFC3339.fullmatch(time)] == []


def secrets_of(house: House) -> set[str]:
    keys, saga = Keys(MASTER), house.guest().commands[0].saga
    raw = (MASTER, keys.of_vm(VM), keys.of_session(VM, saga))
    return {secret.hex() for secret in raw} | house.guest().secrets() | {STORAGE_KEY}


async def everything_shown(house: House, run: str) -> list[Any]:
    return [await house.app.reading.run(run), await house.view(run)]


async def test_no_secret_is_in_any_view_log_line_table_row_or_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    house = House()
    run = await house.ask()
    shown: list[Any] = []
    for _ in range(20):
        if not await house.work():
            break
        shown += await everything_shown(house, run)
    await house.settle()
    shown += await everything_shown(house, run)
    seen = {
        "views": json.dumps(shown),
        "logs": caplog.text,
        "tables": repr(house.tables._tables),
        "messages": repr([house.delivered, house.guest().commands, house.queues._queues]),
    }
    assert "succeeded" in seen["views"]
    assert "RecordEnd" in seen["logs"]
    secrets = secrets_of(house)
    assert len(secrets) == 6
    leaks = [(where, secret) for where, text in seen.items() for secret in secrets if secret in text]
    assert leaks == []
    # The guest alone got them, as a protected parameter.
    assert all(secret in "".join(house.compute.bootstraps) for secret in house.guest().secrets())


async def test_no_message_receipt_is_in_a_view() -> None:
    house = House()
    run = await house.ask()
    await house.settle()
    assert "receipt" not in json.dumps(await everything_shown(house, run))


async def test_a_saga_that_still_copies_does_not_call_itself_succeeded() -> None:
    house = House()
    run = await house.ask()
    house.compute.copied_percent = 40.0
    await house.settle(until=house.clock() + 20_000)
    view = await house.view(run)
    assert (view["phase"], view["outcome"], view["grade"]) == ("completing", None, "application")
    house.compute.copied_percent = 100.0
    await house.settle()
    assert (await house.view(run))["outcome"] == "succeeded"


async def test_a_vm_that_does_not_run_is_snapshotted_without_its_guest() -> None:
    house = House()
    house.compute.power_state = "deallocated"
    run = await house.ask()
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("succeeded", "crash")
    assert house.guests[VM.lower()].commands == []


async def test_why_a_snapshot_failed_is_asked_for_once_the_guest_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.compute.failing_disks.add("db-1-data-0")
    run = await house.ask(attempts=1)
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], house.guest().held, house.compute.snapshots) == ("failed", False, {})
    assert len(house.compute.explained) == 1
    assert "DiskIsOnFire" in caplog.text


async def test_why_a_snapshot_failed_is_asked_for_too_where_no_guest_was_held() -> None:
    house = House()
    house.compute.failing_disks.add("db-1-data-0")
    run = await house.ask(enabled=False)
    await house.settle()
    assert (await house.view(run))["outcome"] == "failed"
    assert len(house.compute.explained) == 1


async def test_a_failed_quiesce_script_ends_the_saga_without_a_snapshot_when_it_shall_fail() -> None:
    house = House()
    house.guest().script_fails = True
    run = await house.ask(on_guest_failure="fail")
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], house.compute.captures_of) == ("failed", [])


async def test_a_failed_quiesce_script_leads_to_a_crash_consistent_snapshot_when_it_shall_continue() -> None:
    house = House()
    house.guest().script_fails = True
    run = await house.ask(on_guest_failure="continue")
    await house.settle()
    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("degraded", "crash")
    assert len(house.compute.snapshots) == 3
