"""``/api/preflight``: what would stop or weaken a run over a VM, before anything is touched.

The VM's id is in the query or the body: Azure Functions decodes slashes in a path before it looks for a
route.
"""

import asyncio

import azure.functions as func

from shared.engine.run_settings import RunSettings
from shared.policy.documents import read_policy_name, read_run
from shared.policy.fields import DocumentError
from shared.triggers.once import Once
from shared.triggers.problems import answer
from shared.triggers.queries import only, read_text
from shared.triggers.replies import reply
from shared.triggers.requests import read_json

#: VMs of one request: each is looked at in Azure while the caller waits.
MOST_VMS_LOOKED_AT = 20


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. Every route needs a function key; ``rights.py`` says of which right."""
    triggers = func.Blueprint()

    @triggers.route("preflight", methods=["GET"])
    async def preflight_vm(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            vm, policy = _vm(req), read_text(req, "policy")
            named = {} if policy is None else {"policy": read_policy_name(policy)}
            settings = await _settings(application, {"vms": [vm], **named})
            return reply(await application().preflights.look(vm, settings))

        return await answer(work)

    @triggers.route("preflight", methods=["POST"])
    async def preflight_run(req: func.HttpRequest) -> func.HttpResponse:
        async def work() -> func.HttpResponse:
            only(req)
            document = read_json(req)
            vms = read_run(document).vms
            if not 1 <= len(vms) <= MOST_VMS_LOOKED_AT:
                raise DocumentError("vms", f"expected 1 to {MOST_VMS_LOOKED_AT} VMs to look at")
            settings = await _settings(application, document)
            looking = (application().preflights.look(vm, settings) for vm in vms)
            return reply({"items": await asyncio.gather(*looking)})

        return await answer(work)

    return triggers


async def _settings(application: Once, document: object) -> RunSettings:
    return await application().policies.settings_of(read_run(document))


def _vm(req: func.HttpRequest) -> str:
    only(req, "vm", "policy")
    vm = read_text(req, "vm")
    if vm is None:
        raise DocumentError("vm", "missing: expected the ARM id of a VM")
    try:
        read_run({"vms": [vm]})
    except DocumentError as error:
        raise DocumentError("vm", error.problem) from None
    return vm
