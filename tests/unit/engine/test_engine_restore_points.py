"""Runs whose recovery points are VM restore points, through the real triggers and use cases."""

import pytest

from shared.compute import ComputeError
from shared.policy.documents import read_run
from shared.protocol import ARM, QUIESCE, RESUME
from tests.unit.engine.house import SCRIPTS, VM, House


async def ask(house: House, **guest_processing: object) -> str:
    document = {
        "vms": [VM],
        "guest_processing": guest_processing,
        "snapshots": {"recovery_point": "restore_point", "tags": {"cost-center": "7"}},
    }
    return await house.app.policies.start(read_run(document), "http", "")


async def test_on_linux_it_is_made_inside_our_own_freeze() -> None:
    house = House()
    run = await ask(house, **SCRIPTS)
    await house.settle()

    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("succeeded", "application"), view
    assert house.compute.points_asked == ["CrashConsistent"]
    [(point, made)] = house.compute.snapshots.items()
    assert view["recovery_point"] == [{"restore_point": point, "completion_percent": 100.0}]
    assert made.held
    assert [command.kind for command in house.guest().commands] == [ARM, QUIESCE, RESUME]
    assert house.failures == []


async def test_on_windows_the_platform_makes_it_and_no_agent_is_started() -> None:
    house = House()
    house.compute.os_type = "Windows"
    run = await ask(house)
    await house.settle()

    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("succeeded", "application"), view
    assert house.compute.points_asked == [""]
    assert house.compute.bootstraps == []
    assert view["evidence"]["restore_point"]["reached"] == "ApplicationConsistent"
    assert house.compute.collection_tags == {
        "stillframe-policy": "",
        "stillframe-run": run,
        "stillframe-saga": view["saga"],
        "stillframe-generation": "1",
        "stillframe-grade": "application",
        "stillframe-freeze-window-ms": "",
        "stillframe-evidence": view["evidence_sha256"],
        "stillframe-warnings": "0",
        "stillframe-left-out": "",
        "stillframe-outcome": "succeeded",
    }


async def test_a_silent_fallback_of_the_platform_fails_a_strict_policy_and_leaves_nothing() -> None:
    house = House()
    house.compute.os_type, house.compute.reached = "Windows", "FileSystemConsistent"
    run = await ask(house)
    await house.settle()

    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("failed", None)
    assert "FileSystemConsistent" in view["reasons"][-1]
    assert house.compute.snapshots == {}


async def test_a_silent_fallback_of_the_platform_is_kept_by_a_lenient_policy_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    house.compute.os_type, house.compute.reached = "Windows", "FileSystemConsistent"
    run = await ask(house, on_guest_failure="continue")
    await house.settle()

    view = await house.view(run)
    assert (view["outcome"], view["grade"]) == ("degraded", "filesystem")
    assert [warning["code"] for warning in view["warnings"]] == ["lower_consistency"]
    assert any("code=lower_consistency" in record.getMessage() for record in caplog.records)


async def test_one_that_azure_fails_is_explained_in_the_log_and_deleted() -> None:
    house = House()
    house.compute.os_type, house.compute.failing_disks = "Windows", {"db-1-os"}
    run = await ask(house)
    await house.settle()

    view = await house.view(run)
    assert view["outcome"] == "failed"
    assert "operation_failed" in view["reasons"][-1]
    assert house.compute.explained
    assert house.compute.snapshots == {}


async def test_one_that_cannot_be_deleted_yet_is_deleted_later() -> None:
    house = House()
    house.compute.os_type, house.compute.reached = "Windows", "CrashConsistent"
    house.compute.errors["delete"] = [ComputeError("Conflict", "it is still being made")] * 2
    await ask(house)
    await house.settle()

    assert house.compute.snapshots == {}
