"""Every family of functions of the app: each gives a blueprint over the use cases."""

from shared.triggers import (
    groups,
    health,
    http,
    notices,
    page,
    policies,
    preflight,
    queues,
    rebuilding,
    reconciliation,
    recovery_points,
    rehearsals,
    run_lists,
    run_timeline,
    timers,
)

FAMILIES = (
    http,
    rehearsals,
    run_lists,
    policies,
    run_timeline,
    page,
    health,
    preflight,
    notices,
    recovery_points,
    rebuilding,
    reconciliation,
    queues,
    groups,
    timers,
)
