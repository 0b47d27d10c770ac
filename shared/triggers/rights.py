"""Which right a caller needs for which function of the HTTP API.

Azure Functions knows keys of single functions and keys of the whole host. A right is therefore a key of the
same name and value on each function that needs it (``docs/api.md``); host keys and the master key open all.
"""

from collections.abc import Mapping
from enum import StrEnum


class Right(StrEnum):
    """What somebody may do. None includes another: who needs two rights is given two keys."""

    READ = "read"
    """Look at runs, policies and recovery points; changes nothing."""

    RUN = "run"
    """Start and cancel runs, and rehearse them."""

    ADMIN = "admin"
    """Say what is run and what is kept: store and remove policies, hold and delete recovery points."""


#: Functions that need no key: the page's own files, which hold nothing but the program that the browser runs.
ANONYMOUS = ("page", "page_files")

#: Every other HTTP function has exactly one right; a test compares this with what is registered.
FUNCTIONS: Mapping[Right, tuple[str, ...]] = {
    Right.READ: (
        "get_api",
        "get_policy",
        "get_policy_schema",
        "get_reconciliation",
        "get_point",
        "get_rehearsal",
        "get_run",
        "get_timeline",
        "get_vm",
        "health",
        "list_points",
        "list_policies",
        "preview_policy",
        "list_runs",
        "preflight_vm",
        "preview_retention",
    ),
    Right.RUN: ("cancel_run", "preflight_run", "retry_run", "start_rehearsal", "start_run"),
    Right.ADMIN: (
        "apply_retention",
        "delete_orphan",
        "delete_point",
        "delete_policy",
        "hold_point",
        "put_policy",
        "rebuild_points",
        "reconcile",
        "release_point",
        "try_policy",
        "try_retention",
        "validate_policy",
    ),
}


def right_of(function: str) -> Right:
    """Give the right that a function needs.

    Raises:
        KeyError: it is no function of the HTTP API.
    """
    return {name: right for right, names in FUNCTIONS.items() for name in names}[function]
