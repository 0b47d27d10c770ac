"""The ARM ids of VMs, as documents name them."""

import re

from shared.policy.fields import DocumentError, Fields

#: Resource names: Azure's rules for VMs and resource groups, taken together and a little stricter.
#: Only a group's may have letters beyond ASCII, and only ASCII's case is ignored: K is not the kelvin sign.
_VM_ID = re.compile(
    r"(?ai:/subscriptions/[0-9a-f-]{36}/resourceGroups)/[\w.()-]{1,90}"
    r"(?ai:/providers/Microsoft\.Compute/virtualMachines/[\w.-]{1,64})"
)
_SHAPE = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/V"

#: How many VMs a document may name one by one; what rules select has no such limit.
MOST_VMS = 2_000


def read_vm_ids(fields: Fields, name: str) -> tuple[str, ...]:
    """Read a list of ids of VMs, none of which comes twice; missing means empty.

    Raises:
        DocumentError: names the item that is wrong.
    """
    vms = fields.texts(name, most=MOST_VMS)
    seen: set[str] = set()
    for index, vm in enumerate(vms):
        at = f"{fields.at(name)}[{index}]"
        if not _VM_ID.fullmatch(vm):
            raise DocumentError(at, f"expected the ARM id of a VM, {_SHAPE}")
        if vm.lower() in seen:
            raise DocumentError(at, "this VM is named twice")
        seen.add(vm.lower())
    return vms
