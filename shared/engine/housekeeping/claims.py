"""The room of idempotency keys: a key goes when its run has gone."""

from shared.engine.housekeeping.rooms import Done
from shared.storage.claims import Claim, ClaimTable
from shared.storage.errors import RunNotFound
from shared.storage.runs import RunTable

CLAIMS = 500


class OldClaims:
    """Claims of idempotency keys that were made before the cutoff."""

    name = "idempotency_keys"

    def __init__(self, claims: ClaimTable, runs: RunTable) -> None:
        self._claims = claims
        self._runs = runs

    async def clean(self, after: str, now: int, cutoff: int) -> Done:
        """Remove the old claims of a page whose runs are not there.

        The time of one that does not say when it was made runs from the first look on.
        """
        page = await self._claims.page(after=after, size=CLAIMS)
        removed = 0
        for claim in page:
            if claim.at is None:
                await self._claims.date(claim, now)
            elif claim.at < cutoff and not await self._is_needed(claim):
                removed += await self._claims.forget(claim)
        return Done(page[-1].place if len(page) == CLAIMS else "", {"idempotency_keys": removed})

    async def _is_needed(self, claim: Claim) -> bool:
        try:
            await self._runs.get(claim.run_id)
        except RunNotFound:
            return await self._runs.is_active(claim.run_id)
        return True
