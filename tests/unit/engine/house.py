"""The whole app over storage in memory, Azure and guests of a test's own, and a clock that the test moves.

Messages are delivered by the rules of host.json: one that fails comes again after 10 s, after the fifth time
it is poison. An instance that dies takes its memory with it; its message stays hidden for ``lost_for_ms``.
The sweep comes every minute while there is a run to sweep.
"""

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import azure.functions as func
from azure.functions.queue import QueueMessage

from shared.compute.agent_package import AgentPackage
from shared.delivery.addresses import read_networks
from shared.delivery.signing import Secrets
from shared.delivery.webhooks import WebhookClient
from shared.engine.ack_counts import AckCounts
from shared.engine.acknowledging import Acks, count_ignored
from shared.engine.admission import Desk
from shared.engine.application import Application
from shared.engine.carrying_out import carry_out
from shared.engine.cataloguing import Catalogue
from shared.engine.deleting import Deleting
from shared.engine.delivering import Deliveries, Poster, Receivers
from shared.engine.effects.hands import Hands
from shared.engine.following import Successors
from shared.engine.group_messages import GroupMessages
from shared.engine.grouping import Grouping
from shared.engine.health import Health
from shared.engine.housekeeping.passes import Housekeeping, Stores
from shared.engine.loop import CarryOut, SagaLoop
from shared.engine.notifying import Notices
from shared.engine.orders import Keys
from shared.engine.point_tasks import PointTasks
from shared.engine.points import Points
from shared.engine.postponing import Postponing
from shared.engine.preflighting import Preflights
from shared.engine.previewing import Previewing
from shared.engine.queue_names import ACKS, GROUPS, NOTICES, POINTS, RUNS, STEPS
from shared.engine.reading import Reading
from shared.engine.rebuilding import Rebuilding
from shared.engine.reconciling import Reconciling
from shared.engine.rehearsals import Rehearsals
from shared.engine.retaining import Retaining
from shared.engine.retrying import Retrying
from shared.engine.run_listing import RunListing
from shared.engine.run_settings import KeptRunSettings
from shared.engine.running import RunService
from shared.engine.scheduling import PolicyService
from shared.engine.selecting import Selecting
from shared.engine.stepping import Steps
from shared.engine.sweeping import Sweeping
from shared.engine.timelines import Timelines
from shared.policy.documents import read_run
from shared.storage.agents import AgentTable
from shared.storage.cache import CachedSagas
from shared.storage.claims import ClaimTable
from shared.storage.connection import Connection
from shared.storage.counters import CounterTable
from shared.storage.findings import FindingTable
from shared.storage.groups import GroupTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.housekeeping import HousekeepingTable
from shared.storage.memory import MemoryMessage, MemoryQueues, MemoryScripts
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import RunList
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.sas import QueueSigner
from shared.storage.selections import SelectionTable
from shared.storage.turns import TurnTable
from shared.triggers.families import FAMILIES
from shared.triggers.once import Once
from tests.unit.engine.fake_compute import FakeCompute, vm_id
from tests.unit.engine.fake_guest import FakeGuest
from tests.unit.engine.interruptions import AppDied, InterruptedQueues, InterruptedTables, Interruptions

T0 = 1_800_000_000_000
MASTER = bytes(range(32))
STORAGE_KEY = base64.b64encode(b"the storage account's key").decode()
SCRIPTS = {
    "pre_script": {"path": "/opt/pre.sh", "arguments": ["--quiet"]},
    "post_script": {"path": "/opt/post.sh"},
}
VM = vm_id("db-1")

MAX_DEQUEUE_COUNT = 5
RETRY_AFTER_MS = 10_000
SWEEP_EVERY_MS = 60_000
DAY_MS = 24 * 3_600_000
KEEP_DAYS = 400


async def _at_once(_seconds: float) -> None:
    """Lets others go on, and time stand still."""
    await asyncio.sleep(0)


class TestClock:
    """Time stands still until the test moves it."""

    __test__ = False

    def __init__(self, now: int = T0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class House:
    """Everything there is. ``app`` is one instance of the app; ``another_instance`` gives more."""

    def __init__(
        self,
        interruptions: Interruptions | None = None,
        *,
        lost_for_ms: int = 0,
        package: AgentPackage | None = None,
        poster: Poster | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.environment = environment or {}
        self.drain = False
        self.poster = poster or WebhookClient(read_networks(self.environment))
        self.package = package
        self.clock = TestClock()
        self.interruptions = interruptions or Interruptions()
        self.lost_for_ms = lost_for_ms
        self.tables = InterruptedTables(self.interruptions)
        self.queues = InterruptedQueues(self.clock, self.interruptions)
        self.scripts = MemoryScripts(self.clock)
        self.guests: dict[str, FakeGuest] = {}
        self.compute = FakeCompute(self.clock, self.interruptions, self._start_guest, self._guest_is_held)
        self.sagas, self.runs, self.policies = (
            SagaTable(self.tables),
            RunTable(self.tables),
            PolicyTable(self.tables),
        )
        self.claims, self.selections = ClaimTable(self.tables), SelectionTable(self.tables)
        self.agents = AgentTable(self.tables)
        self.points = PointTable(self.tables)
        self.counters = CounterTable(self.tables)
        self.delivered: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self._numbers = itertools.count(1)
        self._next_sweep = T0 + SWEEP_EVERY_MS
        self.app = self.another_instance()
        self.functions = functions_of(lambda: self.app)

    def another_instance(
        self, carrying_out: Callable[[Hands], CarryOut] = lambda hands: partial(carry_out, hands)
    ) -> Application:
        """Put the app together as ``function_app.py`` does; nothing is remembered of an earlier instance."""
        sagas, keys = CachedSagas(self.sagas), Keys(MASTER)
        points = PointTable(self.tables)
        groups = GroupTable(self.tables, pause=_at_once)
        grouping = Grouping(groups, self.queues, self.clock)
        catalogue = Catalogue(points, grouping)
        endpoint = "https://memory.invalid"
        signer = QueueSigner(
            Connection(
                name="memory",
                queue_endpoint=endpoint,
                table_endpoint=endpoint,
                account_name="memory",
                account_key=STORAGE_KEY,
            ),
            self.clock,
        )
        secrets = Secrets(self.environment)
        run_settings = KeptRunSettings(self.runs)
        told = Notices(
            runs=self.runs,
            selections=self.selections,
            settings=run_settings,
            groups=groups,
            queues=self.queues,
            clock=self.clock,
            source="/api",
        )
        turns = TurnTable(self.tables, pause=_at_once)
        following = Successors(self.runs, turns, self.queues, self.clock, notices=told)
        hands = Hands(
            compute=self.compute,
            queues=self.queues,
            guests=GuestQueues(self.queues, signer, self.clock),
            scripts=self.scripts,
            runs=self.runs,
            keys=keys,
            clock=self.clock,
            agents=self.agents,
            package=self.package,
            catalogue=catalogue,
            timelines=Timelines(self.runs, sagas, self.clock, groups),
            following=following,
            admission=Desk(
                ReservationTable(self.tables, pause=_at_once),
                self.compute,
                self.clock,
                members=grouping,
                queues=self.queues,
            ),
            grouping=grouping,
        )
        counts = AckCounts()
        loop = SagaLoop(sagas, carrying_out(hands), self.clock, on_ignored=count_ignored(counts))
        steps = Steps(loop, run_settings, self.queues, grouping)
        selecting = Selecting(
            runs=self.runs,
            selections=self.selections,
            queues=self.queues,
            compute=self.compute,
            clock=self.clock,
            turns=turns,
            grouping=grouping,
        )
        sweeping = Sweeping(
            runs=self.runs,
            sagas=sagas,
            queues=self.queues,
            steps=steps,
            selecting=selecting,
            clock=self.clock,
            catalogue=catalogue,
            turns=turns,
            following=following,
            run_list=RunList(self.tables),
            notices=told,
            grouping=grouping,
        )
        runs = RunService(
            runs=self.runs,
            claims=self.claims,
            queues=self.queues,
            steps=steps,
            scripts=self.scripts,
            selecting=selecting,
            sweeping=sweeping,
            clock=self.clock,
            new_run_id=lambda: f"run-{next(self._numbers):04}",
            turns=turns,
            run_list=RunList(self.tables),
            grouping=grouping,
            drain=self.drain,
        )
        deleting = Deleting(points, self.compute, self.queues, self.clock)
        retaining = Retaining(
            points=points, policies=self.policies, deleting=deleting, queues=self.queues, clock=self.clock
        )
        findings = FindingTable(self.tables)
        reconciling = Reconciling(
            points=points,
            findings=findings,
            sagas=sagas,
            catalogue=catalogue,
            deleting=deleting,
            compute=self.compute,
            queues=self.queues,
            clock=self.clock,
        )
        reading = Reading(self.runs, self.selections, sagas, groups)
        return Application(
            steps=steps,
            acks=Acks(loop, sagas, keys, agents=self.agents, clock=self.clock, counts=counts),
            runs=runs,
            sweeping=sweeping,
            policies=PolicyService(
                self.policies,
                runs,
                selecting,
                Previewing(self.compute, self.clock),
                self.clock,
                check_receivers=Receivers(secrets, read_networks(self.environment)).check,
                notices=told,
            ),
            preflights=Preflights(self.compute, self.agents, keys, self.clock),
            reading=reading,
            run_listing=RunListing(RunList(self.tables), self.runs),
            retrying=Retrying(self.runs, runs),
            timelines=Timelines(self.runs, sagas, self.clock, groups),
            rehearsals=Rehearsals(self.runs, sagas, reading),
            health=Health(
                runs=self.runs,
                sagas=sagas,
                counters=self.counters,
                queues=self.queues,
                guest_queues=self.queues,
                compute=self.compute,
                clock=self.clock,
                findings=findings,
                passes=HousekeepingTable(self.tables),
                drain=self.drain,
            ),
            points=Points(points, deleting, self.clock),
            retaining=retaining,
            reconciling=reconciling,
            rebuilding=Rebuilding(
                points=points, sagas=sagas, catalogue=catalogue, compute=self.compute, clock=self.clock
            ),
            point_tasks=PointTasks(retaining, deleting, reconciling),
            group_messages=GroupMessages(loop, grouping),
            deliveries=Deliveries(poster=self.poster, secrets=secrets, queues=self.queues, clock=self.clock),
            housekeeping=Housekeeping(
                self.stores().rooms(), HousekeepingTable(self.tables), self.clock, keep_days=KEEP_DAYS
            ),
            postponing=Postponing(self.queues, self.queues),
        )

    def stores(self) -> Stores:
        """Give what housekeeping looks into."""
        return Stores(
            runs=self.runs,
            claims=self.claims,
            sagas=self.sagas,
            points=PointTable(self.tables),
            listed=RunList(self.tables),
            agents=self.agents,
            reservations=ReservationTable(self.tables, pause=_at_once),
            counters=self.counters,
            scripts=self.scripts,
            queues=self.queues,
            guest_queues=self.queues,
            compute=self.compute,
        )

    def _start_guest(self, vm: str, bootstrap: Mapping[str, Any]) -> None:
        self.guest(vm).started(bootstrap)

    def _guest_is_held(self, disk: str) -> bool:
        return self.guest(vm_id(disk.partition("-os")[0].partition("-data")[0])).held

    def guest(self, vm: str = VM) -> FakeGuest:
        """Give the guest of a VM."""
        return self.guests.setdefault(vm.lower(), FakeGuest(vm, self.queues, self.clock))

    async def ask(self, *vms: str, key: str = "", **guest_processing: Any) -> str:
        """Ask for a run of these VMs, by default with scripts; give its id."""
        document = {"vms": list(vms or (VM,)), "guest_processing": SCRIPTS | guest_processing}
        return await self.app.policies.start(read_run(document), "http", key)

    async def settle(self, until: int | None = None) -> None:
        """Let everything happen that is to happen, up to a time (ms since the epoch; by default a day)."""
        until = self.clock() + DAY_MS if until is None else until
        for _ in range(20_000):
            if await self.work() or await self._sweep():
                continue
            following = self._next_time()
            if following is None or following > until:
                return
            self.clock.now = following
        raise AssertionError("it never comes to rest")

    async def _sweep(self) -> bool:
        if self.clock() < self._next_sweep:
            return False
        self._next_sweep = self.clock() + SWEEP_EVERY_MS
        try:
            await self.functions["sweep"](None)
        except AppDied as died:  # a timer is not repeated: its next tick comes
            self._restart(died)
        return True

    def _restart(self, why: Exception) -> None:
        self.failures.append(why)
        self.interruptions.revive()
        self.app = self.another_instance()

    def _runs_to_sweep(self) -> bool:
        return any(partition == "active" for partition, _ in self.tables._tables["runs"])

    async def work(self) -> bool:
        """Deliver every message that is visible now, and let the guests answer; say if there was anything."""
        worked = False
        for queue in self._heard:
            for message in self.queues.receive(queue):
                worked = True
                await self._deliver(queue, message)
        for guest in self.guests.values():
            worked = await guest.work() or worked
        return worked

    async def _deliver(self, queue: str, message: MemoryMessage) -> None:
        self.delivered.append((queue, message.text))
        told = QueueMessage(
            id=message.message_id,
            body=message.text.encode(),
            dequeue_count=message.dequeue_count,
            insertion_time=self.queues.taken_at(message.message_id),
            pop_receipt=message.pop_receipt,
        )
        try:
            await self.functions[queue](told)
        except AppDied as died:
            self._restart(died)
            self._hide(queue, message, self.lost_for_ms)
        except Exception as error:  # noqa: BLE001 - as the host does
            if self.interruptions.dead:
                self._restart(error)
                self._hide(queue, message, self.lost_for_ms)
                return
            self.failures.append(error)
            if message.dequeue_count < MAX_DEQUEUE_COUNT:
                self._hide(queue, message, RETRY_AFTER_MS)
            elif not queue.endswith("-poison"):
                await MemoryQueues.put(
                    self.queues, f"{queue}-poison", message.text, delay_s=0, expires_in_s=-1
                )
                await self._delete(queue, message)
        else:
            await self._delete(queue, message)

    async def _delete(self, queue: str, message: MemoryMessage) -> None:
        await MemoryQueues.cancel(self.queues, queue, f"{message.message_id}|{message.pop_receipt}")

    def _hide(self, queue: str, message: MemoryMessage, for_ms: int) -> None:
        self.queues._queues[queue][message.message_id] = replace(message, visible_at=self.clock() + for_ms)

    @property
    def _heard(self) -> tuple[str, ...]:
        own = (ACKS, GROUPS, STEPS, RUNS, POINTS, NOTICES)
        return (*own, *(f"{queue}-poison" for queue in own))

    def messages(self, queue: str) -> list[MemoryMessage]:
        """Give what lies in a queue, hidden or not."""
        return list(self.queues._queues[queue].values())

    def _next_time(self) -> int | None:
        times = [message.visible_at for queue in self._heard for message in self.messages(queue)]
        times += [guest.wakes_at for guest in self.guests.values() if guest.wakes_at is not None]
        if self._runs_to_sweep():
            times.append(self._next_sweep)
        return max(self.clock(), min(times)) if times else None

    async def view(self, run: str, vm: str = "db-1") -> dict[str, Any]:
        """Show a VM of a run as the API does."""
        return await self.app.reading.vm(run, vm)


def functions_of(application: Callable[[], Application]) -> dict[str, Callable[..., Awaitable[Any]]]:
    """Give the app's functions: those of queues by their queue, the others by their name."""
    app = func.FunctionApp()
    for triggers in FAMILIES:
        app.register_functions(triggers.blueprint(_Always(application)))
    functions = {}
    for function in app.get_functions():
        name = getattr(function.get_trigger(), "queue_name", None) or function.get_function_name()
        functions[str(name)] = function.get_user_function()
    return functions


class _Always(Once):
    """Asks for the application every time: an instance may have died since."""

    def __init__(self, application: Callable[[], Application]) -> None:
        super().__init__(application)
        self._application_now = application

    def __call__(self) -> Application:
        return self._application_now()
