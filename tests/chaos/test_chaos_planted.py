"""Every invariant of the rounds fails when it should, and no other one with it."""

import subprocess
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.queue.aio import QueueServiceClient

from local.stack.waiting import ticks
from local.world.frozen import freezing
from tests.chaos import invariants
from tests.chaos.arena import SETTINGS, Arena
from tests.chaos.invariants import INVARIANTS, Look, agents_leave, violations
from tests.e2e import scene
from tests.e2e.scene import Machine, kept_ids

pytestmark = [pytest.mark.e2e, pytest.mark.world, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(usual: Arena) -> Look:
    """What a run of a group without any fault leaves."""
    usual.witness.looks = True
    await usual.order("go-on")
    overrides = [
        {"vms": [machine.id], "guest_processing": machine.guest_processing()} for machine in usual.machines
    ]
    patient = {**SETTINGS, "freeze_budget_ms": 60_000, "quiesce_timeout_ms": 50_000}
    run_id = await usual.start_run({**patient, "attempts": 2, "overrides": overrides}, "all")
    await usual.stack.api.ended(run_id, within_s=120)
    views = {machine.name: await machine.view(run_id) for machine in usual.machines}
    return Look(arena=usual, run_id=run_id, views=views, longest_held_ms=0, log="")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have looks not wait for what is known not to come, and restore nothing: one test does."""
    for module in (scene, invariants):
        monkeypatch.setattr(module, "SOON_S", 2.0)
    monkeypatch.delitem(INVARIANTS, "the grade is true")


async def found(look: Look) -> set[str]:
    await look.arena.order("go-on")
    return {violation.invariant for violation in await violations(look)}


def changed(look: Look, machine: Machine, **members: Any) -> Look:
    view = {**look.views[machine.name], **members}
    return replace(look, views={**look.views, machine.name: view})


async def test_without_a_planted_fault_nothing_is_violated(well: Look) -> None:
    assert await found(well) == set()


@pytest.mark.usefixtures("hurried")
class TestPlanted:
    async def test_a_saga_that_has_not_ended(self, well: Look, usual: Arena) -> None:
        assert await found(changed(well, usual.machines[1], phase="arming")) == {"every saga has ended"}

    async def test_an_application_that_is_still_held(self, well: Look, usual: Arena) -> None:
        await usual.order("hold")
        held = {each.invariant for each in await violations(well)}
        await usual.order("release")
        assert held == {"applications write"}

    async def test_a_mount_that_was_left_frozen(self, well: Look, usual: Arena) -> None:
        with freezing([usual.machines[1].spec.disks[0].mount_point]):
            assert await found(well) == {"nothing is frozen"}

    @pytest.mark.parametrize(
        "lines", ["pre 1\n", "pre 1\npost 1\npost 1\n", "pre 1\npre 1\npost 1\npost 1\n"]
    )
    async def test_a_script_that_did_not_run_or_ran_twice(self, well: Look, usual: Arena, lines: str) -> None:
        trace = usual.machines[1].trace
        as_it_was = trace.read_text()
        trace.write_text(lines)
        assert await found(well) == {"scripts ran in pairs"}
        trace.write_text(as_it_was)

    async def test_a_post_script_that_was_ended_in_its_middle_and_run_again_is_none(
        self, well: Look, usual: Arena
    ) -> None:
        trace = usual.machines[1].trace
        as_it_was = trace.read_text()
        trace.write_text("pre 1\npost 1\npost 1\n")
        ended = replace(well, scripts_ended=True)
        assert await found(ended) == set()
        trace.write_text("pre 1\npre 1\npost 1\n")
        assert await found(ended) == {"scripts ran in pairs"}
        trace.write_text(as_it_was)

    async def test_an_application_that_was_seen_held_beyond_its_budget(self, well: Look) -> None:
        assert await found(replace(well, longest_held_ms=70_000)) == {"held within the budget"}

    async def test_a_recovery_point_without_a_grade(self, well: Look, usual: Arena) -> None:
        look = changed(well, usual.machines[1], grade=None)
        assert await found(look) == {"outcome and recovery point agree", "the run says the same"}

    async def test_a_run_that_says_something_else(self, well: Look, usual: Arena) -> None:
        look = changed(well, usual.machines[1], outcome="degraded", reasons=["for a reason"])
        assert await found(look) == {"the run says the same"}

    async def test_an_instant_that_was_not_one(
        self, well: Look, usual: Arena, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = usual.witness.held
        assert set(seen.values()) == {frozenset(machine.name for machine in usual.machines)}
        monkeypatch.setattr(usual.witness, "held", seen | {next(iter(seen)): frozenset({"plain"})})
        assert await found(well) == {"one instant is true"}

    async def test_a_member_that_keeps_what_another_one_lost(self, well: Look, usual: Arena) -> None:
        lost = {"recovery_point": [], "outcome": "failed", "grade": None, "reasons": ["for a reason"]}
        assert await found(changed(well, usual.machines[1], **lost)) == {
            "one instant is true",
            "groups end by their rule",
            "the run says the same",
            "nothing is left in Azure",
        }

    async def test_a_snapshot_that_nobody_keeps(self, well: Look, usual: Arena) -> None:
        snapshots = usual.stack.world.resources.snapshots
        one = next(iter(snapshots.values()))
        orphan = replace(one, id=replace(one.id, path=(*one.id.path[:-1], "orphan")))
        snapshots[orphan.id.key] = orphan
        left = await found(well)
        del snapshots[orphan.id.key]
        assert left == {"nothing is left in Azure"}

    async def test_a_message_that_stays_in_a_poison_queue(self, well: Look, usual: Arena) -> None:
        connection = usual.stack.storage.connection_string
        async with QueueServiceClient.from_connection_string(connection) as service:
            queue = await service.create_queue("nobody-reads-this-poison")
            await queue.send_message("no saga knows of it")
            left = await found(well)
            await service.delete_queue(queue.queue_name)
        assert left == {"poison queues are empty", "no queue is left behind"}

    async def test_a_mistake_in_a_log(self, well: Look) -> None:
        trace = (
            "2026-11-27T03:31:46.227+00:00 ERROR step failed\nTraceback (most recent call last):\n"
            '  File "x.py", line 1, in y\n    pass\n'
        )
        foreseen = f"{trace}azure.core.exceptions.ServiceResponseError: reset\n"
        chained = f"{trace}KeyError: 'x'\n\nThe above exception was the direct cause of\n\n{foreseen[48:]}"
        assert await found(replace(well, log=foreseen + chained)) == set()
        assert await found(replace(well, log=f"{foreseen}{trace}KeyError: 'x'\n")) == {
            "logs tell of no mistake"
        }

    async def test_an_agent_that_stays(self, usual: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
        assert [each async for each in agents_leave(usual)] == []
        monkeypatch.setattr(invariants, "_SESSION_S", 0.5)
        mark = {"STILLFRAME_STATE_DIR": str(usual.machines[1].guest.agent_state)}
        with subprocess.Popen(  # noqa: ASYNC220 - it waits for nothing
            ["sh", "-c", "read line # agent.pyz"], env=mark, stdin=subprocess.PIPE
        ) as stays:
            left = [each async for each in agents_leave(usual)]
            stays.kill()
        assert left == ["the agents leave: not within 0.5 s"]


async def test_a_grade_that_is_not_true_is_found_by_restoring(well: Look, usual: Arena) -> None:
    """One disk's snapshot is of another instant than it says, with transfers in between."""
    ledger = usual.machines[0]
    await usual.order("go-on")
    start = (await ledger.status())["transfers"]
    async for _ in ticks(30, "some transfers"):
        if (await ledger.status())["transfers"] > start + 50:
            break
    [accounts] = [disk.name for disk in ledger.spec.disks if disk.name.endswith("accounts")]
    by_disk = usual.stack.snapshots_by_disk(kept_ids(well.views["ledger"]))
    await usual.stack.disks.discard(by_disk[accounts])
    await usual.stack.disks.capture(accounts, by_disk[accounts])
    assert await found(well) == {"the grade is true", "one instant is true"}
