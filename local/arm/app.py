"""The simulator as an aiohttp application: everything is put together here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from local.arm import (
    admin,
    made_disks,
    made_vms,
    middleware,
    networks,
    operation_routes,
    restore_points,
    run_commands,
    snapshots,
    subscriptions,
    vms,
)
from local.arm.http import WORLD
from local.arm.state import SimWorld

_MAX_BODY_BYTES = 4 << 20


def build_app(world: SimWorld) -> web.Application:
    """Return the application over a world; closing it stops the world's operations and scripts."""
    app = web.Application(
        middlewares=[
            middleware.journal,
            middleware.faults,
            middleware.errors,
            admin.problems,
            middleware.front_door,
        ],
        client_max_size=_MAX_BODY_BYTES,
    )
    app[WORLD] = world
    resources = (vms, made_disks, made_vms, networks, snapshots, restore_points, run_commands)
    for family in (subscriptions, *resources, operation_routes, admin):
        app.add_routes(family.routes())
    app.on_cleanup.append(_close_world)
    return app


@asynccontextmanager
async def running(world: SimWorld, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a world on a loopback port (0: a free one) and yield the base URL; stop at the end."""
    runner = web.AppRunner(build_app(world), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


async def _close_world(app: web.Application) -> None:
    await app[WORLD].close()
