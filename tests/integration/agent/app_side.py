"""The app's side of a session: signs commands, reads acks."""

import base64
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from shared import protocol

VM = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/vm1"
KEY = protocol.vm_key(b"master secret of these tests, 32", VM)

#: Poll conditions no longer than this (s).
PATIENCE_S = 30.0


class Queues(Protocol):
    """Two queues, by their names."""

    def url(self, queue: str) -> str: ...
    def put(self, queue: str, content: str) -> None: ...
    def take(self, queue: str) -> list[str]: ...


def until[T](look: Callable[[], T | None], what: str, patience_s: float = PATIENCE_S) -> T:
    """Look again until there is something to see."""
    deadline = time.monotonic() + patience_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)
    return seen


def script(path: str, *arguments: str, timeout_ms: int = 10_000) -> dict[str, Any]:
    return {"path": path, "arguments": list(arguments), "timeout_ms": timeout_ms}


def hook(folder: Path, name: str, text: str = "") -> str:
    """Write a script that notes each of its runs in a file beside it."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$STILLFRAME_GENERATION" >> {folder}/{name}.runs\n{text}\n')
    path.chmod(0o755)
    return str(path)


def runs(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.runs"
    return path.read_text().split() if path.exists() else []


def guest_file(folder: Path, *more: str) -> str:
    """Write the guest's own settings, unless they are there: scripts may lie in ``folder``."""
    path = folder / "agent.conf"
    if more or not path.exists():
        path.write_text("\n".join(["[scripts]", f"folders = {folder}", *more, ""]))
        path.chmod(0o600)
    return str(path)


def hooks(folder: Path) -> dict[str, Any]:
    return {"pre_script": script(hook(folder, "pre")), "post_script": script(hook(folder, "post"))}


def enrolled(queues: Queues, **more: Any) -> dict[str, Any]:
    """Give what makes an agent that of this VM."""
    urls = {"command_queue": queues.url("commands"), "ack_queue": queues.url("acks")}
    return {"vm": VM, "key": KEY.hex(), **urls, **more}


class App:
    """One saga; by default one of a name of its own.

    By its saga's name a script's processes are found and killed, those of other tests on the machine too.
    """

    def __init__(self, queues: Queues, saga: str = "") -> None:
        self.queues = queues
        self.saga = saga or f"saga-{secrets.token_hex(4)}"
        self.vm_key = KEY
        self.key = protocol.session_key(KEY, self.saga)
        self.acks: list[protocol.Ack] = []
        self.sequence = 0

    def command(self, kind: str, generation: int, body: dict[str, Any], **more: Any) -> str:
        """Sign a command with the next sequence."""
        self.sequence += 1
        return self.signed(kind, generation, more.pop("sequence", self.sequence), body, **more)

    def signed(
        self, kind: str, generation: int, sequence: int, body: dict[str, Any], expires_in_ms: int = 60_000
    ) -> str:
        expires = int(time.time() * 1000) + expires_in_ms
        command = protocol.Command(kind, VM, self.saga, generation, sequence, expires, body)
        return protocol.encode_command(command, self.key)

    def arm(self, linger_ms: int = 3_000, session_ms: int = 120_000) -> str:
        body = {"budget_ms": 20_000, "session_ms": session_ms, "linger_ms": linger_ms}
        return self.command("arm", 0, body)

    def bootstrap(self, more: dict[str, Any]) -> dict[str, Any]:
        """Give the bootstrap of one session, taking what concerns it out of ``more``; by default an `arm`."""
        command = more.pop("command", None) or self.arm(**more.pop("arm", {}))
        stay = more.pop("stay", False)
        return enrolled(self.queues, command=command, stay=stay, **more.pop("bootstrap", {}))

    def send(self, text: str) -> None:
        self.queues.put("commands", base64.b64encode(text.encode()).decode())

    def quiesce(self, generation: int = 1, **body: Any) -> str:
        plan = {
            "quiesce_timeout_ms": 10_000,
            "freeze_budget_ms": 20_000,
            "pre_script": None,
            "post_script": None,
            "filesystems": "all",
            **body,
        }
        text = self.command("quiesce", generation, plan)
        self.send(text)
        return text

    def resume(self, generation: int = 1) -> None:
        self.send(self.command("resume", generation, {}))

    def release(self, generation: int = 1) -> None:
        self.send(self.command("release", generation, {"why": "done"}))

    def collect(self) -> list[protocol.Ack]:
        """Read what came; an ack that came twice counts once, and must be the same."""
        for content in self.queues.take("acks"):
            text = base64.b64decode(content).decode()
            ack = protocol.decode_ack(text, lambda _vm, saga: protocol.session_key(self.vm_key, saga))
            if ack.saga != self.saga:  # another App of the same test reads it
                self.queues.put("acks", content)
                continue
            assert ack.vm == VM
            known = [a for a in self.acks if a.sequence == ack.sequence]
            assert all(a.body == ack.body and a.kind == ack.kind for a in known)
            if not known:
                self.acks.append(ack)
        return self.acks

    def answer(self, sequence: int | None = None, patience_s: float = PATIENCE_S) -> protocol.Ack:
        """Wait for the answer to a command, by default the last."""
        wanted = self.sequence if sequence is None else sequence
        return until(lambda: next(self._answers(wanted), None), f"answer to {wanted}", patience_s)

    @staticmethod
    def held(quiesced: protocol.Ack) -> list[dict[str, Any]]:
        """Give what a guest says that it holds, but for how long each took."""
        return [
            {name: value for name, value in held.items() if name != "took_ms"}
            for held in quiesced.body["held"]
        ]

    def unasked(self, patience_s: float = PATIENCE_S) -> protocol.Ack:
        """Wait for an ack that answers no command."""
        return until(lambda: next(self._answers(0), None), "an ack unasked", patience_s)

    def _answers(self, sequence: int) -> Iterator[protocol.Ack]:
        return (ack for ack in self.collect() if ack.answers == sequence)
