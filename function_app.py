"""The composition root: settings, adapters and blueprints become one Functions app."""

import os
import time
import uuid
from functools import partial

import azure.functions as func
from azure.core.credentials_async import AsyncTokenCredential

from shared.compute import AgentPackage, ClientPool, Compute, credential_for
from shared.compute.remaining import Remaining
from shared.delivery.addresses import read_networks
from shared.delivery.signing import Secrets
from shared.delivery.webhooks import WebhookClient
from shared.engine.ack_counts import KeptAckCounts
from shared.engine.acknowledging import Acks, count_ignored
from shared.engine.admission import Desk
from shared.engine.application import Application
from shared.engine.carrying_out import carry_out
from shared.engine.cataloguing import Catalogue
from shared.engine.deleting import Deleting
from shared.engine.delivering import Deliveries, Receivers
from shared.engine.effects.hands import Hands
from shared.engine.following import Successors
from shared.engine.group_messages import GroupMessages
from shared.engine.grouping import Grouping
from shared.engine.health import Health
from shared.engine.housekeeping.passes import Housekeeping, Stores
from shared.engine.loop import SagaLoop
from shared.engine.notifying import Notices
from shared.engine.orders import Keys
from shared.engine.point_tasks import PointTasks
from shared.engine.points import Points
from shared.engine.postponing import Postponing
from shared.engine.preflighting import Preflights
from shared.engine.previewing import Previewing
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
from shared.settings import read_settings
from shared.storage.agents import AgentTable
from shared.storage.cache import CachedSagas
from shared.storage.claims import ClaimTable
from shared.storage.connection import read_connection
from shared.storage.counters import CounterTable
from shared.storage.findings import FindingTable
from shared.storage.groups import GroupTable
from shared.storage.guest_queues import GuestQueues
from shared.storage.guest_scripts import GuestScripts
from shared.storage.housekeeping import HousekeepingTable
from shared.storage.points import PointTable
from shared.storage.policies import PolicyTable
from shared.storage.queues import Queues
from shared.storage.reservations import ReservationTable
from shared.storage.run_list import RunList
from shared.storage.runs import RunTable
from shared.storage.sagas import SagaTable
from shared.storage.sas import QueueSigner
from shared.storage.selections import SelectionTable
from shared.storage.tables import Tables
from shared.storage.turns import TurnTable
from shared.triggers import queues
from shared.triggers.families import FAMILIES
from shared.triggers.once import Once


def _now() -> int:
    """The clock of the app: ms since the epoch."""
    return time.time_ns() // 1_000_000


def _build() -> Application:
    settings = read_settings(os.environ)

    def credential() -> AsyncTokenCredential:
        return credential_for(settings.arm_endpoint, client_id=settings.client_id or None)

    storage = read_connection(queues.STORAGE, os.environ, credential)
    guest_storage = read_connection(queues.GUEST_STORAGE, os.environ, credential)
    tables, own_queues, guest_queues = Tables(storage), Queues(storage), Queues(guest_storage)
    counters = CounterTable(tables)
    ack_counts = KeptAckCounts(counters, _now)
    remaining = Remaining(_now)
    pool = ClientPool(credential, endpoint=settings.arm_endpoint, remaining=remaining)
    compute = Compute(pool, _now)
    stored_sagas, reservations = SagaTable(tables), ReservationTable(tables)
    sagas, runs = CachedSagas(stored_sagas), RunTable(tables)
    claims, selections = ClaimTable(tables), SelectionTable(tables)
    passes = HousekeepingTable(tables)
    agents, groups = AgentTable(tables), GroupTable(tables)
    timelines = Timelines(runs, sagas, _now, groups)
    keys = Keys(settings.master_key, settings.key_version)
    scripts = GuestScripts(guest_storage, _now)
    points, policies = PointTable(tables), PolicyTable(tables)
    grouping = Grouping(groups, own_queues, _now)
    catalogue = Catalogue(points, grouping)
    secrets, networks = Secrets(os.environ), read_networks(os.environ)
    run_settings = KeptRunSettings(runs)
    told = Notices(
        runs=runs,
        selections=selections,
        settings=run_settings,
        groups=groups,
        queues=own_queues,
        clock=_now,
        source=settings.event_source,
    )
    turns = TurnTable(tables)
    following = Successors(runs, turns, own_queues, _now, notices=told)
    hands = Hands(
        compute=compute,
        queues=own_queues,
        guests=GuestQueues(guest_queues, QueueSigner(guest_storage, _now), _now),
        scripts=scripts,
        runs=runs,
        keys=keys,
        clock=_now,
        agents=agents,
        package=AgentPackage(settings.agent_url, settings.agent_sha256) if settings.agent_url else None,
        catalogue=catalogue,
        timelines=timelines,
        following=following,
        admission=Desk(
            reservations,
            compute,
            _now,
            seen=remaining.take,
            members=grouping,
            queues=own_queues,
        ),
        grouping=grouping,
    )
    loop = SagaLoop(sagas, partial(carry_out, hands), _now, on_ignored=count_ignored(ack_counts))
    steps = Steps(loop, run_settings, own_queues, grouping)
    selecting = Selecting(
        runs=runs,
        selections=selections,
        queues=own_queues,
        compute=compute,
        clock=_now,
        turns=turns,
        grouping=grouping,
    )
    run_list = RunList(tables)
    sweeping = Sweeping(
        runs=runs,
        sagas=sagas,
        queues=own_queues,
        steps=steps,
        selecting=selecting,
        clock=_now,
        catalogue=catalogue,
        turns=turns,
        following=following,
        run_list=run_list,
        notices=told,
        grouping=grouping,
    )
    run_service = RunService(
        runs=runs,
        claims=claims,
        queues=own_queues,
        steps=steps,
        scripts=scripts,
        selecting=selecting,
        sweeping=sweeping,
        clock=_now,
        new_run_id=lambda: uuid.uuid4().hex[:16],
        turns=turns,
        run_list=run_list,
        grouping=grouping,
        drain=settings.drain,
    )
    deleting = Deleting(points, compute, own_queues, _now)
    retaining = Retaining(points=points, policies=policies, deleting=deleting, queues=own_queues, clock=_now)
    findings = FindingTable(tables)
    reconciling = Reconciling(
        points=points,
        findings=findings,
        sagas=sagas,
        catalogue=catalogue,
        deleting=deleting,
        compute=compute,
        queues=own_queues,
        clock=_now,
    )
    reading = Reading(runs, selections, sagas, groups)
    return Application(
        steps=steps,
        acks=Acks(loop, sagas, keys, agents=agents, clock=_now, counts=ack_counts),
        runs=run_service,
        sweeping=sweeping,
        policies=PolicyService(
            policies,
            run_service,
            selecting,
            Previewing(compute, _now),
            _now,
            check_receivers=Receivers(secrets, networks).check,
            notices=told,
        ),
        reading=reading,
        run_listing=RunListing(run_list, runs),
        retrying=Retrying(runs, run_service),
        preflights=Preflights(compute, agents, keys, _now),
        timelines=timelines,
        rehearsals=Rehearsals(runs, sagas, reading),
        health=Health(
            runs=runs,
            sagas=sagas,
            counters=counters,
            queues=own_queues,
            guest_queues=guest_queues,
            compute=compute,
            clock=_now,
            findings=findings,
            passes=passes,
            drain=settings.drain,
        ),
        points=Points(points, deleting, _now),
        retaining=retaining,
        reconciling=reconciling,
        rebuilding=Rebuilding(points=points, sagas=sagas, catalogue=catalogue, compute=compute, clock=_now),
        point_tasks=PointTasks(retaining, deleting, reconciling),
        group_messages=GroupMessages(loop, grouping),
        deliveries=Deliveries(poster=WebhookClient(networks), secrets=secrets, queues=own_queues, clock=_now),
        housekeeping=Housekeeping(
            Stores(
                runs=runs,
                claims=claims,
                sagas=stored_sagas,
                points=points,
                listed=run_list,
                agents=agents,
                reservations=reservations,
                counters=counters,
                scripts=scripts,
                queues=own_queues,
                guest_queues=guest_queues,
                compute=compute,
            ).rooms(),
            passes,
            _now,
            keep_days=settings.keep_runs_days,
        ),
        postponing=Postponing(own_queues, guest_queues),
    )


app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
application = Once(_build)
for triggers in FAMILIES:
    app.register_functions(triggers.blueprint(application))
