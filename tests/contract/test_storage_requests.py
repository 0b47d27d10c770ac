"""What goes over the wire: how many requests, and what happens when answers are lost. On Azurite."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError

from shared.saga.effects import Effect, ReadFacts, Watch
from shared.saga.state import Phase
from shared.storage.claims import ClaimTable
from shared.storage.clients import QUEUE_RETRIES, TABLE_RETRIES, queue_service, table_service
from shared.storage.connection import Connection
from shared.storage.errors import SagaChanged, SagaExists
from shared.storage.policies import DueSchedule, PolicyTable
from shared.storage.queues import Queues
from shared.storage.run_records import RunEntry
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.tables import Tables
from tests.contract.support import Requests, entry, run_record, saga_state, unique

pytestmark = pytest.mark.azurite

OUTBOX: list[Effect] = [ReadFacts(vm_id="/subscriptions/s/vm1"), Watch(number=1, at=1_790_000_060_000)]

#: More than the SDK tries: it gives up, and the repository has to look for itself.
ALL_TRIES = 1 + int(TABLE_RETRIES["retry_total"])


@pytest.fixture
async def watched_queues(connection: Connection, requests: Requests) -> AsyncIterator[Queues]:
    queues = Queues(connection, transport=requests.transport)
    yield queues
    await queues.close()


async def test_creating_loading_and_saving_a_saga_take_one_request_each(
    watched: Tables, requests: Requests
) -> None:
    sagas = SagaTable(watched)
    mark = len(requests.sent)

    stored = await sagas.create(saga_state(), cause="start", outbox=OUTBOX, history=[entry(1)])
    assert requests.since(mark) == ["POST $batch"]
    await sagas.load(stored.state.spec.saga_id)
    assert requests.since(mark)[1:] == ["GET sagas()"]
    await sagas.save(stored, stored.state, cause="facts", outbox=OUTBOX, history=[entry(2), entry(3)])
    assert requests.since(mark)[2:] == ["POST $batch"]


async def test_a_run_takes_two_requests_to_create_and_one_for_each_later_touch(
    watched: Tables, requests: Requests
) -> None:
    runs, run_id = RunTable(watched), unique("run")
    entries = [RunEntry(saga_id=f"saga-{number:03}", vm_id="/vm") for number in range(250)]
    mark = len(requests.sent)

    await runs.create(run_record(run_id, 99), entries[:99])
    assert len(requests.since(mark)) == 2
    await runs.end_entry(run_id, entries[0])
    await runs.get(run_id)
    await runs.page(run_id, None)
    await runs.request_cancel(run_id)
    await ClaimTable(watched).claim(unique("key"), "digest", run_id)
    assert len(requests.since(mark)) == 2 + 5

    mark = len(requests.sent)
    await runs.create(run_record(unique("run"), 250), entries)
    assert len(requests.since(mark)) == 5


async def test_a_message_takes_one_request_and_two_more_to_create_its_queue(
    watched_queues: Queues, requests: Requests
) -> None:
    queue = unique("queue")

    await watched_queues.send(queue, "first")
    assert len(requests.sent) == 3
    receipt = await watched_queues.send(queue, "second")
    await watched_queues.cancel(queue, receipt)
    assert len(requests.sent) == 5


async def test_a_missing_table_is_created_by_the_first_write_and_empty_to_a_read(
    connection: Connection, requests: Requests
) -> None:
    tables = Tables(connection, transport=requests.transport)
    runs = RunTable(tables, table="t" + unique("t").replace("-", ""))

    assert await runs.page("run-1") == []
    assert [run_id async for run_id in runs.active()] == []
    await runs.create(run_record("run-1"), [])
    assert (await runs.get("run-1")).run_id == "run-1"
    await tables.close()


@pytest.mark.parametrize("lost", [1, ALL_TRIES])
async def test_a_creation_whose_answer_was_lost_is_recognised(
    watched: Tables, requests: Requests, lost: int
) -> None:
    sagas, state = SagaTable(watched), saga_state()
    requests.lose = lost

    created = await sagas.create(state, cause="start", outbox=OUTBOX, history=[entry(1)])

    assert await sagas.load(state.spec.saga_id) == created
    assert await sagas.history(state.spec.saga_id) == [entry(1)]


@pytest.mark.parametrize("lost", [1, ALL_TRIES])
async def test_a_save_whose_answer_was_lost_is_recognised_and_not_done_twice(
    watched: Tables, requests: Requests, lost: int
) -> None:
    sagas = SagaTable(watched)
    stored = await sagas.create(saga_state(), cause="start", outbox=OUTBOX, history=[])
    saga_id = stored.state.spec.saga_id
    requests.lose = lost

    saved = await sagas.save(
        stored, saga_state(saga_id, Phase.ARMING), cause="facts", outbox=OUTBOX[:1], history=[entry(1)]
    )

    assert await sagas.load(saga_id) == saved
    assert await sagas.history(saga_id) == [entry(1)]
    again = await sagas.save(saved, saved.state, cause="facts", outbox=[], history=[])
    assert (await sagas.load(saga_id)).outbox == again.outbox == ()


async def test_a_conflict_behind_a_lost_answer_is_still_a_conflict(
    watched: Tables, requests: Requests
) -> None:
    sagas = SagaTable(watched)
    stale = await sagas.create(saga_state(), cause="start", outbox=[], history=[])
    await sagas.save(stale, stale.state, cause="facts", outbox=[], history=[])

    requests.lose = 1
    with pytest.raises(SagaChanged):
        await sagas.save(stale, stale.state, cause="cancel", outbox=[], history=[])
    requests.lose = 1
    with pytest.raises(SagaExists):
        await sagas.create(stale.state, cause="start", outbox=[], history=[])


async def test_a_save_of_which_nothing_is_known_says_so(watched: Tables, requests: Requests) -> None:
    sagas = SagaTable(watched)
    stored = await sagas.create(saga_state(), cause="start", outbox=[], history=[])
    requests.lose, requests.methods = 2 * ALL_TRIES, ("POST", "GET")

    with pytest.raises(ServiceResponseError):
        await sagas.save(stored, stored.state, cause="facts", outbox=[], history=[])


async def test_a_run_and_its_claim_survive_lost_answers(watched: Tables, requests: Requests) -> None:
    runs, claims = RunTable(watched), ClaimTable(watched)
    record, key = run_record(unique("run")), unique("key")

    requests.lose = 1
    assert await claims.claim(key, "digest", record.run_id) == record.run_id
    for lost in range(2):
        requests.lose = lost + 1
        await runs.create(record, [RunEntry(saga_id="saga-1", vm_id="/vm")])

    assert await runs.get(record.run_id) == record
    assert await claims.claim(key, "digest", "run-other") == record.run_id


@pytest.mark.parametrize("lost", [1, ALL_TRIES])
async def test_a_claimed_due_time_whose_answer_was_lost_is_still_ours(
    watched: Tables, requests: Requests, lost: int
) -> None:
    policies, name = PolicyTable(watched), unique("policy")
    stored = await policies.put(name, {"vms": []}, dues={"default": 1_790_000_000_000})

    requests.lose = lost
    due = DueSchedule(policy=name, next_due=1_790_000_000_000)
    assert await policies.claim_due(due, replace(due, next_due=1_790_000_060_000))
    assert requests.lose == 0
    assert await policies.next_due(name) == 1_790_000_060_000
    requests.lose = lost
    replaced = await policies.put(name, {"vms": ["a"]}, stored.etag)
    assert await policies.get(name) == replaced


async def test_a_message_whose_answer_was_lost_is_sent_again(
    watched_queues: Queues, requests: Requests
) -> None:
    queue = unique("queue")
    await watched_queues.ensure(queue)
    requests.lose = 1

    await watched_queues.send(queue, "at least once")

    assert requests.sent[1:] == ["POST messages"] * 2


async def test_the_clients_carry_the_retries_and_time_outs_that_clients_py_says(
    connection: Connection,
) -> None:
    # No public attribute tells what a client was configured with.
    queues: Any = queue_service(connection)
    tables: Any = table_service(connection)
    queue_policy = queues._config.retry_policy
    table_policy = next(p for p in tables._policies if type(p).__name__ == "AsyncTablesRetryPolicy")
    waits = [queue_policy.get_backoff_time({"count": count}) for count in (1, 2, 3)]

    assert {name: vars(queue_policy)[name] for name in QUEUE_RETRIES if name != "retry_total"} == {
        "initial_backoff": 0.2,
        "increment_base": 1,
        "random_jitter_range": 0,
    }
    assert (queue_policy.total_retries, waits) == (3, [1.2, 1.2, 1.2])
    assert (table_policy.total_retries, table_policy.backoff_factor, table_policy.backoff_max) == (3, 0.1, 2)
    for transport in (queues._pipeline._transport, tables._client._client._pipeline._transport):
        assert (transport.connection_config.timeout, transport.connection_config.read_timeout) == (5, 15)
    await queues.close()
    await tables.close()


async def test_a_closed_service_is_reported_after_its_retries(
    connection: Connection, requests: Requests
) -> None:
    nobody = replace(connection, table_endpoint="http://127.0.0.1:9/devstoreaccount1")
    tables = Tables(nobody, transport=requests.transport)

    with pytest.raises(Exception, match="Cannot connect"):
        await SagaTable(tables).load("saga-1")

    await tables.close()


def test_storage_may_be_used_from_several_event_loops(connection: Connection) -> None:
    tables = Tables(connection)
    sagas, state = SagaTable(tables), saga_state()
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(sagas.create(state, cause="start", outbox=[], history=[]))
        for runner in (second, first, second):
            assert runner.run(sagas.load(state.spec.saga_id)).state == state

        for runner in (first, second):
            runner.run(tables.close())
        assert first.run(sagas.load(state.spec.saga_id)).state == state
        first.run(tables.close())
