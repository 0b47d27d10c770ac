"""Running a system's own tools for an anchor, each bounded in time."""

import os
import time
from typing import Mapping, Sequence

from agent.anchors import AnchorRefused
from agent.handlers import HandlerFailed
from agent.handlers.clients import run

#: How long a look at an anchor, or its deletion, may take (ms).
LOOK_MS, DELETE_MS = 5_000, 20_000

_REASONS = {"client_missing": "provider_missing", "timed_out": "timed_out"}


def tool(command: Sequence[str], timeout_ms: int) -> str:
    """Run a tool to its end and give what it printed.

    Raises:
        AnchorRefused: it is not there (provider_missing), too slow (timed_out) or failed (anchor_failed).
    """
    try:
        return run(command, dict(os.environ), timeout_ms)
    except HandlerFailed as failure:
        raise AnchorRefused(_REASONS.get(failure.reason, "anchor_failed"), failure.detail) from None


def check_settings(settings: Mapping[str, str], known: Sequence[str]) -> None:
    """Refuse a setting that means nothing.

    Raises:
        AnchorRefused: there is one.
    """
    for name in sorted(settings):
        if name not in known:
            detail = "anchor.settings.{}: expected one of {}".format(name, ", ".join(known))
            raise AnchorRefused("bad_setting", detail)


def fresh_name() -> str:
    """Name an anchor by the time (UTC), so that a person who finds one knows when it is from."""
    return "stillframe-{}-{}".format(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), os.getpid())
