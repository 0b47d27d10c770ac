"""The command line against the running app: a policy applied, run, watched, looked at, cancelled, removed."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from local.functions_host.keys import Keys
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from tests.e2e.commands import Ended
from tests.e2e.scene import SOON_S, Machine, plain_vm

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).resolve().parents[2]
KEY = "the key of the host"
OPTIONS = StackOptions(keys=Keys(master=KEY, host={"default": KEY}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vm(stack: Stack) -> Machine:
    return await plain_vm(stack, "db-1")


async def spawn(stack: Stack, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    given = {"STILLFRAME_URL": stack.api.base, "STILLFRAME_KEY": KEY, "COLUMNS": "80", **environment}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", *arguments),
        cwd=ROOT,
        env=os.environ | {"HOME": "/nonexistent"} | given,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_as_in_a_terminal,
    )


def _as_in_a_terminal() -> None:
    """Have Ctrl-C end it, also where these tests were begun in the background, which ignores that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def stillframe(stack: Stack, *arguments: str, **environment: str) -> Ended:
    process = await spawn(stack, *arguments, **environment)
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return Ended(process.returncode or 0, out.decode(), err.decode())


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


async def test_a_policy_is_applied_run_and_removed(stack: Stack, vm: Machine, tmp_path: Path) -> None:
    text = f"vms:\n  - {vm.id}\nguest_processing: {{enabled: false}}\n"
    file = written(tmp_path, "nightly.yaml", text)
    applied = await stillframe(stack, "policy", "apply", file)
    assert (applied.code, applied.err) == (0, "")
    got = await stillframe(stack, "policy", "get", "nightly")
    own = {"vms": [vm.id], "guest_processing": {"enabled": False}}
    assert got.json == {"policy": "nightly", **own, "times": []}
    taken_back = written(tmp_path, "again.json", json.dumps(got.json))
    again = await stillframe(stack, "policy", "apply", taken_back, "--dry-run")
    assert again.code == 0
    etag = got.err.strip().removeprefix("ETag: ")
    again = await stillframe(stack, "policy", "apply", file, "--if-match", etag)
    assert again.code == 0
    stale = await stillframe(stack, "policy", "apply", file, "--if-match", etag)
    assert stale.code == 2

    run = await stillframe(stack, "run", "start", "--policy", "nightly", "--watch", "--output", "json")
    assert run.code == 0, run.err
    assert (run.json["state"], run.json["policy"]) == ("ended", "nightly")
    shown = await stillframe(stack, "run", "show", run.json["run"], "db-1")
    assert shown.code == 0
    assert "crash" in shown.out
    assert "capturing -> completing" in shown.out
    raw = await stillframe(stack, "run", "show", run.json["run"], "--output", "json")
    assert raw.json == await stack.api.run(run.json["run"])

    assert (await stillframe(stack, "policy", "delete", "nightly", "--yes")).code == 0
    gone = await stillframe(stack, "policy", "get", "nightly")
    assert (gone.code, gone.out) == (2, "")
    assert "there is no policy nightly" in gone.err


async def test_a_run_whose_guest_cannot_be_held_ends_with_3_and_says_what_to_do(
    stack: Stack, vm: Machine, tmp_path: Path
) -> None:
    scripts = {
        "pre_script": {"path": vm.script("pre.sh", "exit 3")},
        "post_script": {"path": vm.hook("post")},
    }
    settings = vm.guest_processing(**scripts, on_guest_failure="fail", attempts=1)
    request = {"vms": [vm.id], "guest_processing": settings}
    ended = await stillframe(
        stack, "run", "start", written(tmp_path, "run.json", json.dumps(request)), "--watch"
    )
    assert ended.code == 3, ended.err
    assert "script_failed" in ended.out
    assert "db-1: failed" in ended.err


async def test_ctrl_c_leaves_the_run_going_and_cancel_ends_it(
    stack: Stack, vm: Machine, tmp_path: Path
) -> None:
    gate = vm.guest.runtime / "gate"
    waits = vm.script("waits.sh", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    settings = vm.guest_processing(
        pre_script={"path": waits, "timeout_ms": 60_000}, quiesce_timeout_ms=60_000, freeze_budget_ms=90_000
    )
    request = {"vms": [vm.id], "guest_processing": settings}
    file = written(tmp_path, "run.json", json.dumps(request))
    watching = await spawn(stack, "run", "start", file, "--watch")
    assert watching.stderr is not None
    first = (await asyncio.wait_for(watching.stderr.readline(), SOON_S)).decode()
    run_id = first.split()[1]
    watching.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(watching.communicate(), SOON_S)
    assert watching.returncode == 130
    assert f"stillframe run cancel {run_id}" in err.decode()
    assert (await stack.api.run(run_id))["state"] == "running"
    assert (await stillframe(stack, "run", "cancel", run_id)).code == 0
    gate.touch()
    ended = await stillframe(stack, "run", "watch", run_id)
    assert ended.code == 3
    assert "cancelled" in ended.out


async def test_what_the_api_refuses_is_one_sentence_with_the_field(stack: Stack, tmp_path: Path) -> None:
    refused = await stillframe(stack, "policy", "apply", written(tmp_path, "p.yaml", "vms: [db-1]\n"))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: vms[0]: expected the ARM id of a VM")
    assert len(refused.err.splitlines()) == 1


async def test_keys_and_addresses_that_are_wrong_have_exit_codes_of_their_own(stack: Stack) -> None:
    assert (await stillframe(stack, "health", STILLFRAME_KEY="wrong")).code == 6
    assert (await stillframe(stack, "health", STILLFRAME_KEY="")).code == 6
    assert (await stillframe(stack, "health", STILLFRAME_URL="http://127.0.0.1:9")).code == 5


async def test_health_is_shown(stack: Stack) -> None:
    async def healthy() -> bool:
        return (await stillframe(stack, "health")).code == 0

    await until(healthy, within_s=SOON_S, what="health")
    shown = await stillframe(stack, "health", "--no-color")
    assert shown.out.splitlines()[0] == "healthy"
    assert "\x1b" not in shown.out


async def test_completion_knows_the_commands(stack: Stack) -> None:
    asked = {"_STILLFRAME_COMPLETE": "complete_bash", "COMP_WORDS": "stillframe run s", "COMP_CWORD": "2"}
    assert (await stillframe(stack, **asked)).out.split() == ["start", "show"]
