"""What the storage tests share: builders of records, and a transport that counts and loses answers."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from shared.saga.history import HistoryEntry
from shared.saga.state import Phase, SagaSpec, SagaState
from shared.storage.agents import AgentTable
from shared.storage.claims import ClaimTable
from shared.storage.clients import TIMEOUTS
from shared.storage.findings import FindingTable
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.run_records import RunRecord
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.tables import TableStore


class SomeQueues(Protocol):
    async def ensure(self, *queues: str) -> None: ...
    async def send(self, queue: str, text: str, *, delay_ms: int = 0) -> str: ...
    async def cancel(self, queue: str, receipt: str) -> None: ...
    async def waiting_since(self, queue: str) -> int | None: ...


class SomeGuestQueues(Protocol):
    async def send_command(self, vm_id: str, text: str, expires_at: int) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Storage:
    """One implementation under the contract. ``now`` is its clock in ms.

    ``receive`` gives a queue's next text, or None when nothing becomes visible within the given ms.
    """

    tables: TableStore
    sagas: SagaTable
    runs: RunTable
    claims: ClaimTable
    policies: PolicyTable
    points: PointTable
    findings: FindingTable
    agents: AgentTable
    queues: SomeQueues
    guest_queues: SomeGuestQueues
    receive: Callable[[str, int], Awaitable[str | None]]
    now: Callable[[], int]


@dataclass
class Requests:
    """What went over the wire.

    The next ``lose`` answers are lost after the service has done its part; only those to ``methods`` count.
    """

    sent: list[str] = field(default_factory=list)
    lose: int = 0
    methods: tuple[str, ...] = ("POST",)

    def transport(self) -> "WatchedTransport":
        return WatchedTransport(self)

    def since(self, mark: int) -> list[str]:
        return self.sent[mark:]


# azure.core gives the class out through a module-level __getattr__, which has no type.
class WatchedTransport(AioHttpTransport):  # type: ignore[misc]
    def __init__(self, requests: Requests) -> None:
        super().__init__(**TIMEOUTS)
        self._requests = requests

    async def send(self, request: Any, **config: Any) -> Any:
        response = await super().send(request, **config)
        self._requests.sent.append(f"{request.method} {request.url.partition('?')[0].rpartition('/')[2]}")
        if self._requests.lose and request.method in self._requests.methods:
            self._requests.lose -= 1
            response.internal_response.close()
            raise ServiceResponseError("the answer was lost")
        return response


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def saga_state(saga_id: str | None = None, phase: Phase = Phase.PENDING, **changes: Any) -> SagaState:
    spec = SagaSpec(saga_id=saga_id or unique("saga"), run_id="run-1", vm_id="/subscriptions/s/vm1")
    return SagaState(spec=spec, started_at=1_790_000_000_000, phase=phase, **changes)


def entry(number: int, text: str = "") -> HistoryEntry:
    return HistoryEntry(
        at=1_790_000_000_000 + number,
        event="Started",
        from_phase="pending",
        to_phase="preflight",
        generation=0,
        effects=("ReadFacts", "Watch"),
        detail={"number": number, "text": text},
    )


def run_record(run_id: str, vm_count: int = 1, **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": run_id,
        "created_at": 1_790_000_000_000,
        "policy_name": "nightly",
        "requested_by": "someone",
        "vm_count": vm_count,
        "settings": {"guest": {"enabled": True}},
    }
    return RunRecord(**{**values, **changes})
