"""What the settings of a saga come to once its VM and the VM's own tags are known. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from shared.policy.group_settings import rules_of_members
from shared.policy.own_tags import PRIORITY, Remark, settle
from shared.saga.evidence import GuestWarning
from shared.saga.facts import VmFacts
from shared.saga.state import SagaSpec, SagaState
from shared.saga.warnings import warned

#: The kind of a warning about a tag. It is given before the first generation, so it mars no recovery point.
TAG = "tag"


def with_own_tags(spec: SagaSpec, facts: VmFacts) -> tuple[SagaSpec, tuple[Remark, ...]]:
    """Put the layers that fit the VM, and its tags, on its guest processing; give what the tags are told."""
    settled = settle(
        spec.guest,
        spec.layers,
        facts.os_type,
        facts.tags,
        spec.own_tags,
        rules=rules_of_members(spec.group.rules) if spec.group else (),
        azure_can=spec.snapshots.is_restore_point and facts.is_windows,
    )
    admission = spec.admission
    if admission is not None and PRIORITY in spec.own_tags:
        admission = replace(admission, rank=settled.priority)
    return replace(spec, guest=settled.guest, layers=(), own_tags=(), admission=admission), settled.remarks


def told_of_tags(state: SagaState, remarks: Sequence[Remark]) -> SagaState:
    """Warn of tags that whoever wrote them should look at, and note the others that do not count."""
    wrong = tuple(GuestWarning(TAG, each.tag, each.code, each.sentence) for each in remarks if each.wrong)
    notes = tuple(each.sentence for each in remarks if not each.wrong)
    return warned(replace(state, notes=(*state.notes, *notes)), wrong)
