"""Whether Azure Resource Manager can be reached and takes the app's identity for somebody."""

from shared.compute.client import ClientPool
from shared.compute.errors import classified

#: "Subscriptions - List" (Microsoft Learn): counted against the tenant, and against no subscription's limits.
PATH = "/subscriptions?api-version=2022-12-01"


async def reach(pool: ClientPool) -> None:
    """Ask which subscriptions the app's identity sees: one small GET, with a token.

    What it sees is not judged: roles on single groups need not show a subscription.
    Raises `ComputeError` when there is no answer or no token.
    """
    from azure.core.rest import HttpRequest  # noqa: PLC0415 - see client.py

    client = pool.front_door()
    with classified():
        answer = await client.send_request(HttpRequest("GET", client.format_url(PATH)))
        answer.raise_for_status()
