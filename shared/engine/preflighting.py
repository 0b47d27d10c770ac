"""The use case of somebody who wants to know before a run: would it work, and what would it be worth?

Touches nothing: it reads the VM, its disks and the resource groups of its snapshots, and asks the saga's own
machine what it would do.
"""

from dataclasses import dataclass, replace
from typing import Any

from shared.compute.diagnosing import VM, Refusal
from shared.compute.errors import ComputeError
from shared.engine.orders import Keys
from shared.engine.ports import Clock, Compute
from shared.engine.preflight_checks import (
    Agent,
    Check,
    Forecast,
    Level,
    best,
    checks,
    forecast,
    refused,
    told_of_tags,
)
from shared.engine.run_settings import RunSettings
from shared.engine.views import moment
from shared.policy.groups import group_of
from shared.policy.layers import for_vm
from shared.policy.selection import summary_of_id
from shared.saga.facts import DiskFacts, LeftOut, VmFacts
from shared.saga.state import GroupMember, SagaSpec
from shared.saga.tags_of_vm import with_own_tags
from shared.storage.agents import AgentTable


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a VM comes to: the checks, and what a recovery point would be at best."""

    checks: tuple[Check, ...]
    best: Forecast
    facts: VmFacts | None = None


class Preflights:
    """Looks at VMs before a run."""

    def __init__(self, compute: Compute, agents: AgentTable, keys: Keys, clock: Clock) -> None:
        self._compute = compute
        self._agents = agents
        self._keys = keys
        self._clock = clock

    async def look(self, vm_id: str, settings: RunSettings) -> dict[str, Any]:
        """Look at a VM with the settings of a run, and show what was seen."""
        seen = await self._look(vm_id, settings)
        levels = {check.level for check in seen.checks}
        worst = next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)
        order = list(Level)
        return {
            "vm": vm_id,
            "policy": settings.policy_name or None,
            "checked_at": moment(self._clock()),
            "level": worst.value,
            "best_grade": seen.best.grade.value if seen.best.grade else None,
            "best_grade_why": seen.best.why,
            "disks": _disks(seen.facts),
            "checks": [
                {
                    "code": check.code,
                    "level": check.level.value,
                    "sentence": check.sentence,
                    "what_to_do": check.what_to_do or None,
                }
                for check in sorted(seen.checks, key=lambda check: order.index(check.level))
            ],
        }

    async def _look(self, vm_id: str, settings: RunSettings) -> _Seen:
        name = vm_id.rpartition("/")[2]
        refusals = await self._refused_copies(vm_id, settings)
        found = tuple(
            Check(check.code, Level.WARNING, f"{check.sentence}; no copy goes there", check.what_to_do)
            for check in refused(refusals, name)
        )
        try:
            facts = await self._compute.read_facts(vm_id, settings.snapshots, settings.disks)
        except ComputeError as error:
            stopping = await self._compute.diagnose(vm_id, settings.snapshots)
            unread = Refusal(VM, name, error.cause, f"{error.detail} ({error.code})")
            told = tuple(refused(stopping or (unread,), name))
            return _Seen((*told, *found), Forecast(None, told[0].sentence))
        agent = await self._agents.get(vm_id)
        known = Agent(agent.version, agent.key_version == self._keys.version) if agent else None
        spec = replace(_spec(vm_id, settings), group=_group(vm_id, settings, facts))
        state, remarks = forecast(spec, facts, self._clock()), with_own_tags(spec, facts)[1]
        return _Seen((*checks(state, facts, known), *told_of_tags(remarks), *found), best(state), facts)

    async def _refused_copies(self, vm_id: str, settings: RunSettings) -> tuple[Refusal, ...]:
        subscription, own = vm_id.split("/")[2], settings.snapshots.resource_group
        groups = {target.resource_group for target in settings.snapshots.copy_to} - {None, own}
        return await self._compute.look_at_groups(subscription, sorted(group for group in groups if group))


def _spec(vm_id: str, settings: RunSettings) -> SagaSpec:
    return SagaSpec(
        saga_id="preflight",
        run_id="preflight",
        vm_id=vm_id,
        policy_name=settings.policy_name,
        guest=settings.guest,
        layers=for_vm(settings.layers, vm_id),
        snapshots=settings.snapshots,
        disks=settings.disks,
        own_tags=settings.own_tags,
    )


def _group(vm_id: str, settings: RunSettings, facts: VmFacts) -> GroupMember | None:
    """Say which group the VM would share its instant with; None for none."""
    vm = replace(summary_of_id(vm_id), location=facts.location, os=facts.os_type, tags=facts.tags)
    name = group_of(settings.groups, vm)
    rules = next((group.rules for group in settings.groups if group.name == name), None)
    return GroupMember(key=f"preflight/{name}", name=name, rules=rules) if rules else None


def _disks(facts: VmFacts | None) -> list[dict[str, Any]]:
    if facts is None:
        return []
    return [*(_disk_in(disk) for disk in facts.disks), *(_disk_out(disk) for disk in facts.left_out)]


def _disk_in(disk: DiskFacts) -> dict[str, Any]:
    return {"disk": disk.disk_id, "name": disk.name, "lun": disk.lun, "included": True, "why": ""}


def _disk_out(disk: LeftOut) -> dict[str, Any]:
    return {
        "disk": disk.disk_id or None,
        "name": disk.name,
        "lun": disk.lun,
        "included": False,
        "why": disk.why,
    }
