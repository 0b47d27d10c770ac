"""The use case of trying an ended run again: a new run over those of its VMs that failed."""

from shared.engine.run_requests import RunRequest
from shared.engine.run_settings import read_settings
from shared.engine.running import RunService
from shared.policy.documents import RunDocument
from shared.saga.state import Outcome
from shared.storage.runs import RunTable

#: Who asked for a run that tries another one again.
RETRY = "retry"


class RunNotEnded(Exception):
    """VMs of the run go on: how they end is not known yet."""

    def __init__(self, run_id: str, going_on: int) -> None:
        super().__init__(f"{going_on} VMs of run {run_id} go on: wait for their end, or cancel it")
        self.run_id = run_id
        self.going_on = going_on


class NothingFailed(Exception):
    """No VM of the run failed: there is nothing to try again."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"no VM of run {run_id} failed")
        self.run_id = run_id


class Retrying:
    """Tries ended runs again."""

    def __init__(self, runs: RunTable, service: RunService) -> None:
        self._runs = runs
        self._service = service

    async def retry(self, run_id: str, idempotency_key: str) -> str:
        """Start a run with the same settings over the VMs of this one that failed; give its id.

        Raises:
            RunNotFound: there is no such run.
            RunNotEnded: it goes on.
            NothingFailed: no VM failed.
            IdempotencyMismatch: the key was used for another request.
        """
        record = await self._runs.get(run_id)
        latest = [entry async for entry in self._runs.entries(run_id) if not entry.retried]
        going_on = sum(1 for entry in latest if not entry.outcome)
        if going_on:
            raise RunNotEnded(run_id, going_on)
        failed = sorted(
            (entry for entry in latest if entry.outcome == Outcome.FAILED),
            key=lambda entry: (entry.place, entry.vm_id.lower()),
        )
        if not failed:
            raise NothingFailed(run_id)
        vms = tuple(entry.vm_id for entry in failed)
        # The key is of this run alone: no header can carry a line break, so no caller's key is ever this one.
        key = f"retry\n{run_id}\n{idempotency_key}" if idempotency_key else ""
        asked = RunDocument(policy=record.policy_name, vms=vms)
        groups = {entry.vm_id.lower(): entry.group for entry in failed if entry.group}
        settings = read_settings(record).without_selection()  # these VMs, and no others that rules select
        request = RunRequest(asked, vms, settings, RETRY, key, groups)
        return await self._service.start(request)
