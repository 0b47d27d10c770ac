"""docs/first-policy.md, typed line by line into shells in a fresh copy of the project's folder."""

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from local.arm.operations import API_VERSIONS, Family
from local.stack.app_host import ROOT
from local.stack.waiting import ticks
from local.world.capability import can_use_real_disks
from tests.e2e.browser import CHROMIUM, chromium, watched
from tests.e2e.typed_page import Shell, Shown, Typed, missing, steps_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

PAGE = ROOT / "docs" / "first-policy.md"
UP = "make up"
VMS = {"ledger-01", "ledger-02"}
WITHIN_S = 180.0

#: What a fresh copy has not: what was made in the folder. Of these it uses what is there already.
MADE = (
    ".git",
    ".venv",
    "node_modules",
    "build",
    ".*_cache",
    ".hypothesis",
    ".local",
    ".bench",
    ".demo",
    ".prove",
)


@dataclass
class Up:
    """A running `make up` and the folder that it runs in. ``sources`` is what its ``.local/up.env`` says."""

    folder: Path
    process: asyncio.subprocess.Process
    environment: dict[str, str]

    @property
    def said(self) -> str:
        return (self.folder / "up.log").read_text()

    @property
    def app(self) -> str:
        return str(re.findall(r"^app +(http://\S+)/api/runs$", self.said, re.MULTILINE)[0])

    @property
    def azure(self) -> str:
        return str(re.findall(r"^Azure +(http://\S+)", self.said, re.MULTILINE)[0])

    def notices(self) -> list[dict[str, Any]]:
        path = self.folder / ".local" / "notices.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def copied(folder: Path) -> Path:
    """Copy the project's folder as it would be cloned, with what its Makefile has installed here."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*MADE, "__pycache__"))
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    venv, ours = folder / ".venv", ROOT / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("lib", "pyvenv.cfg"):
        (venv / name).symlink_to(ours / name)
    for each in (ours / "bin").iterdir():
        if each.name != "stillframe":  # `make cli` writes that one, for this folder
            (venv / "bin" / each.name).symlink_to(each)
    (venv / ".installed").touch()
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Up]:
    if not (ROOT / "node_modules" / ".installed").exists():
        pytest.skip("needs what `make up` installs")
    folder = await asyncio.to_thread(copied, tmp_path_factory.mktemp("first-policy") / "stillframe")
    own = {name: value for name, value in os.environ.items() if not name.startswith("STILLFRAME_URL")}
    environment = own | {"HOME": str(folder), "COLUMNS": "140", "OFTEN": "* * * * *"}
    with (folder / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_shell(
            f"exec {UP}", cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    started = Up(folder, process, environment)
    try:
        async for _ in ticks(WITHIN_S, f"{UP}: {started.said}"):
            assert process.returncode is None, started.said
            if "Ctrl-C ends it all" in started.said:
                break
        yield started
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
            await asyncio.wait_for(process.wait(), WITHIN_S)
    assert "stopped; nothing is left behind" in started.said


async def get(url: str) -> Any:
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer a-reader"}) as session,
        session.get(url) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_the_page_typed_line_by_line_does_what_it_says(up: Up) -> None:
    if not can_use_real_disks().ok:
        pytest.skip(f"the page's grades need real disks: {can_use_real_disks().reason}")
    steps = steps_of(PAGE)
    assert steps[0] == Typed(UP)
    del up.environment["OFTEN"]  # the page's own comes from up.env
    shell = await Shell.open(up.folder, up.environment)
    try:
        webhooks = await type_all(shell, steps[1:])
    finally:
        await shell.close()
    await page_shows(up, webhooks[-1])
    await assert_everything_came(up, webhooks)


async def type_all(shell: Shell, steps: list[Typed | Shown]) -> list[str]:
    """Type and compare; what starts a run by the webhook twice, as the page says. Gives the runs' ids."""
    runs, before = [], False
    for step in steps:
        if isinstance(step, Shown):
            assert missing(step, shell.said) == [], shell.said
            before = True
            continue
        if before:
            shell.forget()
            before = False
        for _ in range(2 if "Idempotency-Key" in step.text else 1):
            code, said = await shell.type(step.text, WITHIN_S)
            assert code == 0, f"{step.text}\n{said}"
            if "Idempotency-Key" in step.text:
                runs.append(json.loads(said)["run"])
    assert len(runs) == 2
    assert len(set(runs)) == 1, "sent twice, it starts one run"
    return runs


async def page_shows(up: Up, run: str) -> None:
    """Open the page as its reader does."""
    if CHROMIUM is None:
        return
    async with chromium() as browser, watched(browser, up.app) as seen:
        await seen.page.goto(f"{up.app}/api/ui")
        await seen.page.locator(f'a[href*="{run}"]').first.wait_for(timeout=60_000)


async def assert_everything_came(up: Up, webhooks: list[str]) -> None:
    """Scheduled run, webhook's run, their notices; and of each VM only the newest good point is left."""
    async for _ in ticks(WITHIN_S, "the scheduled run, and the end of all"):
        runs = (await get(f"{up.app}/api/runs?policy=nightly"))["items"]
        ended = [run for run in runs if run["state"] == "ended"]
        if webhooks[0] in {run["run"] for run in ended} and any(
            run["requested_by"] == "schedule" for run in ended
        ):
            break
    views = [await get(f"{up.app}/api/runs/{run['run']}") for run in ended]
    outcomes = {vm["outcome"]: vm.get("why") for view in views for vm in view["vms"]}
    assert set(outcomes) == {"succeeded", "rehearsed"}, outcomes
    assert {vm["name"] for view in views for vm in view["vms"]} == VMS
    async for _ in ticks(WITHIN_S, "the notices of all runs"):
        told = {notice["data"]["run"]: notice["type"] for notice in up.notices()}
        if {run["run"] for run in ended} <= set(told):
            break
    assert {told[run["run"]] for run in ended} == {"stillframe.run.succeeded"}
    await assert_only_the_newest_is_left(up)


async def assert_only_the_newest_is_left(up: Up) -> None:
    """Stop the schedule, and wait for retention; then records and Azure say the same."""
    async with aiohttp.ClientSession() as session, session.get(f"{up.app}/api/policies/nightly") as answer:
        policy = await answer.json()
    own = {name: value for name, value in policy.items() if name not in ("policy", "times")}
    own["schedules"][0]["paused"] = True
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{up.app}/api/policies/nightly", json=own) as answer,
    ):
        assert answer.status < 300, await answer.text()
    points: list[dict[str, Any]] = []
    async for _ in ticks(WITHIN_S, "one recovery point of each VM"):
        runs = (await get(f"{up.app}/api/runs?policy=nightly"))["items"]
        points = (await get(f"{up.app}/api/recovery-points?policy=nightly"))["items"]
        if all(run["state"] == "ended" for run in runs) and len(points) == len(VMS):
            break
    gone = (await get(f"{up.app}/api/recovery-points?policy=nightly&state=deleted"))["items"]
    for vm in VMS:
        [kept] = [point for point in points if point["name"] == vm]
        older = [point["created_at"] for point in gone if point["name"] == vm]
        assert older, f"nothing of {vm} was deleted"
        assert max(older) < kept["created_at"], "the newest is the one that is kept"
    await assert_azure_has_only(up, points)


async def assert_azure_has_only(up: Up, points: list[dict[str, Any]]) -> None:
    kept = set()
    for point in points:
        whole = await get(f"{up.app}/api/recovery-points/{point['point']}")
        kept |= {each.lower() for each in whole["resources"]}
    subscription = next(iter(kept)).split("/")[2]
    listed = f"{up.azure}/subscriptions/{subscription}/providers/Microsoft.Compute/snapshots"
    url = f"{listed}?api-version={API_VERSIONS[Family.DISK]}"
    async for _ in ticks(WITHIN_S, "Azure has the snapshots of the points that are kept, and no others"):
        if {each["id"].lower() for each in (await get(url))["value"]} == kept:
            break
