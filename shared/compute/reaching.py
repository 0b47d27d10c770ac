"""Whether Azure Resource Manager can be reached and takes the app's identity for somebody."""

from shared.compute.client import ClientPool
from shared.compute.errors import ComputeError, classified

#: "Subscriptions - List" (Microsoft Learn): counted against the tenant, and against no subscription's limits.
PATH = "/subscriptions?api-version=2022-12-01"


class NoSubscription(ComputeError):
    """The app's identity has no role in any subscription."""

    cause = "denied"

    def __init__(self) -> None:
        super().__init__("NoSubscription", "the app's identity has no role anywhere: see infra/README.md")


async def reach(pool: ClientPool) -> None:
    """Ask which subscriptions the app's identity sees: one small GET, with a token.

    Raises `ComputeError` when there is no answer, no token, or no subscription.
    """
    from azure.core.rest import HttpRequest  # noqa: PLC0415 - see client.py

    client = pool.front_door()
    with classified():
        answer = await client.send_request(HttpRequest("GET", client.format_url(PATH)))
        answer.raise_for_status()
        seen = answer.json()
    if not isinstance(seen, dict) or not seen.get("value"):
        raise NoSubscription
