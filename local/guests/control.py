"""An application's control socket: one JSON line asks, one JSON line answers.

This half is the administrator's. It runs inside the freeze window, so it imports next to nothing and can
be started by its path: python control.py hold|release|status SOCKET
"""

from __future__ import annotations

import json
import socket
import sys

DEFAULT_TIMEOUT_S = 5.0
_SLACK_S = 1.0  # what the answer may take on top of the time-out that the application itself keeps


class ControlError(Exception):
    """The application could not be asked, or refused; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def ask(path: str, command: str, timeout_s: float) -> dict[str, object]:
    """Send one command and return the answer's members.

    Raises ControlError when nobody listens at `path`, when no answer comes within `timeout_s` (seconds)
    and a little, and when the application refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s + _SLACK_S)
            connection.connect(path)
            connection.sendall(json.dumps({"command": command, "timeout_s": timeout_s}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
    except TimeoutError as error:
        raise ControlError(f"no answer within {timeout_s + _SLACK_S:g} s") from error
    except OSError as error:
        raise ControlError(f"the application is not running: {error.strerror or error}") from error
    if not line:
        raise ControlError("the application ended before it answered")
    answer: dict[str, object] = json.loads(line)
    if not answer.pop("ok"):
        raise ControlError(str(answer["reason"]))
    return answer


def control(command: str, path: str, timeout_s: float) -> int:
    """Carry out one command, print its answer, and return the exit code: 0 done, 1 not done."""
    try:
        answer = ask(path, command, timeout_s)
    except ControlError as error:
        print(f"application {command}: {error.reason}", file=sys.stderr)
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(control(sys.argv[1], sys.argv[2], DEFAULT_TIMEOUT_S))
