"""What every version has stored and sent is read by this one, and its own form changes with a sample only."""

import asyncio
import itertools
import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from agent.orders import parse
from shared.engine.disk_notes import DiskNotes
from shared.engine.notice_messages import read_notice
from shared.engine.places import Places
from shared.engine.queue_names import (
    read_group_message,
    read_point_message,
    read_run_message,
    read_step_message,
)
from shared.engine.reports import event_of
from shared.engine.request_budget import RequestBudget
from shared.engine.run_settings import read_settings
from shared.engine.selecting import read_place
from shared.policy.documents import read_policy
from shared.protocol import decode_ack, decode_command
from shared.saga.effects import Effect
from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.counters import CounterTable
from shared.storage.findings import FindingTable
from shared.storage.housekeeping import HousekeepingTable
from shared.storage.memory import MemoryTables
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import RunList
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.selections import SelectionTable
from shared.storage.tables import upsert
from shared.storage.turns import TurnTable
from tests.samples import kept
from tests.samples.kept import NotAdditive, areas, form_of, keep, samples
from tests.samples.shapes import lost
from tests.samples.written import KEYS, NOW, SAGA, TABLES, VM, everything

FILES = sorted(kept.FOLDER.glob("v*/*.json"))


@cache
def written() -> dict[str, Any]:
    return asyncio.run(everything())


def of_area(area: str) -> list[Path]:
    return [path for _, _, path in samples(area)]


def sample(path: Path) -> Any:
    return json.loads(path.read_text())


def names(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("area", sorted(written()))
def test_what_this_version_writes_has_the_form_of_the_newest_sample(area: str) -> None:
    """If this fails: `python -m tests.samples` keeps a sample of the new form, or says what to do."""
    newest = json.loads(of_area(area)[-1].read_text())
    assert form_of(written()[area]) == form_of(newest)


@pytest.mark.parametrize("area", list(areas()))
def test_within_a_version_members_are_only_added(area: str) -> None:
    known = samples(area)
    for (version, _, old), (following, _, new) in itertools.pairwise(known):
        if version == following:
            assert lost(form_of(json.loads(old.read_text())), form_of(json.loads(new.read_text()))) == []


async def tables_of(path: Path, **extra: Any) -> MemoryTables:
    """Put the rows of a sample into tables, as they were stored, with more columns by ``extra``."""
    tables, area = MemoryTables(), path.stem.partition("+")[0]
    for row in sample(path):
        entity: dict[str, Any] = {
            name: (value["int64"], "Edm.Int64") if isinstance(value, dict) and "int64" in value else value
            for name, value in row.items()
            if name != "json"
        }
        if "json" in row:
            data = row["json"]
            entity["json00"] = json.dumps({**data, **extra} if isinstance(data, dict) and extra else data)
        await tables.transact(area, [upsert({**entity, **extra})])
    return tables


async def read(path: Path, **extra: Any) -> None:
    """Read all of a sample by the readers of this version."""
    await READERS[path.stem.partition("+")[0]](await tables_of(path, **extra))


async def _sagas(tables: MemoryTables) -> None:
    found = await SagaTable(tables).load(SAGA)
    assert (found.state.spec.saga_id, found.state.spec.vm_id, found.cause) == (SAGA, VM, "cause")
    assert {type(effect) for effect in found.outbox} <= set(get_args(Effect))
    assert len(found.outbox) >= 10
    history = await SagaTable(tables).history(SAGA)
    assert {entry.event for entry in history} >= {"Started", "Quiesced", "Resumed"}
    assert (await SagaTable(tables).look(SAGA))[0] == found.state


async def _runs(tables: MemoryTables) -> None:
    runs = RunTable(tables)
    record = await SelectionTable(tables).with_unread(await runs.get("run-1"))
    assert (record.created_at, record.policy_name) == (NOW, "nightly")
    assert record.selection is not None
    assert record.selection.unread[0].code == "Code"
    assert read_settings(record).guest.attempts == 7
    [entry] = await runs.page("run-1")
    assert (entry.outcome, entry.vm_id, entry.timeline is not None) == ("succeeded", VM, True)
    assert await ClaimTable(tables).claimed("key") == "run-1"
    assert await runs.was_told("run-1", "ended")
    assert [run async for run in runs.active()] == ["run-1"]
    [listed] = await RunList(tables).page(policy="nightly", since=None, until=None, after="", limit=5)
    assert (listed.run_id, listed.figures is not None) == ("run-1", True)
    turn = await TurnTable(tables).pass_on("run-1", SAGA)
    assert turn is not None
    assert turn.vm_id == VM
    assert len(await ClaimTable(tables).page(after="", size=5)) == 1


async def _policies(tables: MemoryTables) -> None:
    policies = PolicyTable(tables)
    stored = await policies.get("nightly")
    assert read_policy(stored.document).schedules[0].name == "nightly"
    due = {each.schedule: each async for each in policies.schedules("nightly")}
    assert (due["nightly"].next_due, due["nightly"].last_run) == (NOW + 1, "run-1")


async def _points(tables: MemoryTables) -> None:
    points = PointTable(tables)
    assert (await points.get(SAGA)).record.policy == "nightly"
    assert (await points.evidence(SAGA))["captures"]
    assert [point.record.vm_id async for point in points.of_policy("nightly")] == [VM]
    assert [scope.resource_group for scope in await points.scopes()] == ["g"]


async def _findings(tables: MemoryTables) -> None:
    findings = FindingTable(tables)
    assert len([each async for each in findings.all()]) == 1
    assert (await findings.passes()).before == NOW


async def _agents(tables: MemoryTables) -> None:
    agents = AgentTable(tables)
    agent = await agents.get(VM)
    assert agent is not None
    assert agent.key_version == 7
    assert {each.last_use for each in await agents.known(after="", size=5)} <= {7, NOW}


async def _counters(tables: MemoryTables) -> None:
    assert (await CounterTable(tables).read("acks", "2026-11-27"))["rejected_stranger"] == 1


async def _reservations(tables: MemoryTables) -> None:
    table = ReservationTable(tables)
    kinds = (("held-1", Places()), ("vm-1", DiskNotes()), ("requests-1", RequestBudget()))
    for name, empty in kinds:
        assert await table.row(name, empty).change(lambda row: (row, row)) != empty


async def _housekeeping(tables: MemoryTables) -> None:
    passes = await HousekeepingTable(tables).passes()
    assert passes.now is not None
    assert passes.last is not None


READERS = {
    "sagas": _sagas, "runs": _runs, "policies": _policies, "points": _points, "findings": _findings,
    "agents": _agents, "counters": _counters, "reservations": _reservations, "housekeeping": _housekeeping,
}  # fmt: skip
ROWS = [path for path in FILES if path.stem.partition("+")[0] in TABLES]


@pytest.mark.parametrize("path", ROWS, ids=names)
async def test_rows_of_every_version_are_read(path: Path) -> None:
    await read(path)


@pytest.mark.parametrize("path", [path for path in ROWS if "counters" not in path.stem], ids=names)
async def test_members_and_columns_that_a_newer_version_added_are_left_alone(path: Path) -> None:
    if path.stem.startswith("policies"):  # the document is the operator's: what is unknown there is an error
        return
    await read(path, of_tomorrow=5)


@pytest.mark.parametrize("path", [path for path in FILES if "messages" in path.stem], ids=names)
@pytest.mark.parametrize("with_version", [True, False])
def test_messages_of_every_version_are_read_with_and_without_saying_it(
    path: Path, *, with_version: bool
) -> None:
    readers = {
        "run": read_run_message, "step": read_step_message, "point": read_point_message,
        "notice": read_notice, "selection": read_place, "group": read_group_message,
    }  # fmt: skip
    for message in json.loads(path.read_text()):
        members = message["text"]
        if not with_version and members.get("v") == 1:
            del members["v"]
        readers[message["kind"]](json.dumps({**members, "of_tomorrow": {}}))


@pytest.mark.parametrize("path", [path for path in FILES if "commands" in path.stem], ids=names)
def test_commands_of_every_version_are_read_by_this_versions_agent(path: Path) -> None:
    kinds = set()
    for text in json.loads(path.read_text()):
        command = decode_command(json.dumps(text), VM, lambda saga: KEYS.of_session(VM, saga), NOW)
        kinds.add(command.kind)
        parse(command)
    assert kinds == {"arm", "quiesce", "resume", "release"}


@pytest.mark.parametrize("path", [path for path in FILES if "acks" in path.stem], ids=names)
def test_acks_of_every_version_are_read_by_this_versions_app(path: Path) -> None:
    events = set()
    for text in json.loads(path.read_text()):
        ack = decode_ack(json.dumps(text), KEYS.of_session)
        events.add(type(event_of(ack, NOW)).__name__)
    assert events == {"AgentReady", "Quiesced", "QuiesceFailed", "Resumed", "Released"}


@pytest.mark.parametrize("path", [path for path in FILES if "words" in path.stem], ids=names)
def test_every_word_that_was_ever_stored_is_still_one(path: Path) -> None:
    known = written()["words"]
    for choice, words in json.loads(path.read_text()).items():
        assert set(words) <= set(known[choice]), choice


def test_a_form_that_changes_needs_a_sample_and_one_that_loses_something_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "FOLDER", tmp_path)
    row = {"PartitionKey": "p", "RowKey": "state", "schema": 1, "json": {"type": "X", "a": 1}}
    more = {**row, "json": {**row["json"], "b": [True]}}  # type: ignore[dict-item]
    another = {**row, "json": {"type": "X", "a": "1", "b": [True]}}
    assert keep("sagas", [row]) == tmp_path / "v1" / "sagas.json"
    assert keep("sagas", [{**row, "json": {"type": "X", "a": 99}}]) is None
    assert keep("sagas", [more]) == tmp_path / "v1" / "sagas+1.json"
    with pytest.raises(NotAdditive, match=r"state:X\.json\.b, .* is gone"):
        keep("sagas", [row])
    with pytest.raises(NotAdditive):
        keep("sagas", [another])
    assert keep("sagas", [{**another, "schema": 2}]) == tmp_path / "v2" / "sagas.json"
    assert [path.name for path in of_area("sagas")] == ["sagas.json", "sagas+1.json", "sagas.json"]
