"""No key, token, SAS or secret of a script can be read anywhere afterwards; a planted one is found."""

import base64
import json
import re
import secrets
from typing import Any

import pytest
from azure.storage.queue.aio import QueueServiceClient

from local.arm.faults import Fault
from local.azurite import ACCOUNT_KEY
from local.stack.stack import Stack, StackOptions
from local.stack.waiting import until
from shared.engine.orders import Keys
from shared.engine.queue_names import ACKS
from shared.protocol import RESUMED, Ack, encode_ack
from shared.storage.connection import read_connection
from shared.storage.tables import Tables, create
from tests.e2e.leaks import Place, everything, leaks, run_commands, spellings
from tests.e2e.scene import SOON_S, Machine, assert_all_agents_leave, plain_vm, put

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MASTER = secrets.token_bytes(32)
OF_WEBHOOK = secrets.token_bytes(32)
OPTIONS = StackOptions(
    settings={
        "STILLFRAME_MASTER_KEY": MASTER.hex(),
        "STILLFRAME_WEBHOOK_SECRET_OPS": "whsec_" + base64.b64encode(OF_WEBHOOK).decode(),
    }
)

IN_ENVIRONMENT, IN_CONTENT, IN_OUTPUT = "env-Kq7w", "content-Zx3p", "output-Vb9n"
PEOPLE_ASK_TOO = True  # the test itself reads run commands, as whoever may look into the VM could
TOKEN = b"stillframe-on-loopback"
SAS = re.compile(rb"sig=[A-Za-z0-9%+/=]{20,}")

#: Where the secrets of a script have to be: in what the operator asked for; and on its way to the guest, and
#: there for as long as the session lasts.
ASKED = ("table/sagas/state", "table/runs/run")
ON_ITS_WAY = ("queue/cmd-", "/agent/state.json", "/agent/script-")

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
    nobody = {"url": "https://127.0.0.1:1/", "secret": "ops"}
    told = {"on": ["warning", "failure"], "webhook": nobody}
    run_id = await vm.start_run(settings, notifications=[told, told | {"per": "vm"}])
    await vm.until_phase(run_id, "quiescing")
    saga = (await vm.view(run_id))["saga"]
    meanwhile = [*await run_commands(vm), *await everything(vm, other)]
    await put(stack, ACKS, forged(vm, saga))
    gate.touch()
    view = await vm.ended(run_id)
    scripts = {"pre_script": delivered("pre.sh", "exit 3"), "post_script": delivered("post.sh", ":")}
    broken = await other.run_to_end(scripts | {"on_guest_failure": "fail", "filesystems": "none"})
    await assert_all_agents_leave(vm, other)
    await until(lambda: counted(stack), within_s=SOON_S, what="the forged ack counted")
    shown = [view, broken, await stack.api.run(run_id), await health(stack)]
    places = await everything(vm, other, views=shown)

    assert view["outcome"] != "succeeded"
    assert broken["problem"]["code"] == "script_failed"
    there_are = known(vm, other, saga, broken["saga"])
    assert leaks(meanwhile, there_are, while_it_runs) == []
    assert leaks(places, there_are, afterwards) == []
    assert [place.name for place in (*meanwhile, *places) if SAS.search(place.content)] == []
    # It was looked everywhere, and what is there is found: what a script prints is in the history by design.
    assert {name.partition("/")[0] for name in names(places)} >= {
        "host log",
        "api",
        "guest",
        "table",
        "azure",
    }
    assert {f"guest/{machine.name}/agent/agent.log" for machine in (vm, other)} <= names(places)
    printed = leaks(places, {"output": IN_OUTPUT.encode()})
    assert "output in table/sagas/history" in printed
    assert "output in host log" not in printed


async def test_a_planted_secret_is_found_wherever_it_lies_and_however_it_is_written(stack: Stack) -> None:
    vm = await plain_vm(stack, "planted")
    named = spellings("key", secrets.token_bytes(32))
    (vm.guest.runtime / "agent").mkdir(exist_ok=True)
    (vm.guest.runtime / "agent" / "agent.log").write_bytes(b"; ".join(named.values()))
    text = json.dumps([value.decode("latin-1") for name, value in named.items() if name != "key (raw)"])
    await plant(stack, text)
    places = await everything(vm)

    everywhere = {"guest/planted/agent/agent.log", "table/planted/history", "queue/planted", "host log"}
    for name, value in named.items():
        found = {told.partition(" in ")[2] for told in leaks(places, {name: value}, while_it_runs)}
        assert found == ({"guest/planted/agent/agent.log"} if name == "key (raw)" else everywhere)


async def plant(stack: Stack, text: str) -> None:
    """Leave a text in a table, a queue and the host's log."""
    tables = Tables(read_connection("S", {"S": stack.storage.connection_string}))
    try:
        await tables.transact("planted", [create({"PartitionKey": "p", "RowKey": "history-1", "text": text})])
    finally:
        await tables.close()
    async with QueueServiceClient.from_connection_string(stack.storage.connection_string) as service:
        await service.create_queue("planted")
    await put(stack, "planted", text)
    with stack.host.log.open("a") as log:
        log.write(text)


def names(places: list[Place]) -> set[str]:
    return {place.name for place in places}


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
    found |= spellings("webhook secret", OF_WEBHOOK)
    return found | {
        "account key": ACCOUNT_KEY.encode().rstrip(b"="),
        "token": TOKEN,
        "script environment": IN_ENVIRONMENT.encode(),
        "script content": IN_CONTENT.encode(),
    }


def afterwards(secret: str, place: Place) -> bool:
    return secret.startswith("script ") and place.name in ASKED


def while_it_runs(secret: str, place: Place) -> bool:
    on_its_way = secret.startswith("script ") and any(part in place.name for part in ON_ITS_WAY)
    return on_its_way or afterwards(secret, place)


async def counted(stack: Stack) -> bool:
    return any(day["rejected"] for day in (await health(stack))["acks"].values())


async def health(stack: Stack) -> dict[str, Any]:
    return dict((await stack.api.call("GET", "/api/health"))[2])
