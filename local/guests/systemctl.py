"""A stand-in for systemctl in a guest without a service manager: its one unit is the guest's application.

python -m local.guests.systemctl SOCKET show --property=NAME,... UNIT | stop UNIT | start [--no-block] UNIT

To stop and start the unit is to hold and release the application. What `show` prints are the properties as
systemd names them; there is no control group here, so an application's processes are known by pid files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from local.guests.applications import UNIT
from local.guests.control import DEFAULT_TIMEOUT_S, ControlError, ask

_TIMEOUT_S = 6 * DEFAULT_TIMEOUT_S


def main(socket: str, words: list[str]) -> int:
    """Carry out one command and return its exit code, which is 5 for a unit that is not there."""
    command, unit = words[0], words[-1]
    stopped_at = Path(socket).with_name("stopped-at")
    if unit != UNIT:
        print(f"Unit {unit} not found.", file=sys.stderr)
        return 5
    try:
        match command:
            case "show":
                print(_shown(stopped_at))
            case "stop":
                ask(socket, "hold", _TIMEOUT_S)
                stopped_at.write_text(str(time.monotonic_ns() // 1000))
            case "start":
                ask(socket, "release", _TIMEOUT_S)
                stopped_at.unlink(missing_ok=True)
            case _:
                print(f"Unknown command verb {command}.", file=sys.stderr)
                return 1
    except ControlError as error:
        print(f"Job for {unit} failed: {error.reason}", file=sys.stderr)
        return 1
    return 0


def _shown(stopped_at: Path) -> str:
    """Say what is known without asking the application, which may be halted. Times in us, monotonic."""
    state, entered = ("inactive", stopped_at.read_text()) if stopped_at.exists() else ("active", "0")
    return f"LoadState=loaded\nActiveState={state}\nControlGroup=\nInactiveEnterTimestampMonotonic={entered}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
