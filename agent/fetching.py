"""Fetching a delivered script that was too large for its command, while nothing is held yet."""

import http.client
import socket
import time
from typing import Callable, Optional

from agent.queues import InsecureUrl, checked, connection_to
from agent.system import Clock, ScriptUnusable

#: No script is longer than this (bytes); the app's own limit is lower.
LONGEST = 1024 * 1024

_TRIES = 4
_PAUSE_S = 0.2
_TIMEOUT_S = 5.0
_CHUNK = 64 * 1024


class _Passing(Exception):
    """The storage did not answer as it should, ``problem`` says how; the next try may succeed."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def fetch(url: str, deadline: int, clock: Clock, over: Callable[[], bool]) -> bytes:
    """Get what ``url`` names, in a few tries until ``deadline`` (ms, monotonic) or until it is ``over``.

    Over https, and over http from this very machine. Redirections are not followed.

    Raises:
        ScriptUnusable: script_unreachable, script_gone (no such blob, or the right to read it is over),
            script_too_large. The URL is not repeated: it is a secret.
    """
    problem = "there was no time for it"
    for number in range(_TRIES):
        if number:
            time.sleep(_PAUSE_S)
        if over() or clock.monotonic() >= deadline:
            break
        try:
            return _once(url, deadline, clock)
        except _Passing as error:
            problem = error.problem
    raise ScriptUnusable("script_unreachable", "A delivered script could not be fetched: {}.".format(problem))


def _once(url: str, deadline: int, clock: Clock) -> bytes:
    try:
        parts = checked(url)
    except InsecureUrl as error:
        raise ScriptUnusable("script_unreachable", "{}.".format(error)) from None
    connection = connection_to(parts, _TIMEOUT_S)
    try:
        connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""))
        response = connection.getresponse()
        _check_status(response.status)
        return _read(response, deadline, clock)
    except (OSError, http.client.HTTPException) as error:
        problem = "{}: {}".format(type(error).__name__, error)
        raise _Passing(problem) from None
    finally:
        connection.close()


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status in (403, 404, 409, 410):
        detail = "A delivered script is not to be had any more: its storage answers {}.".format(status)
        raise ScriptUnusable("script_gone", detail)
    problem = "its storage answers {}".format(status)
    raise _Passing(problem)


def _read(response: http.client.HTTPResponse, deadline: int, clock: Clock) -> bytes:
    """Read in pieces, so that neither a long nor a slow answer takes more than it may."""
    said: Optional[int] = response.length
    content = b""
    while True:
        if clock.monotonic() >= deadline:
            raise socket.timeout("it came too slowly")
        chunk = response.read1(_CHUNK)
        content += chunk
        if len(content) > LONGEST or (said or 0) > LONGEST:
            detail = "A delivered script is longer than {} bytes.".format(LONGEST)
            raise ScriptUnusable("script_too_large", detail)
        if not chunk:
            break
    if said is not None and len(content) != said:
        problem = "only {} of {} bytes came".format(len(content), said)
        raise _Passing(problem)
    return content
