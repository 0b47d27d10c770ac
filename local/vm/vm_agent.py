"""QEMU's guest agent in the place of Azure's VM agent: it runs the scripts of managed run commands.

It speaks JSON lines (QEMU Guest Agent Protocol Reference). A machine has one channel to it, on which one
question at a time is asked.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

from local.arm.guests import OUTPUT_LIMIT_BYTES, GuestResult, UnknownGuestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from local.vm.machine import Machine

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ANSWER_DEADLINE_S = 30.0
_SYNC_DEADLINE_S = 1.0  # what is asked before the agent listens is lost
_POLL_S = 0.1
_LONGEST_LINE = 16 * 1024 * 1024


class VmAgentError(Exception):
    """The guest agent refused a command, or did not answer it; `reason` says why."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        self.reason = reason


class VmAgent:
    """The channel to one machine's guest agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._one_at_a_time = asyncio.Lock()
        self._syncs = 0
        self._in_step = False

    async def until_it_answers(self, machine: Machine, *, within_s: float) -> None:
        """Wait until the guest has booted so far that its agent answers.

        Raises MachineEndedError when the machine ends before, or takes longer than `within_s` seconds.
        """
        ends_at = asyncio.get_running_loop().time() + within_s
        while True:
            if not machine.running or asyncio.get_running_loop().time() > ends_at:
                raise machine.ended()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sync(), _SYNC_DEADLINE_S)
                return

    async def run(self, script: str, environment: Mapping[str, str]) -> GuestResult:
        """Run a script by sh and wait for it, not for what it left running. Being cancelled kills it.

        Raises VmAgentError.
        """
        # In a session of its own, as whose group it can be killed.
        asked = {
            "path": "/usr/bin/setsid",
            "arg": ["/bin/sh", "-c", script],
            "env": [f"{name}={value}" for name, value in {"PATH": _PATH, **environment}.items()],
            "capture-output": True,
        }
        starting = asyncio.ensure_future(self._ask("guest-exec", asked))
        try:
            return await self._result((await asyncio.shield(starting))["pid"])
        except asyncio.CancelledError:
            group = (await starting)["pid"]
            kill = {"path": "/bin/sh", "arg": ["-c", f"kill -s KILL -- -{group}"]}
            await self._ask("guest-exec", kill)
            raise

    async def _result(self, pid: int) -> GuestResult:
        """Wait for the end of what was started: the agent tells only when asked."""
        while True:
            status = await self._ask("guest-exec-status", {"pid": pid})
            if status["exited"]:
                return _result(status)
            await asyncio.sleep(_POLL_S)

    async def _sync(self) -> None:
        """Throw away what is still to be answered, by a question whose answer is its alone (guest-sync)."""
        self._syncs += 1
        self._send("guest-sync", {"id": self._syncs})
        while (await self._receive()).get("return") != self._syncs:
            pass
        self._in_step = True

    async def _ask(self, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(_ANSWER_DEADLINE_S):
                    if not self._in_step:
                        await self._sync()
                    self._in_step = False  # until the answer is there: who asked may be called off
                    self._send(command, arguments)
                    answer = await self._receive()
                    self._in_step = True
            except TimeoutError as error:
                raise VmAgentError(command, f"no answer within {_ANSWER_DEADLINE_S:g} s") from error
        if "error" in answer:
            raise VmAgentError(command, answer["error"]["desc"])
        return dict(answer["return"])

    def _send(self, command: str, arguments: Mapping[str, Any]) -> None:
        line = json.dumps({"execute": command, "arguments": dict(arguments)})
        self._writer.write(line.encode() + b"\n")

    async def _receive(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise VmAgentError("receive", "the machine was switched off")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _result(status: Mapping[str, Any]) -> GuestResult:
    signal = status.get("signal")
    exit_code = int(status["exitcode"]) if signal is None else -int(signal)
    return GuestResult(exit_code, _text(status.get("out-data")), _text(status.get("err-data")))


def _text(encoded: str | None) -> str:
    return base64.b64decode(encoded or "")[-OUTPUT_LIMIT_BYTES:].decode(errors="replace")


@contextlib.asynccontextmanager
async def vm_agent(machine: Machine, *, boots_within_s: float) -> AsyncIterator[VmAgent]:
    """Open the channel to a machine's guest agent, once the guest has booted.

    Raises MachineEndedError.
    """
    while not machine.vm_agent.exists():  # QEMU makes it among the first things
        if not machine.running:
            raise machine.ended()
        await asyncio.sleep(_POLL_S)
    reader, writer = await asyncio.open_unix_connection(str(machine.vm_agent), limit=_LONGEST_LINE)
    try:
        agent = VmAgent(reader, writer)
        await agent.until_it_answers(machine, within_s=boots_within_s)
        yield agent
    finally:
        writer.close()


class VmAgents:
    """The guests of the simulated Azure, where they are virtual machines: see `GuestBackend`."""

    def __init__(self) -> None:
        self._agents: dict[str, VmAgent] = {}

    def add(self, vm_name: str, agent: VmAgent) -> None:
        """Let the simulated Azure reach a VM."""
        self._agents[vm_name] = agent

    async def run(self, vm_name: str, script: str, environment: Mapping[str, str]) -> GuestResult:
        """Run a script in a VM.

        Raises UnknownGuestError, VmAgentError.
        """
        if vm_name not in self._agents:
            raise UnknownGuestError(vm_name)
        return await self._agents[vm_name].run(script, environment)
