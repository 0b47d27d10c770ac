"""One backup is one trace, from whoever asked for it to its snapshots, and its figures are there."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.functions_host.telemetry import FOLDER
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.queue_names import ACKS
from tests.e2e.scene import BEST, SOON_S, outcome, plain_vm, put

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

WRITTEN = Path(tempfile.mkdtemp(prefix="stillframe-telemetry-"))
OPTIONS = StackOptions(settings={FOLDER: str(WRITTEN)})

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(autouse=True, scope="module")
def removed_afterwards() -> Iterator[None]:
    yield
    shutil.rmtree(WRITTEN, ignore_errors=True)


def spans() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WRITTEN / "spans.jsonl").read_text().splitlines()]


def figures(name: str) -> list[dict[str, Any]]:
    """Give the latest points of a metric."""
    for line in reversed((WRITTEN / "metrics.jsonl").read_text().splitlines()):
        for resource in json.loads(line)["resource_metrics"]:
            for metric in (each for scope in resource["scope_metrics"] for each in scope["metrics"]):
                if metric["name"] == name:
                    return list(metric["data"]["data_points"])
    return []


async def test_one_backup_is_one_trace_from_its_caller_to_its_snapshots(stack: Stack) -> None:
    vm = await plain_vm(stack, "traced")
    body = {"vms": [vm.id], "guest_processing": vm.guest_processing()}
    _, _, answer = await stack.api.call("POST", "/api/runs", body, {"traceparent": CALLER})
    view = await vm.ended(answer["run"])
    assert outcome(view) == BEST
    saga, run = view["saga"], answer["run"]

    def mine() -> list[dict[str, Any]]:
        return [span for span in spans() if span["attributes"].get("stillframe.saga") == saga]

    async def told() -> bool:
        return any(span["name"] == "Resumed" for span in mine())  # whose invocation recorded the end

    await until(told, within_s=SOON_S, what="the spans of its end")
    names = [span["name"] for span in mine()]
    assert {span["context"]["trace_id"] for span in mine()} == {f"0x{TRACE}"}
    # The acks come from a guest, which knows no trace.
    assert {"start", "AgentReady", "Quiesced", "Capture", "backup", "freeze window"} <= set(names)
    assert {"preflight", "arming", "quiescing", "capturing", "resuming", "completing", "cleaning"} <= set(
        names
    )
    assert names.count("snapshot") == len(view["recovery_point"])
    [start] = [span for span in spans() if span["name"] == "run"]
    assert (start["context"]["trace_id"], start["attributes"]["stillframe.run"]) == (f"0x{TRACE}", run)
    by_id = {span["context"]["span_id"]: span for span in spans()}
    assert {by_id[span["parent_id"]]["name"] for span in mine() if span["name"] == "Capture"} == {"Quiesced"}


async def test_the_freeze_window_and_the_grade_are_counted(stack: Stack) -> None:
    vm = await plain_vm(stack, "counted")
    view = await vm.run_to_end(vm.guest_processing())

    async def counted() -> bool:
        return sum(int(point["count"]) for point in figures("stillframe.freeze_window")) >= 2

    await until(counted, within_s=SOON_S, what="the freeze window in the figures")
    points = figures("stillframe.freeze_window")
    assert all(point["attributes"] == {"outcome": BEST[0], "grade": BEST[1]} for point in points)
    assert max(point["max"] for point in points) >= view["freeze_window_ms"]
    ends = figures("stillframe.sagas")
    assert [point["attributes"] for point in ends] == [{"outcome": BEST[0], "grade": BEST[1]}]


async def test_an_ack_that_was_turned_away_is_counted_by_its_reason(stack: Stack) -> None:
    await put(stack, ACKS, "no ack")

    async def counted() -> bool:
        return sum(int(point["value"]) for point in figures("stillframe.acks.rejected")) == 1

    await until(counted, within_s=SOON_S, what="the ack that was turned away in the figures")


async def test_no_figure_has_the_name_of_a_vm_or_a_run(stack: Stack) -> None:
    assert stack
    text = (WRITTEN / "metrics.jsonl").read_text()

    assert "stillframe.freeze_window" in text
    assert "virtualMachines" not in text
    assert "stillframe.run" not in text
