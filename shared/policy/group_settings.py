"""What the settings of VMs must be, so that these can share one instant."""

from collections.abc import Callable, Sequence

from shared.policy import combinations
from shared.policy.combinations import Placed, Rule
from shared.policy.fields import DocumentError
from shared.policy.groups import Group
from shared.policy.guest_processing import GuestProcessing
from shared.saga.group import GroupRules


def check_settings(groups: Sequence[Group], base: GuestProcessing, layers: Sequence[Placed]) -> None:
    """Refuse groups whose VMs cannot be held together by these settings, with all their layers.

    Which system a VM has is not known yet, so what is wrong for one system alone is left to the run.

    Raises:
        DocumentError: names the time-out of the group, or the group, and says which settings do not fit.
    """
    for group in groups:
        for rule in rules_of_members(group.rules):
            vms = group.selection.vms if group.is_a_list else ("", *group.selection.vms)
            told = [combinations.first_broken(rule, base, layers, vms, os) for os in combinations.SYSTEMS]
            if all(told):
                raise DocumentError(f"{group.at}.{rule.blamed}" if rule.blamed else group.at, told[0])


def rules_of_members(rules: GroupRules) -> tuple[Rule, ...]:
    """Give what must hold of the settings of each VM of a group; ``blamed`` names the time-out, if any."""

    def longer(name: str, what: str, value: int) -> Callable[[GuestProcessing, str], str]:
        def broken(settings: GuestProcessing, _os: str) -> str:
            least: int = getattr(settings, name)
            return "" if value > least else f"must be more than {name} ({least}): {what}"

        return broken

    def inside(settings: GuestProcessing, _os: str) -> str:
        budget = settings.freeze_budget_ms
        if rules.held_timeout_ms < budget:
            return ""
        return f"must be less than freeze_budget_ms ({budget}): who waits for the others is held meanwhile"

    armed = longer("arming_timeout_ms", "a guest may take as long to get ready", rules.armed_timeout_ms)
    proved = longer("resume_timeout_ms", "a guest may take as long to go on", rules.proved_timeout_ms)
    return (
        Rule(frozenset({"enabled"}), "", _holds),
        Rule(frozenset({"anchor"}), "", _holds_on),
        Rule(frozenset({"arming_timeout_ms"}), "armed_timeout_ms", armed),
        Rule(frozenset({"freeze_budget_ms"}), "held_timeout_ms", inside),
        Rule(frozenset({"resume_timeout_ms"}), "proved_timeout_ms", proved),
    )


def _holds(settings: GuestProcessing, _os: str) -> str:
    return "" if settings.enabled else "guest processing is off: VMs that are not held share no instant"


def _holds_on(settings: GuestProcessing, _os: str) -> str:
    if settings.anchor is None:
        return ""
    return "an anchor lets applications go on before the other VMs are held: its VM shares no instant"
