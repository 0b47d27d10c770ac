"""Records as entities: chunks, versions, keys."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.saga.effects import RecordEnd
from shared.storage import tables, upcasts
from shared.storage.errors import RowTooLarge, TornRead, UnknownSchema
from shared.storage.memory import MemoryTables
from shared.storage.rows import CHUNK_CHARS, ROW_CHARS, pack, require_known, unpack
from shared.storage.sagas import SagaTable
from shared.storage.tables import Row
from shared.storage.upcasts import Form
from tests.contract.support import saga_state


@pytest.mark.parametrize("size", [0, 1, CHUNK_CHARS - 3, CHUNK_CHARS - 2, CHUNK_CHARS - 1, 5 * CHUNK_CHARS])
def test_any_size_comes_back_and_no_property_is_over_64_kib(size: int) -> None:
    data = ["x" * size, "𝄞ä\u0000"]

    entity = pack("p", "r", data, column=1)

    assert unpack(entity) == data
    assert all(len(v.encode("utf-16-le")) <= 64 * 1024 for v in entity.values() if isinstance(v, str))


def test_more_chunks_than_ten_come_back_in_order() -> None:
    data = list(range(60_000))

    assert unpack(pack("p", "r", data)) == data


def test_what_fits_into_no_entity_is_refused() -> None:
    with pytest.raises(RowTooLarge) as raised:
        pack("p", "r", "x" * ROW_CHARS)

    assert (raised.value.row, raised.value.limit) == ("p/r", ROW_CHARS)


@pytest.mark.parametrize("version", [None, 0, 2, "1"])
def test_a_row_of_an_unknown_version_is_never_guessed_at(version: Any) -> None:
    with pytest.raises(UnknownSchema) as raised:
        unpack({"PartitionKey": "p", "RowKey": "r", "schema": version, "json00": "{}"})

    assert (raised.value.row, raised.value.version) == ("p/r", version)


def test_an_older_row_is_brought_up_version_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"PartitionKey": "p", "RowKey": "r", "schema": -1, "json00": json.dumps({"a": 1})}
    steps = {-1: lambda data: {"b": data["a"] + 1}, 0: lambda data: {"c": data["b"] + 1}}
    monkeypatch.setattr(upcasts, "UPCASTS", {Form.RUN: steps})

    assert unpack(old, Form.RUN) == {"c": 3}
    with pytest.raises(UnknownSchema):
        unpack(old, Form.POLICY)


def test_a_row_that_says_no_version_is_of_the_first() -> None:
    assert unpack({"PartitionKey": "p", "RowKey": "r", "json00": "[1]"}) == [1]


def test_a_row_of_a_newer_version_says_so_in_a_sentence() -> None:
    row = {"PartitionKey": "p", "RowKey": "r", "schema": 2, "json00": "{}"}
    told = "row p/r: version 2 of a run is not known here, up to 1 are: a newer version"
    with pytest.raises(UnknownSchema, match=told):
        unpack(row, Form.RUN)
    with pytest.raises(UnknownSchema, match="a newer version"):
        require_known({"PartitionKey": "p", "RowKey": "r", "schema": 2}, Form.RUN_ENTRY)
    require_known({"PartitionKey": "p", "RowKey": "r"}, Form.RUN_ENTRY)


async def test_a_saga_of_an_unknown_version_is_refused() -> None:
    storage = MemoryTables()
    sagas = SagaTable(storage)
    await sagas.create(saga_state("s1"), cause="start", outbox=[], history=[])
    newer = {"PartitionKey": "s1", "RowKey": "state", "schema": 99}
    await storage.transact("sagas", [tables.merge(newer)])

    with pytest.raises(UnknownSchema):
        await sagas.load("s1")


class TornTables(MemoryTables):
    """A saga's rows come in two pages, and a save goes between them, as often as ``torn`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.torn = 0

    async def rows(
        self, table: str, partition: str, *, after: str, until: str, page: int = 1000
    ) -> AsyncIterator[Row]:
        torn, self.torn = self.torn > 0, self.torn - 1
        async for row, etag in super().rows(table, partition, after=after, until=until, page=page):
            if not torn or row["RowKey"] == "state":
                yield row, etag


async def test_a_read_that_a_save_tore_apart_is_made_again() -> None:
    storage = TornTables()
    sagas = SagaTable(storage)
    created = await sagas.create(saga_state("s1"), cause="start", outbox=[RecordEnd()], history=[])

    storage.torn = 2
    assert await sagas.load("s1") == created

    storage.torn = 100
    with pytest.raises(TornRead) as raised:
        await sagas.load("s1")
    assert raised.value.saga_id == "s1"
