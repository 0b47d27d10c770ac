"""Which VMs there are: a subscription or a resource group, page by page."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.compute.client import ClientPool
from shared.compute.errors import Refused, classified
from shared.compute.names import InvalidResourceId, Kind, parse_id
from shared.compute.values import spelling
from shared.policy.selection import Scope, VmSummary

if TYPE_CHECKING:
    from azure.mgmt.compute.models import VirtualMachine


@dataclass(frozen=True, slots=True)
class VmPage:
    """A page of a list, and what the next one is asked for by; empty at the end."""

    vms: tuple[VmSummary, ...]
    following: str = ""


async def list_vms(pool: ClientPool, scope: Scope, page: str) -> VmPage:
    """List a page of VMs: one GET. ``page`` is empty for the first, else what the page before says.

    How many there are on one is Azure's choice. Raises `ComputeError`.
    """
    if page and urlsplit(page)[:2] != urlsplit(pool.endpoint)[:2]:
        raise Refused("ForeignLink", "the next page lies with another host: no token is sent there")
    client = pool.of(scope.subscription).patient.virtual_machines
    found: list[VmSummary] = []
    with classified():
        listed = client.list(scope.group) if scope.group else client.list_all()
        pages = listed.by_page(continuation_token=page or None)
        async for items in pages:
            found += [_summary(vm) async for vm in items]
            break  # the next page is asked for when its time comes
        return VmPage(tuple(found), getattr(pages, "continuation_token", None) or "")


def _summary(vm: "VirtualMachine") -> VmSummary:
    try:
        resource = parse_id(vm.id or "", Kind.VM)
    except InvalidResourceId as error:
        raise ValueError(str(error)) from error
    storage = vm.properties.storage_profile if vm.properties else None
    return VmSummary(
        id=str(vm.id),
        name=resource.name,
        resource_group=resource.resource_group,
        subscription=resource.subscription_id,
        location=vm.location or "",
        os=spelling(storage.os_disk.os_type) if storage and storage.os_disk else "",
        tags=tuple(sorted((vm.tags or {}).items())),
    )
