"""One order made of several that are sorted each."""

from collections.abc import AsyncIterator, Callable, Sequence


async def merged[T](sources: Sequence[AsyncIterator[T]], *, by: Callable[[T], str]) -> AsyncIterator[T]:
    """Give the items of sorted sources in their common order. Only one item of each is held at a time."""
    heads: list[tuple[T, AsyncIterator[T]]] = []
    for source in sources:
        async for first in source:
            heads.append((first, source))
            break
    while heads:
        index = min(range(len(heads)), key=lambda each: by(heads[each][0]))
        item, source = heads.pop(index)
        yield item
        async for following in source:
            heads.insert(index, (following, source))
            break
