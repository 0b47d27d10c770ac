"""The one list above all subscriptions: those that the caller has a role in."""

from aiohttp import web

from local.arm.http import world_of

PATH = "/subscriptions"

#: "Subscriptions - List" (Microsoft Learn) of the Resource Manager itself, not of its compute provider.
API_VERSION = "2022-12-01"


def routes() -> list[web.RouteDef]:
    """Return the route."""
    return [web.get(PATH, _list)]


async def _list(request: web.Request) -> web.Response:
    subscription = world_of(request).subscription_id
    item = {
        "id": f"{PATH}/{subscription}",
        "subscriptionId": subscription,
        "displayName": "Simulated",
        "state": "Enabled",
    }
    return web.json_response({"value": [item], "count": {"type": "Total", "value": 1}})
