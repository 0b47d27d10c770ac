"""The worker: `azure_functions_runtime` on an event loop and a thread of its own.

In Azure the worker is a process beside the host, so a function that blocks its event loop cannot stop the
host's polling and renewing; the thread keeps that true here. It cannot be killed, though: `replace` leaves a
stuck thread behind, cancels what it can, imports the app anew and goes on with a fresh thread and loop.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import azure_functions_runtime as runtime

from local.functions_host import protos


class IndexingFailedError(Exception):
    """The app could not be imported, or a function's signature does not fit its bindings."""

    def __init__(self, message: str, stack_trace: str) -> None:
        super().__init__(message)
        self.stack_trace = stack_trace


class InvocationTimedOutError(Exception):
    """The function ran longer than functionTimeout; its worker has been replaced."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"timed out after {timeout_s:g} s (functionTimeout)")
        self.timeout_s = timeout_s


class WorkerLostError(Exception):
    """The invocation ended without an answer: its worker was replaced or stopped, or has ended itself."""

    def __init__(self) -> None:
        super().__init__("the worker ended or was replaced while the function was running")


class _Response(Protocol):
    result: protos.StatusResult


class Worker:
    """Indexes the app and runs its functions."""

    def __init__(self, app_dir: Path, on_fatal: Callable[[Exception], None]) -> None:
        self._app_dir = app_dir
        self._on_fatal = on_fatal
        self._host_modules = frozenset(sys.modules)
        self._current: _RuntimeThread | None = None
        self._replacing = asyncio.Lock()

    async def start(self) -> list[protos.RpcFunctionMetadata]:
        """Import and index the app. Raises IndexingFailedError."""
        sys.path.insert(0, str(self._app_dir))
        os.chdir(self._app_dir)
        return await self._start_thread()

    async def invoke(
        self, request: protos.InvocationRequest, timeout_s: float | None
    ) -> protos.InvocationResponse:
        """Run one function. Raises InvocationTimedOutError, WorkerLostError.

        What the function itself raises is in the response's result.
        """
        async with self._replacing:
            thread = self._current
        if thread is None:
            raise WorkerLostError
        running = thread.submit(_invoke(request))
        either: set[asyncio.Future[Any]] = {running, thread.lost}
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if running.done() and not running.cancelled() and (response := running.result()) is not None:
            return response
        timed_out = not running.done() and not thread.lost.done()
        running.cancel()
        await self._replace(thread)
        if timed_out and timeout_s is not None:
            raise InvocationTimedOutError(timeout_s)
        raise WorkerLostError

    async def stop(self, grace_s: float) -> bool:
        """Stop the thread; False when a function that never returned still holds it after `grace_s`."""
        thread, self._current = self._current, None
        if thread is None:
            return True
        thread.abandon()
        return await asyncio.to_thread(thread.join, grace_s)

    async def _replace(self, thread: "_RuntimeThread") -> None:
        async with self._replacing:
            if self._current is not thread:
                return  # another invocation that timed out has done it
            thread.abandon()
            self._current = None
            self._forget_app()
            try:
                await self._start_thread()
            except IndexingFailedError as error:
                self._on_fatal(error)

    async def _start_thread(self) -> list[protos.RpcFunctionMetadata]:
        thread = _RuntimeThread()
        # A fresh pool as well: the old one may be full of functions that never return.
        runtime.start_threadpool_executor()
        init = SimpleNamespace(capabilities={}, function_app_directory=str(self._app_dir))
        _check(await thread.submit(runtime.worker_init_request(_streaming(worker_init_request=init))))
        found = await thread.submit(runtime.functions_metadata_request(_streaming()))
        _check(found)
        functions: list[protos.RpcFunctionMetadata] = list(found.function_metadata_results or ())
        for function in functions:
            load = SimpleNamespace(function_id=function.function_id)
            _check(await thread.submit(runtime.function_load_request(_streaming(function_load_request=load))))
        self._current = thread
        return functions

    def _forget_app(self) -> None:
        """Drop the app's modules, so that it is imported anew, as in a new process."""
        for name in _modules_below(self._app_dir, set(sys.modules) - self._host_modules):
            del sys.modules[name]


class _RuntimeThread:
    """One thread with one event loop; `lost` is done as soon as nothing more is to be expected of it."""

    def __init__(self) -> None:
        self._home = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._home.create_future()
        self._loop = asyncio.new_event_loop()
        # A daemon: a stuck function must not keep the process.
        self._thread = threading.Thread(target=self._run, name="functions-worker", daemon=True)
        self._thread.start()

    def submit[Result](self, work: Coroutine[Any, Any, Result]) -> asyncio.Future[Result]:
        """Run a coroutine on this thread's loop; the future belongs to the caller's loop."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def abandon(self) -> None:
        """Give this thread up: cancel what it runs and stop its loop, as soon as it comes to that."""
        self._lose()
        with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended itself
            self._loop.call_soon_threadsafe(self._cancel_all)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False when it did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(SystemExit):  # of a task that a function left behind
            self._loop.run_forever()
        with contextlib.suppress(RuntimeError):  # the host's own loop may be closed already
            self._home.call_soon_threadsafe(self._lose)
        pending = asyncio.all_tasks(self._loop)
        for task in pending:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.stop()


async def _invoke(request: protos.InvocationRequest) -> protos.InvocationResponse | None:
    """The runtime's answer; None when the function ended its worker with sys.exit()."""
    # The runtime sets this for its pool's threads only; in a task of our own it serves async functions too.
    runtime.invocation_id_cv.set(request.invocation_id)
    try:
        response: protos.InvocationResponse = await runtime.invocation_request(
            _streaming(invocation_request=request)
        )
    except SystemExit:
        return None
    return response


def _streaming(**message: object) -> SimpleNamespace:
    """The envelope of the runtime's coroutines: a StreamingMessage and the worker's properties."""
    return SimpleNamespace(
        request=SimpleNamespace(**message), properties={"protos": protos, "host": "127.0.0.1"}
    )


def _check(response: _Response) -> None:
    if response.result.status != protos.StatusResult.Success:
        failure = response.result.exception or protos.RpcException(message="no reason given")
        raise IndexingFailedError(failure.message, failure.stack_trace)


def _modules_below(folder: Path, names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        file = getattr(sys.modules[name], "__file__", None)
        # An environment may lie inside of the app's folder; what is installed there is not the app.
        if file and Path(file).is_relative_to(folder) and "site-packages" not in Path(file).parts:
            found.append(name)
    return found
