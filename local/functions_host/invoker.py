"""One invocation from trigger value to written outputs: identity, log lines, time-out, counters."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from azure.core.exceptions import AzureError

from local.functions_host.functions import Function
from local.functions_host.outputs import OutputConversionError, message_bodies
from local.functions_host.protos import (
    InvocationRequest,
    InvocationResponse,
    ParameterBinding,
    RpcTraceContext,
    StatusResult,
    TypedData,
)
from local.functions_host.queues import EnqueuedWatcher, MessageEncoding, Queues
from local.functions_host.settings import ConnectionUnusableError
from local.functions_host.worker import InvocationTimedOutError, WorkerLostError

RETURN = "$return"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an invocation ended; `values` are the outputs by argument, the return value under "$return"."""

    succeeded: bool
    values: Mapping[str, TypedData]


@dataclass(kw_only=True)
class Counter:
    """Ended and running invocations of one function since the host started."""

    count: int = 0
    failures: int = 0


class RunningInvocations:
    """The names of the functions that are running now, by invocation id."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, invocation_id: str, function: str) -> None:
        """An invocation starts."""
        self._names[invocation_id] = function
        self._idle.clear()

    def remove(self, invocation_id: str) -> None:
        """An invocation has ended, its outputs included."""
        del self._names[invocation_id]
        if not self._names:
            self._idle.set()

    def name_of(self, invocation_id: str) -> str | None:
        """The function of a running invocation."""
        return self._names.get(invocation_id)

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()


class FunctionRunner(Protocol):
    """What runs the functions' code: the Worker."""

    async def invoke(self, request: InvocationRequest, timeout_s: float | None, /) -> InvocationResponse:
        """Run one function; raises InvocationTimedOutError, WorkerLostError."""


class Invoker:
    """Runs functions on the worker and writes their queue outputs."""

    def __init__(
        self,
        *,
        worker: FunctionRunner,
        queues: Queues,
        watcher: EnqueuedWatcher,
        encoding: MessageEncoding,
        running: RunningInvocations,
        timeout_s: float | None,
        log: logging.Logger,
    ) -> None:
        self._worker = worker
        self._queues = queues
        self._watcher = watcher
        self._encoding = encoding
        self._running = running
        self._timeout_s = timeout_s
        self._log = log
        self.counters: dict[str, Counter] = {}

    async def invoke(
        self,
        function: Function,
        value: TypedData,
        *,
        metadata: Mapping[str, TypedData] | None = None,
        trace_parent: str | None = None,
    ) -> Outcome:
        """Run a function with its trigger's value, then write its outputs; an error fails the invocation.

        Nothing is raised for what the function does: the outcome says it, the log says why.
        """
        request = InvocationRequest(
            invocation_id=str(uuid.uuid4()),
            function_id=function.function_id,
            input_data=[ParameterBinding(name=function.trigger.argument, data=value)],
            trigger_metadata=metadata or {},
            trace_context=RpcTraceContext(trace_parent=trace_parent or _new_trace_parent()),
        )
        where = {"function": function.name, "invocation": request.invocation_id}
        counter = self.counters.setdefault(function.name, Counter())
        counter.count += 1
        self._running.add(request.invocation_id, function.name)
        started = time.monotonic()
        self._log.debug("Executing", extra=where)
        try:
            outcome = await self._run(function, request)
        except _FAILURES as error:
            counter.failures += 1
            self._log.error("Executed (Failed, %s): %s", _duration(started), error, extra=where)
            return Outcome(succeeded=False, values={})
        finally:
            self._running.remove(request.invocation_id)
        self._log.debug("Executed (Succeeded, %s)", _duration(started), extra=where)
        return outcome

    async def _run(self, function: Function, request: InvocationRequest) -> Outcome:
        response = await self._worker.invoke(request, self._timeout_s)
        if response.result.status != StatusResult.Success:
            raise FunctionFailedError(response)
        values = {item.name: item.data for item in response.output_data if item.data is not None}
        if response.return_value is not None:
            values[RETURN] = response.return_value
        messages = [
            (output, body)
            for output in function.queue_outputs
            for body in message_bodies(output.argument, values.get(output.argument))
        ]
        # At once and not atomic with each other, as the host writes outputs.
        results = await asyncio.gather(
            *(self._send(output.connection, output.queue, body) for output, body in messages),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return Outcome(succeeded=True, values=values)

    async def _send(self, connection: str, queue_name: str, body: bytes) -> None:
        await self._queues.get(connection, queue_name).add(self._encoding.encode(body))
        self._watcher.notify(queue_name)


class FunctionFailedError(Exception):
    """The function raised; the text carries its message and stack trace."""

    def __init__(self, response: InvocationResponse) -> None:
        exception = response.result.exception
        super().__init__(f"{exception.message}\n{exception.stack_trace}" if exception else "no reason given")


# Everything that makes an invocation fail, rather than the host.
_FAILURES = (
    FunctionFailedError,
    InvocationTimedOutError,
    WorkerLostError,
    OutputConversionError,
    ConnectionUnusableError,
    UnicodeDecodeError,
    AzureError,
)


def _duration(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"


def _new_trace_parent() -> str:
    """A W3C traceparent of a new, sampled trace."""
    return f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
