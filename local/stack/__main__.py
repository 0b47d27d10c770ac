"""`python -m local.stack`: the whole stack until Ctrl-C, with a few VMs to try things on."""

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
import time

from local.azurite import AzuriteUnavailableError
from local.stack.app_host import ROOT, HostDidNotStartError
from local.stack.receiver import receiving
from local.stack.stack import SCRIPTS, Stack, StackOptions, application_scripts, running
from local.world.capability import can_use_real_disks
from local.world.sandbox import enclosed, is_inside
from local.world.specs import three_disk_guest
from shared.engine.times import next_time
from shared.policy.fields import DocumentError
from shared.policy.schedules import Schedule

#: The VMs that there are, and their tags; the first is the one of the printed command.
VMS = {
    "ledger-01": {"env": "production", "application": "ledger"},
    "ledger-02": {"env": "production", "application": "ledger"},
    "ledger-03": {"env": "test", "application": "ledger"},
}
VM = next(iter(VMS))

LOCAL = ROOT / ".local"
#: What a shell sources to work with the stack, and the notices that have come.
ENVIRONMENT, NOTICES = LOCAL / "up.env", LOCAL / "notices.jsonl"

#: In Azure schedules are looked at every minute, retention comes hourly, reconciliation daily; nobody wants
#: to wait for them here.
TIMERS = {
    "STILLFRAME_SCHEDULES_TIMER": "*/5 * * * * *",
    "STILLFRAME_RETENTION_TIMER": "*/15 * * * * *",
    "STILLFRAME_RECONCILIATION_TIMER": "*/30 * * * * *",
}

#: How often docs/first-policy.md has its policy run, and what may say otherwise: `make up OFTEN="* * * * *"`.
EVERY_TWO_MINUTES, OFTEN = "*/2 * * * *", "OFTEN"


def main() -> int:
    """Run the stack, in private namespaces where the machine allows them; its exit code."""
    often = os.environ.get(OFTEN) or EVERY_TWO_MINUTES
    try:
        next_time(Schedule(cron=often), time.time_ns() // 1_000_000)
    except DocumentError as error:
        print(f"{OFTEN}={often!r}: {error.problem}", file=sys.stderr)
        return 2
    if can_use_real_disks().ok and not is_inside():
        command = enclosed([sys.executable, "-m", "local.stack"])
        os.execv(command[0], command)
    try:
        asyncio.run(_serve(often))
    except (AzuriteUnavailableError, HostDidNotStartError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


async def _serve(often: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    LOCAL.mkdir(exist_ok=True)
    NOTICES.unlink(missing_ok=True)
    key = secrets.token_bytes(32)
    secret = "whsec_" + base64.b64encode(key).decode()
    options = StackOptions(settings={"STILLFRAME_WEBHOOK_SECRET_LOCAL": secret, **TIMERS})
    async with receiving(key, NOTICES) as notices, running(options) as stack:
        for name, tags in VMS.items():
            await stack.add_vm(three_disk_guest(name, stack.places.mounts, clients=1), tags=tags)
        ENVIRONMENT.write_text(_environment(stack, notices, often))
        _tell(stack)
        await stopped.wait()
        ENVIRONMENT.unlink(missing_ok=True)
    print("stopped; nothing is left behind")


def _environment(stack: Stack, notices: str, often: str) -> str:
    """Give what a shell has to know to work with this stack, docs/first-policy.md line by line."""
    named = {
        "STILLFRAME_URL": stack.api.base,
        "SUBSCRIPTION": stack.world.subscription_id,
        "SCRIPTS": str(SCRIPTS),
        "NOTICES": notices,
        "OFTEN": often,
        "PATH": f"{ROOT / '.venv' / 'bin'}:$PATH",
    }
    return "".join(f'export {name}="{value}"\n' for name, value in named.items())


def _tell(stack: Stack) -> None:
    guest = {"on_guest_failure": "fail", **application_scripts(stack.guests, VM)}
    body = json.dumps({"vms": [stack.vm_id(VM)], "guest_processing": guest})
    print(f"app       {stack.api.base}/api/runs")
    print(f"page      {stack.api.base}/api/ui")
    print(f"health    {stack.api.base}/api/health")
    print(f"Azure     {stack.arm_url} (simulated; what was asked of it: GET /_sim/journal)")
    print(f"storage   {stack.storage.connection_string}")
    print(f"log       {stack.host.log}")
    print("\nStart a run, and follow the href of the answer:\n")
    print(f"  curl -si {stack.api.base}/api/runs -H 'Content-Type: application/json' -d '{body}'\n")
    print("Or go through docs/first-policy.md in another terminal. Ctrl-C ends it all.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
