"""Calls of the HTTP API. Every answer is a document or an error of one cause."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from cli.config import Config
from cli.errors import Broken, NotAllowed, Refused, Unreachable

#: Seconds that an answer may take.
WITHIN_S = 60.0
_CONNECT_WITHIN_S = 10.0
#: How often what may be repeated is sent, and how long it is waited in between (s) at most.
TRIES = 3
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0

_WRONG_PLACE = "Is the URL right, and the app new enough for this?"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: its text as it came, and what it says."""

    text: str
    body: Any
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Client:
    """The API at ``config.url``. ``sleep`` waits for seconds."""

    def __init__(
        self,
        config: Config,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=f"{config.url}/api",
            timeout=httpx.Timeout(WITHIN_S, connect=_CONNECT_WITHIN_S),
            transport=transport,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        """Open nothing: connections are made when they are needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, right: str = "read", **query: Any) -> Answer:
        """Read something; None among the query's values means that it is left out."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        return self.call("GET", path, right, params=params, repeat=True)

    def pages(self, path: str, *, limit: int, **query: Any) -> dict[str, Any]:
        """Read a list, up to ``limit`` items, following its continuations; give it as one page."""
        items: list[Any] = []
        following: str | None = None
        while True:
            size = min(1_000, limit - len(items))
            page = self.get(path, **query, limit=size, continuation=following).body
            items += page["items"]
            following = page.get("continuation")
            if not following or len(items) >= limit:
                return {**page, "items": items, "continuation": following}

    def call(
        self,
        method: str,
        path: str,
        right: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = False,
        taken: tuple[int, ...] = (),
    ) -> Answer:
        """Call the API. ``repeat``: the request may be sent again; ``taken``: statuses that are fine.

        Raises:
            Refused, NotAllowed, Unreachable, Broken: what there is else.
        """
        key = self._config.key_for(right)
        sent = {**(headers or {}), **({"x-functions-key": key} if key else {})}
        for number in range(1, TRIES if repeat else 1):
            try:
                return self._once(method, path, body, params, sent, taken)
            except Unreachable as error:
                pause_s = min(_LONGEST_PAUSE_S, max(_PAUSE_S * number, error.retry_after_s))
                self._sleep(pause_s)
        return self._once(method, path, body, params, sent, taken)

    def _once(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        taken: tuple[int, ...],
    ) -> Answer:
        try:
            answer = self._http.request(method, path, json=body, params=params or None, headers=headers)
        except httpx.TimeoutException:
            raise Unreachable(f"{self._config.url} did not answer in time") from None
        except httpx.TransportError as error:
            raise Unreachable(f"{self._config.url} cannot be reached: {error}") from None
        if answer.status_code not in taken:
            self._check(answer)
        return Answer(answer.text, _document(answer), answer.status_code, answer.headers)

    def _check(self, answer: httpx.Response) -> None:
        status = answer.status_code
        if status < 300:
            return
        if status in (401, 403):
            hint = "Give one with STILLFRAME_KEY, or in the profile (docs/api.md: keys by right)."
            if self._config.key or any(self._config.keys.values()):
                raise NotAllowed("The key that was given does not open this.", hint=hint)
            raise NotAllowed("The app wants a key.", hint=hint)
        problem = _problem(answer)
        if status in (429, 502, 504) or (status == 503 and problem is not None):
            raise _later(answer, problem or {})
        if problem is not None and status < 500:
            raise Refused(status, problem)
        if problem is not None:
            raise Broken(str(problem.get("detail") or f"the app answered {status}"))
        raise Broken(
            f"{self._config.url} answered {status}, and not as Stillframe does",
            hint=_WRONG_PLACE,
        )


def _later(answer: httpx.Response, problem: Mapping[str, Any]) -> Unreachable:
    after = answer.headers.get("Retry-After", "")
    return Unreachable(
        str(problem.get("detail") or f"the app answered {answer.status_code}"),
        retry_after_s=float(after) if after.isdecimal() else 0.0,
    )


def _problem(answer: httpx.Response) -> Mapping[str, Any] | None:
    if "problem+json" not in answer.headers.get("Content-Type", ""):
        return None
    body = _document(answer)
    return body if isinstance(body, dict) else None


def _document(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise Broken(f"{answer.url.host} answered something that is no JSON") from None
