"""The names of the guests' queues. Standard library only: who enrols a guest needs no more than these."""

import uuid

#: The queue that the app's ack trigger listens to.
ACK_QUEUE = "stillframe-acks"

#: The namespace of ``guid()`` in templates (Microsoft, "String functions for Bicep": UUID version 5).
_TEMPLATE_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


#: What the names of all command queues begin with.
COMMAND_PREFIX = "cmd-"


def command_queue(vm_id: str) -> str:
    """The name of a VM's command queue: ARM ids vary in case, and have characters that queue names forbid.

    A template makes the same name by ``'cmd-${guid(toLower(vmId))}'``, and so can give a VM's identity
    its right to this one queue (infra/guests).
    """
    return f"{COMMAND_PREFIX}{uuid.uuid5(_TEMPLATE_GUIDS, vm_id.lower())}"
