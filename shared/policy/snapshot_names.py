"""What the names of snapshots begin with: a template with variables, as ``%vmName%-%date%``.

The template is only the beginning. Saga, generation and disk always follow (`shared.saga.names`), so that
every template gives names that are unique and derive from the saga: a PUT that is sent twice names the same
snapshot, and one on an existing name takes no new snapshot.
"""

import re
from collections.abc import Mapping

from shared.policy.fields import DocumentError

#: Each with what it stands for. Times are UTC, of the saga's start.
VARIABLES: Mapping[str, str] = {
    "vmName": "the VM's name",
    "diskName": "the disk's name",
    "lun": "the disk's LUN, os for the disk of the system",
    "policyName": "the policy's name, empty where a run has none",
    "runId": "the run's id",
    "date": "the day, as 20260131",
    "time": "the time of day, as 235959",
}

LONGEST_TEMPLATE = 200

_VARIABLE = rf"%(?:{'|'.join(VARIABLES)})%"

PATTERN = rf"(?:[A-Za-z0-9]|{_VARIABLE})(?:[A-Za-z0-9_-]|{_VARIABLE})*"
"""What a template is: names begin with a letter or digit ("Naming rules and restrictions for Azure
resources", Microsoft Learn), and have letters, digits, ``_`` and ``-``."""

_TEMPLATE = re.compile(PATTERN)
_NAMED = re.compile("%([A-Za-z]+)%")
_UNFIT = re.compile("[^A-Za-z0-9_-]+")


def check_template(text: str, at: str) -> str:
    """Give a template back that stands at ``at`` in a document.

    Raises:
        DocumentError: says which characters and variables there are.
    """
    if _TEMPLATE.fullmatch(text):
        return text
    known = ", ".join(f"%{name}%" for name in VARIABLES)
    raise DocumentError(
        at, f"expected letters of ASCII, digits, _ and - (not first), and the variables {known}"
    )


def expand_template(template: str, values: Mapping[str, str], longest: int) -> str:
    """Put the values into a checked template, and make of it the beginning of a name.

    What a name may not have becomes ``-``; it is cut to ``longest`` characters. Never empty: a template of
    which nothing is left is taken as ``sf``.
    """
    text = _NAMED.sub(lambda found: values[found[1]], template)
    return _UNFIT.sub("-", text).lstrip("_-")[:longest] or "sf"
