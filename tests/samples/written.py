"""What this version of Stillframe stores and sends, written by its own writers: by area, as JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, get_args, get_type_hints

from agent import bodies
from agent.records import Answer, Quiesced, QuiesceFailed, Ready, Released, Resumed
from shared.compute.tags import at_birth, when_graded
from shared.engine.disk_notes import DiskNotes
from shared.engine.notice_messages import Notice
from shared.engine.orders import Keys, signed_command
from shared.engine.places import Places
from shared.engine.queue_names import GroupMessage, PointMessage, PointTask, RunMessage, RunTask, StepMessage
from shared.engine.request_budget import RequestBudget
from shared.engine.run_settings import RunSettings
from shared.engine.selecting import Place
from shared.policy.documents import read_run
from shared.policy.notifications import Webhook
from shared.protocol import ACK_KINDS, COMMAND_KINDS, encode_ack
from shared.saga.codec import encode
from shared.saga.effects import Effect, Order
from shared.saga.events import Event
from shared.saga.evidence import Evidence
from shared.saga.history import HistoryEntry
from shared.saga.state import SagaState
from shared.storage.agents import AgentTable, ResidentAgent
from shared.storage.claims import ClaimTable
from shared.storage.counters import CounterTable
from shared.storage.findings import Finding, FindingTable
from shared.storage.groups import GroupRecord, GroupTable
from shared.storage.housekeeping import HousekeepingTable, Pass
from shared.storage.memory import MemoryTables
from shared.storage.point_records import PointRecord
from shared.storage.points import PointTable, Scope
from shared.storage.policies import DueSchedule, PolicyTable
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import ListedRun, RunList
from shared.storage.run_records import RunEntry, RunRecord, RunSelection, Unread
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.selections import SelectionTable
from shared.storage.turns import TurnTable
from tests.samples.examples import example

SAGA = "0123456789abcdef0123"
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db"
KEYS = Keys(bytes(range(32)))
NOW = 1_790_000_000_000
POLICY = {"vms": [VM], "schedules": [{"name": "nightly", "cron": "0 2 * * *"}], "retention": {"keep_last": 3}}

#: Guest processing that says as much as a command can.
GUEST = {
    "pre_script": {
        "path": "/opt/pre.sh", "arguments": ["--quiet"], "environment": {"LEVEL": "1"}, "timeout_ms": 5_000,
        "retries": 1, "accepted_exit_codes": [0, 3], "warning_exit_codes": [4], "ignore_missing": True,
        "stderr": "warn", "run_as": "backup",
    },
    "post_script": {"content": "#!/bin/sh\ntrue\n", "name": "post.sh"},
    "handlers": [{"name": "postgresql"}],
}  # fmt: skip

#: The tables whose rows are samples, by the area that they are in.
TABLES = (
    "agents", "counters", "findings", "housekeeping", "points", "policies", "reservations", "runs", "sagas",
)  # fmt: skip


def example_state() -> SagaState:
    """Give a saga with every member that there may be."""
    spec = example(SagaState).spec
    state: SagaState = example(
        SagaState, spec=replace(spec, saga_id=SAGA, run_id="run-1", vm_id=VM), evidence=evidence()
    )
    return state


def evidence() -> Evidence:
    """Give evidence with every member that there may be."""
    found: Evidence = example(Evidence)
    return found


async def stored() -> MemoryTables:
    """Write one of everything into tables."""
    tables = MemoryTables()
    await _sagas(tables)
    await _runs(tables)
    points, policies = PointTable(tables), PolicyTable(tables, token=lambda: "token")
    await points.record(example(PointRecord, point_id=SAGA, vm_id=VM, policy="nightly"), encode(evidence()))
    await points.note_scopes([Scope("s", "g")])
    await policies.put("nightly", POLICY, dues={"nightly": NOW})
    due = DueSchedule(policy="nightly", schedule="nightly", next_due=NOW)
    then = DueSchedule(
        policy="nightly", schedule="nightly", next_due=NOW + 1, last_run="run-1", last_run_at=NOW,
        missed_at=NOW, missed_why="why",
    )  # fmt: skip
    await policies.claim_due(due, then)
    findings = FindingTable(tables)
    await findings.note(example(Finding))
    for number in range(2):
        await findings.begin_pass(NOW + number)
    agents = AgentTable(tables)
    await agents.put(example(ResidentAgent, vm_id=VM))
    await agents.note_use(VM, NOW)
    await CounterTable(tables).add("acks", "2026-11-27", {"rejected_stranger": 1})
    reservations = ReservationTable(tables)
    for name, kind in (("held-1", Places), ("vm-1", DiskNotes), ("requests-1", RequestBudget)):
        await reservations.row(name, kind()).change(_becomes(example(kind)))
    passes = HousekeepingTable(tables)
    await passes.end(example(Pass))
    await passes.go_on(example(Pass))
    return tables


def _becomes(record: Any) -> Callable[[Any], tuple[Any, None]]:
    return lambda _: (record, None)


async def _sagas(tables: MemoryTables) -> None:
    history = [
        HistoryEntry(
            at=NOW, event=kind.__name__, from_phase="pending", to_phase="preflight", generation=1,
            effects=("ReadFacts",), detail=encode(example(kind)),
        )
        for kind in get_args(Event)
    ]  # fmt: skip
    effects = [example(kind) for kind in get_args(Effect)]
    sagas = SagaTable(tables, token=lambda: "token")
    await sagas.create(example_state(), cause="cause", outbox=effects, history=history)


async def _runs(tables: MemoryTables) -> None:
    runs = RunTable(tables)
    settings: RunSettings = example(RunSettings)
    entry: RunEntry = example(RunEntry, saga_id=SAGA, vm_id=VM, outcome="")
    record = RunRecord(
        run_id="run-1", created_at=NOW, policy_name="nightly", requested_by="http", vm_count=1,
        settings=settings.record(), selection=RunSelection(done=True, looked_at=NOW, excluded=1),
    )  # fmt: skip
    listed: ListedRun = example(ListedRun, run_id="run-1", created_at=NOW, policy_name="nightly")
    await RunList(tables).put(listed)
    turns = TurnTable(tables)
    await turns.create("run-1", [replace(entry, place=1), replace(entry, place=2)], at_once=1)
    await runs.create(record, [entry])
    await runs.end_entry("run-1", replace(entry, outcome="succeeded"))
    await turns.pass_on("run-1", SAGA)
    await SelectionTable(tables).add_unread("run-1", "place", Unread("/subscriptions/s", "Code", "detail"))
    await runs.note_told("run-1", "ended")
    await GroupTable(tables).create("run-1", [example(GroupRecord, name="trio")])
    await ClaimTable(tables).claim("key", "digest", "run-1", at=NOW)


def messages() -> list[dict[str, Any]]:
    """Write one of each message of the app's own queues."""
    webhook: Webhook = example(Webhook, url="https://receiver.example/hook")
    notice = Notice(event={"id": "a1", "type": "x"}, webhook=webhook, first_at=NOW)
    place: Place = example(Place)
    texts = {
        "run": [RunMessage(task, "run-1", SAGA, "00-trace").text() for task in RunTask],
        "selection": [place.text()],
        "step": [StepMessage("run-1", SAGA, VM, 3, "00-trace", try_number=2).text()],
        "group": [
            example(GroupMessage, barrier="held").text(),
            GroupMessage(run_id="run-1", name="trio").text(),
        ],
        "point": [PointMessage(task, "nightly", "after").text() for task in PointTask],
        "notice": [notice.text(), notice.dead_letter("no answer", NOW)],
    }
    return [{"kind": kind, "text": json.loads(text)} for kind, each in texts.items() for text in each]


def commands() -> list[dict[str, Any]]:
    """Write one of each command that the app sends to a guest."""
    state = example_state()
    guest = read_run({"vms": [VM], "guest_processing": GUEST}).guest
    assert guest is not None
    state = replace(state, spec=replace(state.spec, guest=guest))
    orders = [Order(kind=kind, generation=1, sequence=2, expires_at=NOW) for kind in COMMAND_KINDS]
    return [json.loads(signed_command(state, order, KEYS)) for order in orders]


def acks() -> list[dict[str, Any]]:
    """Write one of each ack that the agent sends."""
    guest = bodies.Guest(vm=VM, boot_id="boot", system="linux", python="3.13", version="1.0", resident=True)
    facts = dict(zip(ACK_KINDS, (Ready, Quiesced, QuiesceFailed, Resumed, Released), strict=True))
    key = KEYS.of_session(VM, SAGA)
    return [
        json.loads(
            encode_ack(
                bodies.ack(
                    Answer(kind=kind, saga=SAGA, generation=1, sequence=1, answers=1, facts=example(said)),
                    guest, NOW,
                ),
                key,
            )
        )
        for kind, said in facts.items()
    ]  # fmt: skip


def tags() -> dict[str, str]:
    """Write the tags of a snapshot."""
    born = at_birth(policy="nightly", run="run-1", saga=SAGA, generation=1)
    graded = when_graded(
        grade="crash", freeze_window_ms=1, evidence="e", warnings=1, left_out=["os"], outcome="succeeded"
    )
    return born | graded


def words() -> dict[str, dict[str, str]]:
    """Give every word that stored records may have where there is a choice, by the name of the choice."""
    found: dict[str, dict[str, str]] = {}
    seen: set[Any] = set()
    kinds: list[Any] = [SagaState, Event, Effect, RunSettings, PointRecord, Finding, Evidence]
    while kinds:
        kind = kinds.pop()
        if kind in seen:
            continue
        seen.add(kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            found[kind.__name__] = {str(word.value): "" for word in kind}
        elif isinstance(kind, type) and is_dataclass(kind):
            hints = get_type_hints(kind)
            kinds += [hints[field.name] for field in fields(kind)]
        else:
            kinds += get_args(kind)
    return found


async def everything() -> dict[str, Any]:
    """Write all areas."""
    tables = await stored()
    rows: dict[str, Any] = {name: _rows(tables, name) for name in TABLES}
    sent: dict[str, Any] = {"messages": messages(), "commands": commands(), "acks": acks()}
    return rows | sent | {"tags": tags(), "words": words()}


def _rows(tables: MemoryTables, name: str) -> list[dict[str, Any]]:
    """Give the rows of a table as they are stored; JSON in chunks is put together, 64-bit numbers told."""
    return [_row(entity) for _, (entity, _) in sorted(tables._tables[name].items())]


def _row(entity: Mapping[str, Any]) -> dict[str, Any]:
    columns = {k: _column(v) for k, v in entity.items() if not k.startswith("json")}
    chunks = "".join(entity[name] for name in sorted(entity) if name.startswith("json"))
    return columns | ({"json": json.loads(chunks)} if chunks else {})


def _column(value: Any) -> Any:
    return {"int64": value[0]} if isinstance(value, tuple) else value
