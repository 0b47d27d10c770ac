"""Enrol the agents of VMs: `python3 -m infra.guests.enrol --help`. Needs Python 3.11 and a logged in `az`.

It does what the app cannot by itself: make an agent resident. The VM's key is derived here from the master
secret, which the caller may read in the vault, and goes to the guest in a protected parameter of a managed
run command, which no answer of Azure repeats. It is on no command line, in no file of the guest but the
enrolment, and on this machine in a file that only the caller reads, for as long as the request takes.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.protocol import vm_key
from shared.storage.guest_names import ACK_QUEUE, command_queue

_MANAGEMENT = "https://management.azure.com"
#: That of the app's own client.
_VERSION = "2026-04-01"
_NAME = "stillframe-enrol"
_TIMEOUT_S = 600
_ENDED = ("Succeeded", "Failed", "Canceled", "TimedOut")

#: What the run command runs in a guest.
_SCRIPTS = {
    "linux": Path(__file__).with_name("enrol-linux.sh"),
    "windows": Path(__file__).with_name("enrol-windows.ps1"),
}


class NotEnrolledError(Exception):
    """A VM was not enrolled; the text says why and what would be right."""


def main(arguments: list[str]) -> int:
    """Enrol each VM; returns 0 when all of them are, and their checks found nothing that stops an agent."""
    options = _parse(arguments)
    try:
        master = _master(options.master_secret)
    except NotEnrolledError as error:
        print(f"enrol: {error}", file=sys.stderr)
        return 1
    worst = 0
    for vm_id in options.vm:
        try:
            print(f"{vm_id}\n{_enrol(vm_id, master, options)}", flush=True)
        except NotEnrolledError as error:
            print(f"{vm_id}\nenrol: {error}", file=sys.stderr)
            worst = 1
    return worst


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="enrol", description="Make the agents of VMs resident.")
    parser.add_argument("vm", nargs="+", metavar="VM", help="resource ids of VMs that have the agent")
    parser.add_argument(
        "--master-secret", required=True, metavar="URL", help="https://<vault>.vault.azure.net/secrets/<name>"
    )
    parser.add_argument(
        "--queues", required=True, metavar="URL", help="https://<guests' account>.queue.core.windows.net"
    )
    parser.add_argument(
        "--key-version", type=int, default=1, metavar="N", help="the app's STILLFRAME_KEY_VERSION"
    )
    parser.add_argument(
        "--client-id", default="", metavar="ID", help="of a user-assigned identity of the VMs"
    )
    options = parser.parse_args(arguments)
    if not options.queues.startswith("https://"):
        parser.error("--queues: expected an https URL")
    return options


def _master(secret: str) -> bytes:
    text = _az("keyvault", "secret", "show", "--id", secret, "--query", "value", "--output", "tsv").strip()
    try:
        master = bytes.fromhex(text)
    except ValueError:
        master = b""
    if len(master) < 32:
        raise NotEnrolledError("--master-secret: expected a secret of at least 64 hex digits")
    return master


def _enrol(vm_id: str, master: bytes, options: argparse.Namespace) -> str:
    vm = _rest("get", f"{vm_id}?api-version={_VERSION}")
    if not options.client_id and not vm.get("identity", {}).get("principalId"):
        raise NotEnrolledError("it has no system-assigned identity: `az vm identity assign`, or --client-id")
    bootstrap = {
        "vm": vm_id.lower(),
        "key": vm_key(master, vm_id, options.key_version).hex(),
        "key_version": options.key_version,
        "credential": "managed_identity",
        "client_id": options.client_id,
        "command_queue": f"{options.queues.rstrip('/')}/{command_queue(vm_id)}",
        "ack_queue": f"{options.queues.rstrip('/')}/{ACK_QUEUE}",
    }
    command = f"{vm_id}/runCommands/{_NAME}?api-version={_VERSION}"
    try:
        _rest("put", command, _body(vm, json.dumps(bootstrap)))
        return _outcome(command)
    finally:
        # It would keep one of the VM's 25 places. What a failed request has not made is not there to delete.
        subprocess.run(
            ["az", "rest", "--method", "delete", "--url", _MANAGEMENT + command],
            check=False,
            capture_output=True,
        )


def _body(vm: Mapping[str, Any], bootstrap: str) -> dict[str, Any]:
    system = vm["properties"]["storageProfile"]["osDisk"]["osType"].lower()
    if system not in _SCRIPTS:
        raise NotEnrolledError(f"there is no agent for {system}")
    # Quotation marks do not survive every way to a PowerShell script.
    value = base64.b64encode(bootstrap.encode()).decode() if system == "windows" else bootstrap
    return {
        "location": vm["location"],
        "properties": {
            "source": {"script": _SCRIPTS[system].read_text()},
            "protectedParameters": [{"name": "STILLFRAME_BOOTSTRAP", "value": value}],
            "timeoutInSeconds": _TIMEOUT_S,
            "asyncExecution": True,
        },
    }


def _outcome(command: str) -> str:
    """Wait for the script's end; returns what it printed."""
    pause = float(os.environ.get("STILLFRAME_PAUSE_S", "5"))
    deadline = time.monotonic() + _TIMEOUT_S + 300  # the VM agent may be slow to begin
    while time.monotonic() < deadline:
        view = _rest("get", command + "&$expand=instanceView")["properties"].get("instanceView") or {}
        if view.get("executionState") in _ENDED:
            told = "\n".join(part.strip() for part in (view.get("output"), view.get("error")) if part)
            if view["executionState"] != "Succeeded" or view.get("exitCode"):
                raise NotEnrolledError(f"{view['executionState']}, exit code {view.get('exitCode')}\n{told}")
            return told
        time.sleep(pause)
    raise NotEnrolledError("the run command did not end: is the VM running, and its VM agent?")


def _rest(method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    words = ["rest", "--method", method, "--url", _MANAGEMENT + path]
    if body is None:
        return _document(_az(*words))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # it has the mode 0600
        json.dump(body, file)
        file.flush()
        return _document(_az(*words, "--body", "@" + file.name))


def _document(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text) if text.strip() else {}
    return document


def _az(*words: str) -> str:
    try:
        done = subprocess.run(["az", *words], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise NotEnrolledError("there is no `az` on PATH") from None
    if done.returncode != 0:
        what = " ".join(words[:3])
        raise NotEnrolledError(f"az {what}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
