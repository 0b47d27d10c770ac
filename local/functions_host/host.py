"""The host: puts worker, listeners and HTTP front together, runs until told to stop, then drains."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from local.functions_host.admin import Admin, NoSuchFunctionError, NotInvocableError
from local.functions_host.functions import Function, HttpTrigger, QueueTrigger, read_functions
from local.functions_host.http_front import HttpFront, build_application
from local.functions_host.invoker import Counter, Invoker, RunningInvocations
from local.functions_host.keys import Keys, load_keys
from local.functions_host.listeners import Listeners
from local.functions_host.queues import EnqueuedWatcher, MessageEncoding, Queues
from local.functions_host.routes import RouteTable
from local.functions_host.settings import HostSettings
from local.functions_host.worker import Worker

_ANSWER_GRACE_S = 2.0  # for writing the last answers, after all functions have ended
_WORKER_GRACE_S = 5.0  # what the host gives its worker process to end


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """The command line: port (0: any free one), access keys on or off, seconds to drain at the end."""

    port: int
    enable_auth: bool
    drain_timeout_s: float


class HostFailedError(Exception):
    """Something the host must not survive; `cause` says what."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.cause = cause


class Host:
    """One running host; satisfies admin.HostControl."""

    def __init__(
        self, settings: HostSettings, options: HostOptions, running: RunningInvocations, log: logging.Logger
    ) -> None:
        self._settings = settings
        self._options = options
        self._running = running
        self._log = log
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failure: Exception | None = None
        self._draining = False
        self._by_hand: set[asyncio.Task[None]] = set()
        self._worker = Worker(settings.app_dir, self._fail)
        self._functions: list[Function] = []
        self._invoker: Invoker
        self._listeners: Listeners

    async def run(self) -> None:
        """Serve until stop(), then drain.

        Raises IndexingFailedError, UnsupportedBindingError, ScheduleError, RouteError and SettingsError when
        the app cannot be started, HostFailedError when it cannot go on.
        """
        metadata = await self._worker.start()
        self._functions = read_functions(metadata, self._settings)
        for item in metadata:
            if item.retry_options is not None:
                self._log.warning("%s: retry policies are not carried out by this host", item.name)
        async with Queues(self._settings.connection_string) as queues:
            self._build(queues)
            runner = web.AppRunner(
                self._application(),
                handle_signals=False,
                access_log=None,
                auto_decompress=False,  # a function gets the body as it was sent
                shutdown_timeout=_ANSWER_GRACE_S,
            )
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self._options.port)
            await site.start()
            self._listeners.start()
            self._announce(runner)
            await self._stop.wait()
            await self._shut_down(site)
            await runner.cleanup()
        if self._failure is not None:
            raise HostFailedError(self._failure)

    def stop(self) -> None:
        """End run() after draining; a second call cuts the draining short."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def drain(self) -> None:
        """Stop the listeners; running invocations go on, and HTTP is still served."""
        self._draining = True
        self._listeners.stop()

    def drain_state(self) -> str:
        """Disabled, InProgress or Completed."""
        if not self._draining:
            return "Disabled"
        return "InProgress" if len(self._running) else "Completed"

    def outstanding_invocations(self) -> int:
        """How many functions are running."""
        return len(self._running)

    def counters(self) -> Mapping[str, Counter]:
        """Invocations by function; those that never ran count 0."""
        return {item.name: self._invoker.counters.get(item.name, Counter()) for item in self._functions}

    def invoke_by_hand(self, name: str, text: str) -> None:
        """Start a queue or timer function; raises NoSuchFunctionError, NotInvocableError."""
        function = next((item for item in self._functions if item.name.lower() == name.lower()), None)
        if function is None:
            raise NoSuchFunctionError(name)
        if isinstance(function.trigger, HttpTrigger):
            raise NotInvocableError(f"{function.name} is called at its URL")
        task = asyncio.create_task(self._listeners.run_by_hand(function, text))
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)

    def _build(self, queues: Queues) -> None:
        watcher = EnqueuedWatcher()
        self._invoker = Invoker(
            worker=self._worker,
            queues=queues,
            watcher=watcher,
            encoding=MessageEncoding(self._settings.queues.base64),
            running=self._running,
            timeout_s=self._settings.function_timeout_s,
            log=self._log,
        )
        self._listeners = Listeners(
            functions=self._functions,
            settings=self._settings,
            queues=queues,
            watcher=watcher,
            invoker=self._invoker,
            on_fatal=self._fail,
            log=self._log,
        )

    def _application(self) -> web.Application:
        keys: Keys | None = None
        if self._options.enable_auth:
            keys = load_keys(self._settings.app_dir / ".local" / "keys.json", self._settings.environment)
        front = HttpFront(
            routes=RouteTable(self._functions),
            route_prefix=self._settings.route_prefix,
            keys=keys,
            invoker=self._invoker,
            log=self._log,
        )
        admin = Admin(self, keys)
        return build_application(front, admin.routes(), admin.guard)

    def _announce(self, runner: web.AppRunner) -> None:
        port = runner.addresses[0][1]
        address = f"http://127.0.0.1:{port}"
        print("\nFunctions:\n")
        for function in sorted(self._functions, key=lambda item: item.name):
            print(f"\t{function.name}: {_where(function, address, self._settings.route_prefix)}\n")
        print(f"Host started on {address}", flush=True)

    def _fail(self, error: Exception) -> None:
        self._log.error("the host stops: %s: %s", type(error).__name__, str(error).partition("\n")[0])
        self._failure = self._failure or error
        self._stop.set()

    async def _shut_down(self, site: web.TCPSite) -> None:
        self._listeners.stop()
        await site.stop()
        drained = asyncio.create_task(self._drained())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait(
            {drained, hurry}, timeout=self._options.drain_timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not drained.done():
            self._log.warning("%d invocations did not end in time", len(self._running))
        hurry.cancel()
        drained.cancel()
        self._listeners.abandon()
        await self._worker.stop(_WORKER_GRACE_S)

    async def _drained(self) -> None:
        await self._listeners.finished()
        await self._running.idle()


def _where(function: Function, address: str, route_prefix: str) -> str:
    match function.trigger:
        case HttpTrigger() as trigger:
            methods = f"[{','.join(trigger.methods)}] " if trigger.methods else ""
            path = "/".join(part for part in (route_prefix, trigger.route) if part)
            return f"{methods}{address}/{path}"
        case QueueTrigger():
            return "queueTrigger"
        case _:
            return "timerTrigger"
