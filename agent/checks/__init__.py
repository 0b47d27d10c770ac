"""What `agent.pyz check` looks at: the guest itself, the way to the storage, and the right to use it."""

from typing import List, NamedTuple

OK, WARNING, FAILED = "ok", "warning", "failed"


class Finding(NamedTuple):
    """One thing that was looked at. ``verdict`` is ok, warning or failed; ``advice`` says what to do then."""

    verdict: str
    name: str
    detail: str
    advice: str = ""


def stops(findings: List[Finding]) -> bool:
    """Say whether one of them would stop the agent."""
    return any(finding.verdict == FAILED for finding in findings)


def softened(finding: Finding, why: str) -> Finding:
    """Make a failure a warning: the agent can do without, and ``why`` says what for it is needed."""
    if finding.verdict != FAILED:
        return finding
    return finding._replace(verdict=WARNING, advice=". ".join(part for part in (finding.advice, why) if part))
