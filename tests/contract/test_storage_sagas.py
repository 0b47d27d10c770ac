"""The contract of saga storage; every test runs in memory and on Azurite."""

import asyncio

import pytest

from shared.saga.effects import Effect, Order, ReadFacts, RecordEnd, SendCommand, Watch
from shared.saga.state import Phase
from shared.storage.errors import RowTooLarge, SagaChanged, SagaExists, SagaNotFound, TooManyRows, UnusableKey
from tests.contract.support import Storage, entry, saga_state

READ = ReadFacts(vm_id="/subscriptions/s/vm1")
WATCH = Watch(number=1, at=1_790_000_060_000)


async def test_a_created_saga_is_loaded_as_it_was_written(storage: Storage) -> None:
    state = saga_state(phase=Phase.PREFLIGHT, deadline=1_790_000_099_999, notes=("ä", "𝄞"))
    created = await storage.sagas.create(state, cause="start", outbox=[READ, WATCH], history=[entry(1)])

    loaded = await storage.sagas.load(state.spec.saga_id)

    assert loaded == created
    assert (loaded.state, loaded.cause, loaded.outbox) == (state, "start", (READ, WATCH))
    assert not loaded.cached


async def test_a_saga_cannot_be_created_twice(storage: Storage) -> None:
    first = saga_state()
    await storage.sagas.create(first, cause="start", outbox=[READ], history=[entry(1)])

    with pytest.raises(SagaExists) as raised:
        await storage.sagas.create(
            saga_state(first.spec.saga_id, Phase.DONE), cause="other", outbox=[], history=[entry(2)]
        )

    assert raised.value.saga_id == first.spec.saga_id
    assert (await storage.sagas.load(first.spec.saga_id)).state == first
    assert await storage.sagas.history(first.spec.saga_id) == [entry(1)]


async def test_a_saga_that_was_never_created_is_not_found(storage: Storage) -> None:
    with pytest.raises(SagaNotFound) as raised:
        await storage.sagas.load("saga-nobody")

    assert raised.value.saga_id == "saga-nobody"
    assert await storage.sagas.history("saga-nobody") == []


async def test_a_save_replaces_the_state_and_the_whole_outbox(storage: Storage) -> None:
    created = await storage.sagas.create(saga_state(), cause="start", outbox=[READ, WATCH], history=[])
    saga_id = created.state.spec.saga_id
    order = SendCommand(Order("quiesce", 1, 2, 1_790_000_000_000))

    saved = await storage.sagas.save(
        created, saga_state(saga_id, Phase.QUIESCING), cause="facts", outbox=[order], history=[]
    )
    assert await storage.sagas.load(saga_id) == saved
    assert (saved.state.phase, saved.cause, saved.outbox) == (Phase.QUIESCING, "facts", (order,))

    emptied = await storage.sagas.save(saved, saved.state, cause="facts", outbox=[], history=[])
    assert (await storage.sagas.load(saga_id)).outbox == ()
    assert emptied.etag != saved.etag != created.etag


async def test_history_is_kept_in_the_order_of_the_saves(storage: Storage) -> None:
    stored = await storage.sagas.create(saga_state(), cause="start", outbox=[], history=[entry(1)])
    for number in range(2, 22, 2):
        stored = await storage.sagas.save(
            stored, stored.state, cause="c", outbox=[], history=[entry(number), entry(number + 1)]
        )

    history = await storage.sagas.history(stored.state.spec.saga_id)

    assert history == [entry(number) for number in range(1, 22)]


async def test_a_save_with_a_stale_etag_changes_nothing_at_all(storage: Storage) -> None:
    stale = await storage.sagas.create(saga_state(), cause="start", outbox=[READ], history=[entry(1)])
    saga_id = stale.state.spec.saga_id
    winner = await storage.sagas.save(
        stale, saga_state(saga_id, Phase.ARMING), cause="facts", outbox=[WATCH], history=[entry(2)]
    )

    with pytest.raises(SagaChanged) as raised:
        await storage.sagas.save(
            stale, saga_state(saga_id, Phase.DONE), cause="cancel", outbox=[RecordEnd()], history=[entry(9)]
        )

    assert raised.value.saga_id == saga_id
    assert await storage.sagas.load(saga_id) == winner
    assert await storage.sagas.history(saga_id) == [entry(1), entry(2)]


async def test_of_two_saves_at_the_same_moment_exactly_one_wins(storage: Storage) -> None:
    stored = await storage.sagas.create(saga_state(), cause="start", outbox=[], history=[])
    saga_id = stored.state.spec.saga_id

    for _ in range(10):
        answers = await asyncio.gather(
            *(
                storage.sagas.save(
                    stored, saga_state(saga_id, phase), cause=phase, outbox=[], history=[entry(1)]
                )
                for phase in (Phase.ARMING, Phase.CLEANING)
            ),
            return_exceptions=True,
        )
        winners = [answer for answer in answers if not isinstance(answer, BaseException)]
        losers = [answer for answer in answers if isinstance(answer, BaseException)]
        assert [type(loser) for loser in losers] == [SagaChanged]
        assert await storage.sagas.load(saga_id) == winners[0]
        stored = winners[0]

    assert len(await storage.sagas.history(saga_id)) == 10


async def test_of_two_creations_at_the_same_moment_exactly_one_wins(storage: Storage) -> None:
    state = saga_state()

    answers = await asyncio.gather(
        *(storage.sagas.create(state, cause=cause, outbox=[], history=[]) for cause in ("a", "b")),
        return_exceptions=True,
    )

    assert sorted(type(answer).__name__ for answer in answers) == ["SagaExists", "StoredSaga"]


async def test_a_state_of_more_than_64_kib_survives(storage: Storage) -> None:
    notes = tuple(f"warning {number}: äöü𝄞 " + "x" * 1000 for number in range(100))
    stored = await storage.sagas.create(
        saga_state(notes=notes), cause="start", outbox=[], history=[entry(1, "y" * 100_000)]
    )
    saga_id = stored.state.spec.saga_id
    assert (await storage.sagas.load(saga_id)).state.notes == notes
    assert await storage.sagas.history(saga_id) == [entry(1, "y" * 100_000)]

    shorter = saga_state(saga_id, notes=("short again",))
    await storage.sagas.save(stored, shorter, cause="facts", outbox=[], history=[])
    assert (await storage.sagas.load(saga_id)).state == shorter


async def test_a_state_that_fits_into_no_row_is_refused_before_anything_is_written(storage: Storage) -> None:
    state = saga_state(notes=("z" * 600_000,))

    with pytest.raises(RowTooLarge):
        await storage.sagas.create(state, cause="start", outbox=[], history=[entry(1)])

    with pytest.raises(SagaNotFound):
        await storage.sagas.load(state.spec.saga_id)


async def test_more_rows_than_a_transaction_takes_are_refused(storage: Storage) -> None:
    outbox: list[Effect] = [READ] * 100

    with pytest.raises(TooManyRows) as raised:
        await storage.sagas.create(saga_state(), cause="start", outbox=outbox, history=[])

    assert (raised.value.rows, raised.value.limit) == (101, 100)


@pytest.mark.parametrize("saga_id", ["a/b", "a\\b", "a#b", "a?b", "a\nb", "", "x" * 501])
async def test_an_id_that_may_not_be_a_key_is_refused(storage: Storage, saga_id: str) -> None:
    with pytest.raises(UnusableKey):
        await storage.sagas.load(saga_id)


async def test_a_quote_in_an_id_reads_no_other_saga(storage: Storage) -> None:
    other = await storage.sagas.create(saga_state(), cause="start", outbox=[], history=[])

    with pytest.raises(SagaNotFound):
        await storage.sagas.load(f"x' or PartitionKey eq '{other.state.spec.saga_id}")


async def test_who_looks_gets_state_and_history_with_or_without_effects_waiting(storage: Storage) -> None:
    state = saga_state(phase=Phase.PREFLIGHT)
    stored = await storage.sagas.create(state, cause="start", outbox=[READ, WATCH], history=[entry(1)])
    assert await storage.sagas.look(state.spec.saga_id) == (state, [entry(1)])
    after = saga_state(state.spec.saga_id, Phase.ARMING)
    await storage.sagas.save(stored, after, cause="facts", outbox=[], history=[entry(2)])
    assert await storage.sagas.look(state.spec.saga_id) == (after, [entry(1), entry(2)])
    with pytest.raises(SagaNotFound):
        await storage.sagas.look("saga-nobody")
