"""The record of every request and its answer."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer; `status` is None where the connection was broken instead.

    Instants are monotonic seconds. `injected` says that a fault rule made the answer. Tokens and the
    values of protected parameters are hidden.
    """

    sequence: int
    method: str
    path: str
    query: dict[str, str]
    request_headers: dict[str, str]
    request_body: Any
    status: int | None
    response_headers: dict[str, str]
    response_body: Any
    started_at: str
    started_s: float
    ended_s: float
    injected: bool

    def as_json(self) -> dict[str, Any]:
        """Return the exchange as the simulator's own API shows it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Exchange":
        """Return an exchange that `as_json` has shown, e.g. one read over GET /_sim/journal."""
        return cls(**value)


class Journal:
    """The last exchanges of one world, oldest first, numbered from 1 without gaps."""

    def __init__(self, size: int) -> None:
        self._exchanges: deque[Exchange] = deque(maxlen=size)
        self._count = 0

    def next_sequence(self) -> int:
        """Return the number of a request that has just come."""
        self._count += 1
        return self._count

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange that has ended."""
        self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget all exchanges; numbers go on."""
        self._exchanges.clear()

    def select(
        self,
        *,
        method: str | None = None,
        path_contains: str = "",
        status: int | None = None,
        after: int = 0,
    ) -> Iterator[Exchange]:
        """Yield the exchanges that fit all filters, in the order in which the requests came."""
        for exchange in sorted(self._exchanges, key=lambda item: item.sequence):
            if (
                method in {None, exchange.method}
                and path_contains.lower() in exchange.path.lower()
                and status in {None, exchange.status}
                and exchange.sequence > after
            ):
                yield exchange


def without_secrets(body: Any) -> Any:
    """Return a request's body with the values of its protected parameters hidden."""
    match body:
        case {"properties": {"protectedParameters": [*parameters]}}:
            hidden = [{**parameter, "value": _HIDDEN} for parameter in parameters]
            return {**body, "properties": {**body["properties"], "protectedParameters": hidden}}
    return body


def without_token(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers in lower case with the bearer token hidden."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if "authorization" in lowered:
        lowered["authorization"] = f"{lowered['authorization'].split(' ')[0]} {_HIDDEN}"
    return lowered
