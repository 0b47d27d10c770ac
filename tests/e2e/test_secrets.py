"""No key, token, SAS or secret of a script can be read anywhere afterwards; a planted one is found."""

import re
import secrets
from typing import Any

import pytest

from local.arm.faults import Fault
from local.azurite import ACCOUNT_KEY
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.orders import Keys
from shared.engine.queue_names import ACKS
from shared.protocol import RESUMED, Ack, encode_ack
from tests.e2e.leaks import Place, everything, leaks, run_commands, spellings
from tests.e2e.scene import SOON_S, Machine, assert_all_agents_leave, plain_vm, put

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MASTER = secrets.token_bytes(32)
OPTIONS = StackOptions(settings={"STILLFRAME_MASTER_KEY": MASTER.hex()})

IN_ENVIRONMENT, IN_CONTENT, IN_OUTPUT = "env-Kq7w", "content-Zx3p", "output-Vb9n"
TOKEN = b"stillframe-on-loopback"
SAS = re.compile(rb"sig=[A-Za-z0-9%+/=]{20,}")

#: Where a secret of a script has to be: in what the operator asked for, and on its way to the guest.
BY_DESIGN = {
    "script environment": ("table/sagas/state", "table/runs/run", "queue/stillframe-vm-", "/agent/"),
    "script content": ("table/sagas/state", "table/runs/run", "queue/stillframe-vm-", "/agent/"),
}

FAILING_PUT = Fault(
    method="PUT", path_contains="-g1-0", operation_fails=("InternalDiskManagementError", "It broke.")
)


async def test_after_sagas_that_went_wrong_no_secret_can_be_read_anywhere(stack: Stack) -> None:
    vm, other = await plain_vm(stack, "vault"), await plain_vm(stack, "neighbour")
    stack.world.faults.add(Fault(method="GET", path_contains="/disks/", status=503), times=1)
    stack.world.faults.add(FAILING_PUT)
    gate = vm.guest.runtime / "gate"
    waiting = [f"while [ ! -e {gate} ]; do sleep 0.05; done", f"echo {IN_OUTPUT}", f"# {IN_CONTENT}"]
    settings = vm.guest_processing(pre_script=delivered("pre.sh", *waiting, timeout_ms=60_000), attempts=1)
    settings |= {"post_script": delivered("post.sh", "exit 5"), "on_guest_failure": "continue"}
    settings |= {"quiesce_timeout_ms": 60_000, "freeze_budget_ms": 90_000}
    run_id = await vm.start_run(settings)
    await vm.until_phase(run_id, "quiescing")
    saga = (await vm.view(run_id))["saga"]
    meanwhile = await run_commands(vm)
    await put(stack, ACKS, forged(vm, saga))
    gate.touch()
    view = await vm.ended(run_id)
    broken = await other.run_to_end(
        {"pre_script": delivered("pre.sh", "exit 3"), "on_guest_failure": "fail", "filesystems": "none"}
    )
    await assert_all_agents_leave(vm, other)
    await until(lambda: counted(stack), within_s=SOON_S, what="the forged ack counted")
    shown = [view, broken, await stack.api.run(run_id), await health(stack)]
    places = [*meanwhile, *await everything(vm, other, views=shown)]

    assert view["outcome"] != "succeeded"
    assert broken["problem"]["code"] == "script_failed"
    assert leaks(places, known(vm, other, saga, broken["saga"]), excused) == []
    assert [place.name for place in places if SAS.search(place.content) and not is_session(place)] == []
    # It was looked everywhere, and what is there is found: what a script prints is in the history by design.
    kinds = {place.name.partition("/")[0] for place in places}
    assert kinds == {"host log", "api", "guest", "table", "queue", "azure"}
    printed = leaks(places, {"output": IN_OUTPUT.encode()})
    assert "output in table/sagas/history" in printed
    assert "output in host log" not in printed


@pytest.mark.parametrize("spelled", spellings("", MASTER))
async def test_a_planted_secret_is_found_however_it_is_written(spelled: str) -> None:
    value = spellings("", MASTER)[spelled]
    for name in ("host log", "table/sagas/history", "guest/vault/agent/agent.log"):
        planted = Place(name, b"so " + value + b" it is")
        assert leaks([planted], spellings("key", MASTER), excused) == [f"key{spelled} in {name}"]


def delivered(name: str, *lines: str, timeout_ms: int = 4_000) -> dict[str, Any]:
    """A script that is sent along with secrets in its text and its environment."""
    return {
        "content": "\n".join(["#!/bin/sh", f"# {IN_CONTENT}", *lines, ""]),
        "name": name,
        "environment": {"DB_PASSWORD": IN_ENVIRONMENT},
        "timeout_ms": timeout_ms,
    }


def forged(vm: Machine, saga: str) -> str:
    body = {"boot_id": "b", "released_by": "order", "held_until_order": True, "held": [], "window_ms": 1}
    return encode_ack(Ack(RESUMED, vm.id.lower(), saga, 1, 9, 1, 0, body), secrets.token_bytes(32))


def known(vm: Machine, other: Machine, *sagas: str) -> dict[str, bytes]:
    """Every secret there is, in every spelling."""
    keys = Keys(MASTER)
    found = spellings("master key", MASTER)
    for machine, saga in zip((vm, other), sagas, strict=True):
        found |= spellings(f"VM key of {machine.name}", keys.of_vm(machine.id))
        found |= spellings(f"session key of {machine.name}", keys.of_session(machine.id, saga))
    return found | {
        "account key": ACCOUNT_KEY.encode().rstrip(b"="),
        "token": TOKEN,
        "script environment": IN_ENVIRONMENT.encode(),
        "script content": IN_CONTENT.encode(),
    }


def excused(secret: str, place: Place) -> bool:
    """Whether a secret has to be there: a guest's own keys in its session's file, a script on its way."""
    if secret.startswith(("VM key", "session key")) and is_session(place):
        return True
    return ".log" not in place.name and any(part in place.name for part in BY_DESIGN.get(secret, ()))


def is_session(place: Place) -> bool:
    """Whether this is the file in which a guest's agent keeps its own session: root's, in memory."""
    return place.name.startswith("guest/") and place.name.endswith("/agent/session.json")


async def counted(stack: Stack) -> bool:
    return any(day["rejected"] for day in (await health(stack))["acks"].values())


async def health(stack: Stack) -> dict[str, Any]:
    return dict((await stack.api.call("GET", "/api/health"))[2])
