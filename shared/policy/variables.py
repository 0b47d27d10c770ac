"""Run-time variables of scripts: ``%vmName%`` in an argument, ``$STILLFRAME_VM_NAME`` in the environment.

``%%`` is a percent sign. What a variable stands for is known only when a saga runs; which there are, here.
"""

import re
from collections.abc import Mapping

from shared.policy.fields import DocumentError

#: Variable -> the name of the environment variable with the same value.
VARIABLES: Mapping[str, str] = {
    "vmName": "STILLFRAME_VM_NAME",
    "vmId": "STILLFRAME_VM_ID",
    "policyName": "STILLFRAME_POLICY_NAME",
    "runId": "STILLFRAME_RUN_ID",
    "sagaId": "STILLFRAME_SAGA_ID",
    "generation": "STILLFRAME_GENERATION",
    "diskLuns": "STILLFRAME_DISK_LUNS",
    "diskNames": "STILLFRAME_DISK_NAMES",
    "resourceGroup": "STILLFRAME_RESOURCE_GROUP",
    "subscriptionId": "STILLFRAME_SUBSCRIPTION_ID",
    "location": "STILLFRAME_LOCATION",
}

#: Names that no script's own environment may have: they are Stillframe's.
RESERVED = "STILLFRAME_"

_PERCENT = re.compile("%([^%]*)(%?)")


def check(text: str, at: str) -> None:
    """Check the variables of a text that stands at ``at`` in a document.

    Raises:
        DocumentError: names a variable that there is not, or a percent sign that begins none.
    """
    for found in _PERCENT.finditer(text):
        name, end = found.groups()
        if not end:
            raise DocumentError(at, "a % begins a variable, as in %vmName%; a percent sign is written %%")
        if name and name not in VARIABLES:
            known = ", ".join(f"%{each}%" for each in VARIABLES)
            raise DocumentError(
                at, f"unknown variable %{name}%; known: {known}; a percent sign is written %%"
            )


def expand(text: str, values: Mapping[str, str]) -> str:
    """Put the values in; ``text`` was checked, ``values`` has every variable."""
    return _PERCENT.sub(lambda found: values[found[1]] if found[1] else "%", text)


def environment(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Give the environment variables that every script gets, in the order of their names."""
    return tuple(sorted((name, values[variable]) for variable, name in VARIABLES.items()))
