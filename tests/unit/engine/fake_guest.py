"""A guest for a test: it takes signed commands out of its queue, holds, lets go, and signs its acks."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from shared.engine.ports import Clock
from shared.protocol import (
    ARM,
    QUIESCE,
    QUIESCE_FAILED,
    QUIESCED,
    READY,
    RELEASED,
    RESUME,
    RESUMED,
    Ack,
    Command,
    Rejected,
    Replayed,
    decode_command,
    encode_ack,
    session_key,
)
from shared.storage.memory import MemoryQueues

BOOT = "5f0c8c7e-boot"
MOUNTS = ("/", "/data", "/log")


def _label(script: Mapping[str, Any]) -> str:
    return str(script.get("path") or script["name"])


def queue_of(url: str) -> str:
    return urlsplit(url).path.strip("/")


class FakeGuest:
    """One VM's guest. It obeys at once; ``deaf_to`` are kinds of commands whose answers get lost."""

    def __init__(self, vm_id: str, queues: MemoryQueues, clock: Clock) -> None:
        self.vm_id = vm_id
        self.deaf_to: set[str] = set()
        self.script_fails = False
        self.version = "0.1.0"
        self.key_version = 1
        self.resident = False
        self.warnings: list[dict[str, str]] = []
        self.commands: list[Command] = []
        self.rejected: list[Rejected] = []
        self.held_since: int | None = None
        self.longest_hold_ms = 0
        self.times_held = 0
        self._queues = queues
        self._clock = clock
        self._budget_ms = 30_000
        self._session: dict[str, Any] = {}
        self._started_with: list[str] = []
        self._answers: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}
        self._acks = 0
        self._last_sequence = 0
        self._closed = 0
        self._held_things: list[dict[str, Any]] = []

    @property
    def held(self) -> bool:
        return self.held_since is not None

    @property
    def wakes_at(self) -> int | None:
        """When the dead-man acts, ms since the epoch."""
        return None if self.held_since is None else self.held_since + self._budget_ms

    def key(self, saga: str) -> bytes:
        return session_key(bytes.fromhex(self._session["key"]), saga)

    def started(self, bootstrap: Mapping[str, Any]) -> None:
        """The run command started the agent with this."""
        self._session = dict(bootstrap)
        self._started_with.append(bootstrap["command"])

    def resides(self, bootstrap: Mapping[str, Any]) -> None:
        """Have an agent installed that looks into its queue by itself, enrolled with this."""
        self.resident = True
        self._session = dict(bootstrap)

    async def work(self) -> bool:
        """Obey what has come; say whether there was anything to do."""
        texts, self._started_with = self._started_with, []
        if self._session:
            queue = queue_of(self._session["command_queue"])
            for message in self._queues.receive(queue):
                await MemoryQueues.cancel(self._queues, queue, f"{message.message_id}|{message.pop_receipt}")
                texts.append(message.text)
        for text in texts:
            await self._obey(text)
        return bool(texts) or self._dead_man()

    def _dead_man(self) -> bool:
        if self.wakes_at is None or self._clock() < self.wakes_at:
            return False
        self._let_go()
        return True

    async def _obey(self, text: str) -> None:
        try:
            command = decode_command(text, self.vm_id, self.key, self._clock())
        except Rejected as rejected:
            self.rejected.append(rejected)
            return
        if command.sequence < self._last_sequence:
            self.rejected.append(Replayed(command.sequence, self._last_sequence))
            return
        self._last_sequence = command.sequence
        self.commands.append(command)
        number = (command.saga, command.sequence)
        if number not in self._answers:
            self._answers[number] = self._carry_out(command)
            self._acks += 1
        kind, body = self._answers[number]
        if command.kind not in self.deaf_to:
            await self.say(kind, command.saga, command.generation, body, answers=command.sequence)

    def _carry_out(self, command: Command) -> tuple[str, dict[str, Any]]:
        if command.kind == ARM:
            self._budget_ms = command.body["budget_ms"]
            return READY, {
                "dead_man": {"armed": True},
                "boot_id": BOOT,
                "agent_version": self.version,
                "resident": self.resident,
                "key_version": self.key_version,
            }
        if command.kind == QUIESCE:
            return self._quiesce(command)
        self._closed = command.generation
        if command.kind == RESUME:
            return RESUMED, self._resume()
        was_held = self.held
        self._let_go()
        return RELEASED, {"was_held": was_held}

    def _quiesce(self, command: Command) -> tuple[str, dict[str, Any]]:
        if command.generation <= self._closed:
            return QUIESCE_FAILED, {
                "reason": "generation_closed",
                "detail": "it is over",
                "released": True,
                "script": None,
            }
        body = command.body
        script = body["pre_script"] and _script(_label(body["pre_script"]), 3 if self.script_fails else 0)
        if self.script_fails:
            return QUIESCE_FAILED, {
                "reason": "script_failed",
                "detail": "exit code 3",
                "released": True,
                "script": script,
            }
        self.held_since = self._clock()
        self.times_held += 1
        held = [{"kind": "filesystem", "name": mount} for mount in MOUNTS]
        if script:
            held.insert(0, {"kind": "script", "name": script["path"]})
        self._held_things = held
        return QUIESCED, {
            "boot_id": BOOT,
            "dead_man": {"armed": True},
            "held": held,
            "not_held": [],
            "quiesce_ms": 40,
            "budget_left_ms": self._budget_ms - 40,
            "script": script,
        }

    def _resume(self) -> dict[str, Any]:
        whole, since = self.held, self.held_since
        self._let_go()
        return {
            "boot_id": BOOT,
            "released_by": "order" if whole else "dead-man",
            "held_until_order": whole,
            "held": [{**thing, "held_until_order": whole, "detail": ""} for thing in self._held_things],
            "window_ms": self._clock() - since if since else self._budget_ms,
            "script": _script("/opt/post.sh", 0),
            "warnings": self.warnings,
        }

    def _let_go(self) -> None:
        if self.held_since is not None:
            self.longest_hold_ms = max(self.longest_hold_ms, self._clock() - self.held_since)
        self.held_since = None

    def ack_text(
        self, kind: str, saga: str, generation: int, body: Mapping[str, Any], *, answers: int = 0
    ) -> str:
        ack = Ack(kind, self.vm_id, saga, generation, self._acks, answers, self._clock(), dict(body))
        return encode_ack(ack, self.key(saga))

    async def say(
        self, kind: str, saga: str, generation: int, body: Mapping[str, Any], *, answers: int = 0
    ) -> None:
        """Put an ack into the queue; that is no operation of the app's."""
        text = self.ack_text(kind, saga, generation, body, answers=answers)
        queue = queue_of(self._session["ack_queue"])
        await MemoryQueues.put(self._queues, queue, text, delay_s=0, expires_in_s=-1)

    def secrets(self) -> set[str]:
        """Give what nobody but this guest may see: its key, and what its URLs prove."""
        urls = (urlsplit(self._session[name]).query for name in ("command_queue", "ack_queue"))
        signatures = {part for url in urls for part in url.split("&") if part.startswith("sig=")}
        return {self._session["key"], *signatures}


def _script(path: str, exit_code: int) -> dict[str, Any]:
    return {"path": path, "exit_code": exit_code, "timed_out": False, "duration_ms": 12, "output": "ok"}


def bootstrap_of(text: str) -> dict[str, Any]:
    """Read what a run command hands to an agent."""
    bootstrap: dict[str, Any] = json.loads(text)
    return bootstrap
