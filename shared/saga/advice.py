"""What people are told of each cause: a sentence with the saga's own values in it, and what to do.

The page docs/when-it-goes-wrong.md has the same tables; a test compares the two, and another walks every code
that app and agent have, so that none is without its advice.

In sentences and advice: ``{vm}``, ``{group}``, ``{saga}``, ``{subject}`` (the disk, script or
application), ``{detail}``, ``{code}``, ``{reached}``, and times with their unit: ``{budget}``,
``{arming}``, ``{admission}``, ``{quiesce}``, ``{completion}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.saga.advice_by_code import (
    ADMISSION,
    AGAIN,
    AGENT_LOG,
    AZURE,
    CAPTURE,
    CHECK,
    COPY,
    GUEST,
    HANDLER_LOG,
    LACKING,
    POST,
    POST_SCRIPT,
    PROOF,
    RELEASER,
    RUN_SCRIPT,
    UNFIT,
    WARNING,
)
from shared.saga.causes import Cause, Lacking, Proof


@dataclass(frozen=True, slots=True)
class Advice:
    """What happened, as the beginning of a sentence, and what to do; ``by_code`` where a code says more."""

    happened: str
    what_to_do: str
    by_code: Mapping[str, str]


_NONE: Mapping[str, str] = {}

TOLD: Mapping[Cause, Advice] = {
    Cause.VM_UNREADABLE: Advice(
        "Azure would not show {vm} or its disks: {detail}", f"Read Azure's message, then {AGAIN}.", AZURE
    ),
    Cause.VM_UNREADABLE_IN_TIME: Advice(
        "{vm} and its disks could not be read from Azure within 5 minutes",
        "Look at `GET /api/health`: if it says that ARM can be reached, start the run again.",
        _NONE,
    ),
    Cause.NO_DISK: Advice(
        "{vm} has no managed disk that could be snapshotted",
        "Take {vm} out of the request or policy, or convert its disks: `az vm convert -g {group} -n {vm}`.",
        _NONE,
    ),
    Cause.NOTHING_SELECTED: Advice(
        "the policy leaves out every disk of {vm}",
        "Look at `left_out` in this view, and change `disks` of the policy or request (docs/snapshots.md).",
        _NONE,
    ),
    Cause.OBSTACLE: Advice(
        "snapshots of {vm} would fail: {detail}",
        "Wait if it is a limit per time, delete old snapshots if it is a number, else take the disk "
        "or the VM out (docs/recovery-points.md); then start the run again.",
        _NONE,
    ),
    Cause.SCRIPT_TOO_LARGE: Advice(
        "a script of {vm} does not fit its command: {detail}",
        "Shorten its arguments and environment, or put the script into the guest and name it by `path`.",
        _NONE,
    ),
    Cause.AGENT_NOT_STARTED: Advice(
        "Azure would not start the agent in {vm}: {detail}",
        "See that the VM agent of {vm} is ready (`az vm get-instance-view -g {group} -n {vm}`), or "
        "make our agent resident (docs/guests.md).",
        AZURE,
    ),
    Cause.AGENT_SILENT: Advice(
        "the agent in {vm} did not answer within {arming}",
        "Run " + CHECK + ": it says what keeps the agent from its queues; or raise `arming_timeout_ms`.",
        _NONE,
    ),
    Cause.AGENT_TOO_OLD: Advice(
        "the agent in {vm} is version {code}, and {detail} or newer is needed",
        'Upgrade it (docs/guests.md, "Upgrade"), or set `agent_install` to upgrade.',
        _NONE,
    ),
    Cause.DEAD_MAN_NOT_ARMED: Advice(
        "the agent in {vm} could not arm its dead-man, without which nothing is held",
        "Look at /run/stillframe/agent.log in {vm}, and at its memory and processor: " + CHECK + ".",
        _NONE,
    ),
    Cause.NOT_ADMITTED: Advice(
        "{vm} was ready and not held, because there was no room for it within {admission}: {detail}",
        ADMISSION[""],
        ADMISSION,
    ),
    Cause.HOLD_UNCONFIRMED: Advice(
        "the agent in {vm} did not say within {quiesce} that everything was held",
        "Raise `quiesce_timeout_ms`, or see in /run/stillframe/agent.log in {vm} what took so long.",
        _NONE,
    ),
    Cause.QUIESCE_FAILED: Advice("{vm} could not be held still: {detail} ({code})", AGENT_LOG, GUEST),
    Cause.RELEASED_EARLY: Advice(
        "{vm} was let go by its {code} before it had said that it was held", AGENT_LOG, RELEASER
    ),
    Cause.GROUP_BROKE: Advice(
        "{vm} was to share one instant with the group {subject}, which came to none: {detail}",
        "Look at the VM that is named here, in the same run: its own `problem` says what to do. With "
        "`on_member_failure: rest` the others go on without it.",
        _NONE,
    ),
    Cause.GROUP_LATE: Advice(
        "the freeze budget of {budget} of {vm} ran out while it was held and waited for the others of the "
        "group {subject} to be {code}",
        "Look at the times of the others in the same run, and make the slowest quicker; or raise "
        "`freeze_budget_ms` of all.",
        _NONE,
    ),
    Cause.GROUP_SILENT: Advice(
        "{vm} waited for the others of the group {subject} to be {code}, and heard nothing of them in time",
        "Look at `GET /api/health`, and at the others of the group in the same run; then " + AGAIN + ".",
        _NONE,
    ),
    Cause.GROUP_UNFIT: Advice(
        "{vm} cannot share the instant of the others of its group: {detail}",
        "Take {vm} out of the group.",
        UNFIT,
    ),
    Cause.BUDGET_TOO_SHORT: Advice(
        "holding {vm} still took {detail}, which left too little of the freeze budget of {budget} to "
        "make snapshots in",
        "Raise `freeze_budget_ms`, or make the pre-script and the handlers quicker.",
        _NONE,
    ),
    Cause.SNAPSHOT_FAILED: Advice(
        "the snapshot of {vm}'s disk {subject} failed: {detail} ({code})",
        CAPTURE["operation_failed"],
        CAPTURE,
    ),
    Cause.SNAPSHOTS_UNSEEN: Advice(
        "nobody saw whether the snapshots of {vm} succeeded: the app's invocation ended in mid-capture",
        "Start the run again, and look at the host's log of that minute (restart, out of memory, time-out).",
        _NONE,
    ),
    Cause.RESTORE_POINT_FAILED: Advice(
        "the restore point {subject} of {vm} failed: {detail} ({code})",
        CAPTURE["operation_failed"],
        CAPTURE,
    ),
    Cause.NOT_PROVED: Advice(
        "it is not proved that {vm} was held until all snapshots were made: {detail}",
        PROOF[Proof.INCOMPLETE],
        PROOF,
    ),
    Cause.TOO_LITTLE_HELD: Advice(
        "less was held in {vm} than the policy asks for: {detail}",
        "Have the filesystems held as well (`filesystems: all`), or an application by its handler "
        "(docs/applications.md), or ask for less.",
        _NONE,
    ),
    Cause.APPLICATION_REQUIRED: Advice(
        "{vm} has to be application-consistent (`application_aware: require`), and would not be: {detail}",
        LACKING[Lacking.NOT_QUIESCED],
        {**GUEST, **LACKING},
    ),
    Cause.LOWER_CONSISTENCY: Advice(
        "Azure made less of {vm}'s restore point {subject} than was asked for: {detail}",
        "`vssadmin list writers` in {vm}, mend the writers that failed; Azure falls back for the next three "
        "attempts as well.",
        _NONE,
    ),
    Cause.POST_SCRIPT_FAILED: Advice(
        "the post-script {subject} of {vm} failed ({code}): {detail}", POST + RUN_SCRIPT, POST_SCRIPT
    ),
    Cause.WARNED: Advice("{vm} warns of its {subject} ({code}): {detail}", HANDLER_LOG, WARNING),
    Cause.COPIES_LATE: Advice(
        "the background copy of {vm}'s snapshots took longer than {completion}: {detail}",
        "The snapshots are kept; look at them with `az snapshot show --query completionPercent`, and raise "
        "`completion_timeout_ms`.",
        _NONE,
    ),
    Cause.COPIES_LOST: Advice(
        "snapshots of {vm} went missing while they were copied in the background: {detail}",
        "Find out who deleted them (activity log of their resource group), then start the run again.",
        _NONE,
    ),
    Cause.COPY_FAILED: Advice(
        "{vm}'s snapshots were not copied to {subject}: {detail} ({code})", COPY["copy_failed"], COPY
    ),
    Cause.POISONED: Advice(
        "a message about {vm} could not be processed, however often it was tried: {detail}",
        f"Search the log for saga={{saga}}, look at `GET /api/health`, then {AGAIN}.",
        _NONE,
    ),
    Cause.CANCELLED: Advice(
        "the run was cancelled while {vm} was at it",
        "Nothing, if it was you: `POST /api/runs` starts another one; `history` says when it was asked for.",
        _NONE,
    ),
    Cause.LEFT_OVER: Advice(
        "something of {vm}'s saga could not be cleaned up within an hour: {detail}",
        'Delete it by hand: `az snapshot list --query "[?tags.\\"stillframe-saga\\"==\'{saga}\'].id"`.',
        _NONE,
    ),
    Cause.UNRECORDED: Advice(
        "{vm} did not end well: {detail}", "See `reasons` and `history` in this view.", _NONE
    ),
}
