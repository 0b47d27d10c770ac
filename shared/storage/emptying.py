"""Deleting many rows of a partition, in transactions of a hundred; what is gone already is fine."""

from itertools import batched

from shared.storage import tables
from shared.storage.tables import MAX_OPERATIONS, TableStore, WriteRefused


async def delete_rows(
    storage: TableStore, table: str, partition: str, *, after: str = "", until: str = "~", last: str = ""
) -> int:
    """Delete the rows of a partition whose keys lie after ``after`` and not after ``until``; say how many.

    A transaction each hundred, and the row ``last`` when all others are gone: a crash leaves it.
    """
    found = [row["RowKey"] async for row, _ in storage.rows(table, partition, after=after, until=until)]
    names = [name for name in found if name != last]
    for batch in batched(names, MAX_OPERATIONS, strict=False):
        try:
            await storage.transact(table, [tables.delete(partition, name) for name in batch])
        except WriteRefused:  # somebody else deletes them too: one by one, what is left
            for name in batch:
                await delete_row(storage, table, partition, name)
    if last in found:
        await delete_row(storage, table, partition, last)
    return len(found)


async def delete_row(
    storage: TableStore, table: str, partition: str, row: str, etag: str | None = None
) -> bool:
    """Delete a row, if it still has this ETag where one is given; False when it was gone, or has changed."""
    try:
        await storage.transact(table, [tables.delete(partition, row, etag)])
    except WriteRefused:
        return False
    return True
