"""The floor: what the saga does to a guest and its disks, in a straight line, with nothing kept or decided.

The same agent, started the same way; the same scripts; the same freeze; the same capture.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.lines import Line
from shared.compute import Compute
from shared.compute.disk_snapshot import CaptureTarget
from shared.compute.tags import at_birth
from shared.engine.orders import Keys
from shared.policy.snapshots import SnapshotSettings
from shared.protocol import (
    ARM,
    QUIESCE,
    QUIESCED,
    READY,
    RELEASE,
    RELEASED,
    RESUME,
    RESUMED,
    Ack,
    Command,
    Rejected,
    decode_ack,
    encode_command,
)
from shared.saga.evidence import DiskCapture
from shared.saga.facts import VmFacts
from shared.saga.names import snapshot_id

_BUDGET_MS = 30_000
_COMMAND_MS = 60_000
_ACK_DEADLINE_S = 60.0
_GENERATION = 1


class FloorError(Exception):
    """A straight-line pass did not end as it should; ``why`` says at what."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """How a pass went. ``window_ms`` is the guest's own; the other times are ms since the epoch."""

    window_ms: int
    taken_at: int
    first_put_at: int
    last_copied_at: int
    last_seen_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StraightLine:
    """What passes are made with. ``clock`` gives ms since the epoch."""

    compute: Compute
    keys: Keys
    clock: Callable[[], int]

    async def run(self, session: str, vm_id: str, guest: Mapping[str, Any], line: Line) -> Pass:
        """Quiesce, capture and resume once, and tidy up.

        ``guest`` is the body of the quiesce command.

        Raises:
            FloorError: a step failed. The agent's dead-man sees to the guest then.
        """
        talk = _Talk(self, session, vm_id, line)
        facts = await self.compute.read_facts(vm_id, SnapshotSettings())
        await self._wake(talk, facts)
        await self.compute.warm(vm_id)
        await talk.order(QUIESCE, guest)
        await talk.hear(QUIESCED)
        taken_at = self.clock()
        captures = await self._capture(talk, facts, taken_at)
        await talk.order(RESUME, {})
        resumed = await talk.hear(RESUMED)
        await talk.order(RELEASE, {})
        await talk.hear(RELEASED)
        await self._tidy_up(talk, captures)
        return _judge(resumed, captures, taken_at)

    async def _wake(self, talk: "_Talk", facts: VmFacts) -> None:
        urls = await talk.line.urls(talk.vm_id)
        body = {"budget_ms": _BUDGET_MS, "session_ms": 5 * _BUDGET_MS, "linger_ms": 1_000}
        bootstrap = {
            "vm": talk.vm_id.lower(),
            "key": self.keys.of_vm(talk.vm_id).hex(),
            "command_queue": urls.command,
            "ack_queue": urls.ack,
            "command": talk.signed(ARM, body)[0],
            "stay": False,
        }
        await self.compute.start_agent(facts, talk.session, _GENERATION, json.dumps(bootstrap))
        await talk.hear(READY)

    async def _capture(self, talk: "_Talk", facts: VmFacts, now: int) -> tuple[DiskCapture, ...]:
        targets = [
            CaptureTarget(disk, snapshot_id(disk, None, talk.session, _GENERATION)) for disk in facts.disks
        ]
        return await self.compute.capture(
            targets,
            tags=at_birth(policy="", run="", saga=talk.session, generation=_GENERATION),
            not_before=now,
            deadline=now + _BUDGET_MS,
            held=True,
        )

    async def _tidy_up(self, talk: "_Talk", captures: tuple[DiskCapture, ...]) -> None:
        await asyncio.gather(
            self.compute.stop_agent(talk.vm_id, talk.session, _GENERATION),
            *(self.compute.delete(capture.snapshot_id, talk.session) for capture in captures),
        )


class _Talk:
    """Commands and acks of one session."""

    def __init__(self, by: StraightLine, session: str, vm_id: str, line: Line) -> None:
        self._by = by
        self.session = session
        self.vm_id = vm_id
        self.line = line
        self._sequence = 0

    def signed(self, kind: str, body: Mapping[str, Any]) -> tuple[str, int]:
        """Give the next command, and when it expires."""
        self._sequence += 1
        expires_at = self._by.clock() + _COMMAND_MS
        command = Command(
            kind=kind,
            vm=self.vm_id.lower(),
            saga=self.session,
            generation=_GENERATION,
            sequence=self._sequence,
            expires_at=expires_at,
            body=dict(body),
        )
        key = self._by.keys.of_session(self.vm_id, self.session)
        return encode_command(command, key), expires_at

    async def order(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send a command."""
        text, expires_at = self.signed(kind, body)
        await self.line.send(self.vm_id, text, expires_at)

    async def hear(self, kind: str) -> Ack:
        """Wait for this session's ack of a kind; others' are passed over.

        Raises:
            FloorError: another ack of this session came, or none within 60 s.
        """
        try:
            async with asyncio.timeout(_ACK_DEADLINE_S):
                while (ack := self._mine(await self.line.next_ack())) is None:
                    pass
        except TimeoutError:
            raise FloorError(f"no {kind} within {_ACK_DEADLINE_S:.0f} s") from None
        if ack.kind != kind:
            raise FloorError(f"{ack.kind} instead of {kind}: {json.dumps(ack.body)}")
        return ack

    def _mine(self, text: str) -> Ack | None:
        try:
            ack = decode_ack(text, self._by.keys.of_session)
        except Rejected:  # an agent repeats what an earlier session left unconfirmed
            return None
        return ack if ack.saga == self.session else None


def _judge(resumed: Ack, captures: tuple[DiskCapture, ...], taken_at: int) -> Pass:
    if not all(capture.captured for capture in captures):
        raise FloorError("; ".join(f"{one.error} {one.detail}" for one in captures if not one.captured))
    if not resumed.body["held_until_order"]:
        raise FloorError(f"not held until the order: {json.dumps(resumed.body)}")
    return Pass(
        window_ms=resumed.body["window_ms"],
        taken_at=taken_at,
        first_put_at=min(capture.put_sent_at for capture in captures),
        last_copied_at=max(capture.time_created or 0 for capture in captures),
        last_seen_at=max(capture.succeeded_seen_at or 0 for capture in captures),
    )
