"""What to do, by the codes of Azure, of captures, of the agent, of proofs and of warnings."""

from collections.abc import Mapping

from shared.saga.causes import Lacking, Limit, Proof, Unfit

AGAIN = "start the run again"
CHECK = "`python3 /opt/stillframe/agent.pyz check` as root in {vm} (docs/guests.md)"

#: By the class of Azure's error (``cause`` of ``shared/compute/errors.py``).
AZURE: Mapping[str, str] = {
    "failed": f"Look at the error's code in Azure's documentation, then {AGAIN}.",
    "not_found": "Take {vm} out of the request or policy if it was deleted; else correct its id.",
    "denied": (
        "Add {vm}'s group to STILLFRAME_SOURCES and the snapshots' group to STILLFRAME_TARGETS, then "
        "`azd provision`; or assign the roles of infra/roles there by hand (docs/deploy.md)."
    ),
    "refused": "Azure will refuse it again: mend what its message names first.",
    "throttled": "Wait a few minutes; let runs of this subscription begin at different times.",
    "conflict": f"Wait until the other operation on {{vm}} has ended (`az vm show -d`), then {AGAIN}.",
    "limit_reached": "Delete old snapshots, or wait: some are per 5 minutes (docs/recovery-points.md).",
    "unavailable": f"Look at https://status.azure.com for the region, then {AGAIN}.",
    "timed_out": f"Azure was slow: {AGAIN}; if it is always so, look at `GET /api/health`.",
    "not_ours": "Somebody changed the snapshot's tags: look at it, and delete it by hand if nobody needs it.",
    "unsupported_guest": "Set `guest_processing.enabled` to false for {vm}: its system has no agent.",
}

#: By the error of a capture: what is not Azure's class of errors (``shared/compute``).
CAPTURE: Mapping[str, str] = {
    **AZURE,
    "deadline": "Azure was slower than the freeze budget of {budget}: raise `freeze_budget_ms`, or "
    "use an anchor, which lets the applications go on meanwhile (docs/applications.md).",
    "abandoned": f"Another disk failed first: see `evidence.captures`, then {AGAIN}.",
    "stale": "Delete the older snapshot of this name, or find out who made it; then start the run again.",
    "operation_failed": f"The log has Azure's reason (search for the saga {{saga}}); then {AGAIN}.",
    "not_in_restore_point": "Azure left the disk out: use `recovery_point: snapshots` for {vm}.",
    "": f"The app's invocation ended in mid-capture: {AGAIN}, and look at the host's log of that minute.",
}

#: By the error of a copy to another region: what is not Azure's class of errors (``saga/copying.py``).
COPY: Mapping[str, str] = {
    **AZURE,
    "copy_failed": "See that nobody deleted the snapshots in {vm}'s region while they were copied; the next "
    "run copies its own.",
    "copy_late": "It goes on by itself (`az snapshot show --query completionPercent`); where {copying} is "
    "too short for {vm}'s disks, raise `copy_timeout_ms`.",
    "copy_abandoned": "It goes on by itself. Search the log for saga={saga}, and look at `GET /api/health`.",
}

RUN_SCRIPT = "Run the script by hand in {vm} as the same user; its output is under `history` in this view."
_SCRIPT_FILE = 'Put the script right in {vm} (docs/scripts.md, "Where a script comes from").'
_SCRIPT_FETCH = "See that {vm} reaches the guests' storage account (443, container stillframe-scripts), then "
_SCRIPT_RULES = (
    "Change `[scripts]` in {vm}'s own /etc/stillframe/agent.conf, or the policy (docs/scripts.md)."
)
HANDLER_LOG = "See the application's own log in {vm}, and docs/applications.md for what its handler needs."
_ANCHOR = "See docs/applications.md and, for Windows, docs/windows.md for what an anchor needs in {vm}."
AGENT_LOG = "Look at /run/stillframe/agent.log in {vm}; then start the run again."
_TIMES = "Raise `quiesce_timeout_ms` ({quiesce}) and `freeze_budget_ms` ({budget}), or make it quicker."

#: By the limit that left no room before the guest was held (``Limit`` of ``causes.py``).
ADMISSION: Mapping[str, str] = {
    Limit.HELD: "Raise `concurrency.held`, lower `concurrency.vms`, or give it more time by "
    "`concurrency.admission_timeout_ms`.",
    Limit.DISK: "Let runs of {vm} lie further apart: Azure makes 7 incremental snapshots of a disk in "
    "5 minutes, and 3 at a time of Premium SSD v2 and Ultra disks.",
    Limit.REQUESTS: "Let runs of this subscription begin at different times, or find who else spends its "
    "requests (docs/concurrency.md).",
    Limit.BUSY: "It passes by itself: " + AGAIN + "; if it is always so, look at `GET /api/health`.",
    "": "Give it more time by `concurrency.admission_timeout_ms` (docs/concurrency.md).",
}

#: By what keeps a VM from sharing an instant (``Unfit`` of ``causes.py``).
UNFIT: Mapping[str, str] = {
    Unfit.NOT_RUNNING: "Start {vm}, or take it out of the group; with `on_member_failure: rest` the others "
    "go on without it.",
    Unfit.DISABLED: "Switch `guest_processing` on for {vm}, or take it out of the group.",
    Unfit.PLATFORM: "Have our agent hold {vm} (a script or a handler), or take it out of the group: Azure's "
    "VSS chooses an instant of its own.",
    Unfit.ANCHORED: "Leave the `anchor` out for {vm}, or take it out of the group: an anchor's instant lies "
    "before all others are held.",
}

#: By the reason of the agent's ``quiesce_failed``.
GUEST: Mapping[str, str] = {
    # Scripts
    "script_failed": RUN_SCRIPT,
    "script_timed_out": "Make the script quicker, or raise its `timeout_ms`, which counts as frozen time.",
    "script_killed": "The order to let go ended it: " + _TIMES,
    "script_stderr": "Mend what it writes to stderr, or set its `stderr` to `warn` or `ignore`.",
    "script_error": AGENT_LOG,
    "script_lost": AGENT_LOG,
    "script_not_kept": AGENT_LOG,
    "script_missing": _SCRIPT_FILE,
    "script_not_executable": "`chmod +x` the script in {vm}; docs/scripts.md has the kinds that are run.",
    "script_path": "Name the script by an absolute path in the policy.",
    "script_outside": _SCRIPT_RULES,
    "script_not_allowed": _SCRIPT_RULES,
    "script_unsafe": "`chown root` and `chmod go-w` the script and the folders above it in {vm}.",
    "script_arguments": "Change the script's arguments: this kind of script cannot be given them safely.",
    "script_hash_mismatch": "Somebody changed the script: see who can write to the guests' storage.",
    "script_gone": _SCRIPT_FETCH + "start the run again: that delivers it anew.",
    "script_too_large": "Deliver a smaller script, or put it into the guest and name it by `path`.",
    "script_unreachable": _SCRIPT_FETCH + AGAIN + ".",
    "run_as_unknown": "Create the user in {vm}, or change `run_as` of the script.",
    "run_as_refused": "Leave `run_as` out: the agent of {vm} cannot run scripts as that user.",
    "run_as_not_allowed": _SCRIPT_RULES,
    "bad_guest_config": "Correct /etc/stillframe/agent.conf in {vm}: " + CHECK + ".",
    # Handlers
    "handler_absent": "Take the handler out of the policy, or start the application in {vm}.",
    "handler_bad_setting": "Correct the handler's settings in the policy or in {vm}'s own agent.conf.",
    "handler_busy": "Something held a lock for too long: end long transactions before the run, or "
    "raise `quiesce_timeout_ms` ({quiesce}).",
    "handler_called_off": "Another part failed first: see `history` in this view.",
    "handler_client_missing": "Install the application's command line client in {vm} (docs/applications.md).",
    "handler_denied": "Give the agent's user in the application the rights named in docs/applications.md.",
    "handler_held_already": "Somebody else holds the application: let go by hand (docs/frozen-guest.md).",
    "handler_lost": HANDLER_LOG,
    "handler_refused": HANDLER_LOG,
    "handler_timed_out": "The application was too slow: " + _TIMES,
    "handler_too_old": "Upgrade the application in {vm}, or use scripts in place of its handler.",
    "handler_unbound": AGENT_LOG,
    "handler_unreachable": "See that the application runs in {vm} and listens where its handler connects to.",
    # Filesystems
    "already_frozen": "Another backup froze it, or left it so: `fsfreeze -u` (docs/frozen-guest.md).",
    "not_supported": "Set `filesystems` to none, or name the mount in the agent's STILLFRAME_SKIP_MOUNTS.",
    "freeze_error": "Look at `dmesg` in {vm}: the kernel would not freeze the filesystem.",
    "mount_unusable": "Correct the mounts named in the agent's settings in {vm}: " + CHECK + ".",
    "nothing_to_hold": "Give {vm} a script, a handler or a filesystem to hold, or set `enabled` to false.",
    # Anchors
    "anchor_failed": _ANCHOR,
    "bad_setting": "Correct the anchor's settings in the policy (docs/applications.md).",
    "diff_area_low": "Make room for shadow copies in {vm}: `vssadmin list shadowstorage` (docs/windows.md).",
    "no_volume": "Name a volume or subvolume in the anchor's settings that {vm} has.",
    "provider_missing": "Install what the anchor needs in {vm} (btrfs-progs, lvm2, diskshadow).",
    "several_instants": "Put the data on one volume: the anchor cannot take several at one instant.",
    "set_in_progress": "Another backup was making a shadow copy: let it run at another time.",
    "timed_out": "The snapshot inside the guest was too slow: " + _TIMES,
    "writer_failed": "`vssadmin list writers` in {vm}: mend the one that failed, or restart its service.",
    "writer_retryable": "`vssadmin list writers` in {vm}; it often passes by itself: start the run again.",
    # The agent
    "agent_restarted": AGENT_LOG,
    "budget_spent": _TIMES,
    "called_off": "Another part failed first: see `history` in this view.",
    "dead_man_lost": "Something killed the agent's dead-man: look at `dmesg` (out of memory?) in {vm}.",
    "failed": AGENT_LOG,
    "generation_closed": f"It passes by itself: {AGAIN}.",
    "not_armed": f"It passes by itself: {AGAIN}.",
    "overtaken": _TIMES,
    "quiesce_timeout": _TIMES,
    "still_held": f"It passes by itself: {AGAIN}.",
    "stopping": "{vm} was shutting down, or somebody stopped the agent: start the run again when it is up.",
}

_DEAD_MAN = "Raise `freeze_budget_ms` ({budget}); if it is long enough, see why the agent was lost: "

#: By who let a guest go that had not said yet that it held (``released_by`` of ``resumed``).
RELEASER: Mapping[str, str] = {
    "order": f"It passes by itself: {AGAIN}.",
    "dead-man": _DEAD_MAN + "/run/stillframe/agent.log in {vm}.",
    "agent": GUEST["dead_man_lost"],
    "restart": AGENT_LOG,
}

#: By the link of the chain of evidence that is missing.
PROOF: Mapping[str, str] = {
    Proof.DEAD_MAN: _DEAD_MAN + "/run/stillframe/agent.log in {vm}.",
    Proof.AGENT: GUEST["dead_man_lost"],
    Proof.RESTART: AGENT_LOG,
    Proof.REBOOTED: "Find out who restarted {vm} (its activity log in Azure), then start the run again.",
    Proof.PAUSED: "Azure paused {vm} (migration, maintenance), or its clock was set: start the run again.",
    Proof.SILENT: "See that {vm} reaches the guests' storage account: " + CHECK + ".",
    Proof.LET_GO: "Find out what let go in {vm} (another backup, `fsfreeze`, a restarted service): "
    "/run/stillframe/agent.log.",
    Proof.INCOMPLETE: f"See `evidence` in this view for the missing link, then {AGAIN}.",
}

#: By the code of a guest's warning.
WARNING: Mapping[str, str] = {
    "probe_failed": "Look at the application in {vm} now: it does not answer after it was let go.",
    "optional_handler_failed": HANDLER_LOG,
    "handler": HANDLER_LOG,
    "anchor": _ANCHOR,
    "lower_consistency": "`vssadmin list writers` in {vm}: a writer that failed costs Azure's consistency.",
}

POST = "Let the application go on by hand in {vm} if it still waits. "

#: By why a required recovery point is not application-consistent, beside the reasons of handlers.
LACKING: Mapping[str, str] = {
    Lacking.NOT_RUNNING: "Start {vm} before the run, or leave it out while it is stopped; or set "
    "`application_aware` to `on` for it.",
    Lacking.NONE_FOUND: "Name the application by a handler or hold it by a script (docs/applications.md), or "
    "set `application_aware` to `on` for {vm}.",
    Lacking.NOT_QUIESCED: "Have all filesystems held (`filesystems: all`), and applications by a handler "
    "that brings them to rest (docs/applications.md).",
}

#: By the reason why a post-script failed.
POST_SCRIPT: Mapping[str, str] = {
    code: POST + what for code, what in GUEST.items() if code.startswith(("script_", "run_as_"))
} | {"bad_guest_config": POST + GUEST["bad_guest_config"]}
