"""Table Storage, as far as the repositories need it: transactions, one row, a range of rows.

A table is created when it is first missed, so that a deployment needs no step of its own for it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from shared.storage.clients import PerLoop, TransportFactory, table_service
from shared.storage.connection import Connection
from shared.storage.errors import StorageError, TooManyRows

Operation = tuple[str, Mapping[str, Any], Mapping[str, Any]]

#: A row's columns and its ETag.
Row = tuple[dict[str, Any], str]

#: What one transaction may hold (Table service, entity group transactions).
MAX_OPERATIONS = 100

# Every transaction is a POST, which the SDK by itself does not send again after a dropped connection. A
# repeated one is harmless here: it conflicts with itself, and the repositories recognise their own write.
_RETRIED = ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH")


class WriteRefused(StorageError):
    """A transaction was refused as a whole: 404 a row is missing, 409 a row exists, 412 an ETag is stale."""

    def __init__(self, table: str, status: int) -> None:
        super().__init__(f"table {table} refused a transaction with {status}")
        self.table = table
        self.status = status


class TableStore(Protocol):
    """What the repositories ask of tables: see ``Tables``, and ``memory.MemoryTables``."""

    async def transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """All or nothing."""

    async def get(self, table: str, partition: str, row: str) -> Row | None:
        """One row."""

    def rows(
        self, table: str, partition: str, *, after: str, until: str, page: int = 1000
    ) -> AsyncIterator[Row]:
        """A range of rows."""

    def across(self, table: str, *, after: str, until: str, page: int = 1000) -> AsyncIterator[Row]:
        """All rows of a range of partitions."""


class Tables:
    """The tables of one connection. ``transport`` is for tests that watch or disturb the requests."""

    def __init__(self, connection: Connection, *, transport: TransportFactory | None = None) -> None:
        self._service = PerLoop(lambda: table_service(connection, transport))

    async def ensure(self, *names: str) -> None:
        """Create the tables that are not there yet."""
        for name in names:
            try:
                await self._service.get().create_table(name)
            except ResourceExistsError:
                continue

    async def transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations or none, in one request, on rows of one partition. Returns the rows' new ETags.

        Raises:
            WriteRefused: a row was missing, existed, or had changed.
            TooManyRows: over 100 operations.
        """
        if len(operations) > MAX_OPERATIONS:
            raise TooManyRows(operations[0][1]["PartitionKey"], len(operations), MAX_OPERATIONS)
        try:
            return await self._transact(table, operations)
        except HttpResponseError as error:
            if not _table_missing(error):
                raise
        await self.ensure(table)
        return await self._transact(table, operations)

    async def _transact(self, table: str, operations: Sequence[Operation]) -> list[str]:
        client = self._service.get().get_table_client(table)
        try:
            answers = await client.submit_transaction(operations, retry_on_methods=_RETRIED)
        except HttpResponseError as error:
            if error.status_code in (404, 409, 412) and not _table_missing(error):
                raise WriteRefused(table, error.status_code) from error
            raise
        return [str(answer.get("etag", "")) for answer in answers]

    async def get(self, table: str, partition: str, row: str) -> Row | None:
        """One row and its ETag, or None."""
        client = self._service.get().get_table_client(table)
        try:
            entity = await client.get_entity(partition, row)
        except ResourceNotFoundError:
            return None
        return dict(entity), str(entity.metadata["etag"])

    async def rows(
        self, table: str, partition: str, *, after: str, until: str, page: int = 1000
    ) -> AsyncIterator[Row]:
        """The rows of a partition whose keys lie after ``after`` and not after ``until``, in key order.

        ``page`` is the number of rows that one request brings, at most 1,000.
        """
        wanted = "PartitionKey eq @partition and RowKey gt @after and RowKey le @until"
        values = {"partition": partition, "after": after, "until": until}
        async for row in self._found(table, wanted, values, page):
            yield row

    async def across(self, table: str, *, after: str, until: str, page: int = 1000) -> AsyncIterator[Row]:
        """The rows of all partitions whose keys lie after ``after`` and not after ``until``, in key order.

        For housekeeping alone, which is bounded by pages: no step of a saga reads more than one partition.
        """
        wanted = "PartitionKey gt @after and PartitionKey le @until"
        async for row in self._found(table, wanted, {"after": after, "until": until}, page):
            yield row

    async def _found(self, table: str, wanted: str, values: dict[str, str], page: int) -> AsyncIterator[Row]:
        """The rows that a filter finds; none where there is no such table."""
        client = self._service.get().get_table_client(table)
        found = client.query_entities(wanted, parameters=values, results_per_page=page)
        try:
            async for entity in found:
                yield dict(entity), str(entity.metadata["etag"])
        except ResourceNotFoundError:
            return

    async def close(self) -> None:
        """Close the running loop's client."""
        await self._service.close()


def create(entity: Mapping[str, Any]) -> Operation:
    """Insert a row that must not exist (else 409)."""
    return ("create", entity, {})


def replace(entity: Mapping[str, Any], etag: str) -> Operation:
    """Replace a row that must still have this ETag (else 412)."""
    return (
        "update",
        entity,
        {"mode": "replace", "etag": etag, "match_condition": MatchConditions.IfNotModified},
    )


def merge(entity: Mapping[str, Any]) -> Operation:
    """Change the named columns of a row that must exist (else 404), whatever its ETag."""
    return ("update", entity, {"mode": "merge"})


def upsert(entity: Mapping[str, Any], *, mode: str = "replace") -> Operation:
    """Insert or replace (or merge into) a row."""
    return ("upsert", entity, {"mode": mode})


def delete(partition: str, row: str, etag: str | None = None) -> Operation:
    """Delete a row that must exist (else 404), and still have this ETag if one is given (else 412)."""
    condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
    return ("delete", {"PartitionKey": partition, "RowKey": row}, condition)


def _table_missing(error: HttpResponseError) -> bool:
    return getattr(error, "error_code", None) == "TableNotFound"
