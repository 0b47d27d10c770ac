"""What the variables of a saga's scripts stand for, and the scripts with these put in. Pure."""

import json
from collections.abc import Mapping
from dataclasses import replace

from shared.policy import variables
from shared.policy.guest_processing import Script
from shared.policy.script_fields import LARGEST_SCRIPT
from shared.saga.state import SagaState

#: What a script with its values may add to its command (bytes of JSON): two of them and the rest fit a queue
#: message (``shared/protocol.py``).
LARGEST_EXPANDED = LARGEST_SCRIPT + 4 * 1024


def values(state: SagaState) -> dict[str, str]:
    """Give the value of every variable; disks are listed as attached, the system's first."""
    spec, facts = state.spec, state.facts
    assert facts is not None
    parts = spec.vm_id.split("/")  # "", subscriptions, S, resourceGroups, G, providers, ...
    return {
        "vmName": facts.name,
        "vmId": spec.vm_id,
        "policyName": spec.policy_name,
        "runId": spec.run_id,
        "sagaId": spec.saga_id,
        "generation": str(state.generation),
        "diskLuns": ",".join(disk.slot for disk in facts.disks),
        "diskNames": ",".join(disk.name for disk in facts.disks),
        "resourceGroup": parts[4],
        "subscriptionId": parts[2],
        "location": facts.location,
    }


def expanded(script: Script, value_of: Mapping[str, str]) -> Script:
    """Put the values into a script's arguments and environment; the variables are in its environment too."""
    own = tuple((name, variables.expand(text, value_of)) for name, text in script.environment)
    return replace(
        script,
        arguments=tuple(variables.expand(argument, value_of) for argument in script.arguments),
        environment=(*own, *variables.environment(value_of)),
    )


def too_large(state: SagaState) -> str:
    """Say in a sentence which script's values do not fit its command; empty when all fit."""
    value_of, guest = values(state), state.spec.guest
    for name, script in (("pre_script", guest.pre_script), ("post_script", guest.post_script)):
        if script is None:
            continue
        full = expanded(script, value_of)
        size = len(json.dumps([full.path, full.content, full.arguments, dict(full.environment)]))
        if size > LARGEST_EXPANDED:
            return f"the {name} comes to {size} bytes with its variables; at most {LARGEST_EXPANDED} fit"
    return ""
