"""What is kept is tagged, what is not wanted deleted, and the run commands are removed."""

import asyncio
from collections.abc import Awaitable

from shared.compute.errors import ComputeError
from shared.compute.tags import at_birth
from shared.engine.effects.hands import Hands
from shared.engine.effects.tags import name, tags_when_graded
from shared.saga.effects import Clean
from shared.saga.events import Cleaned, Event
from shared.saga.state import SagaState


async def clean(hands: Hands, state: SagaState, effect: Clean) -> Event:
    """Put everything in order, all at once: nobody is held any more, but nobody likes to wait either."""
    spec, compute = state.spec, hands.compute
    tags = await tags_when_graded(hands, state)
    if spec.snapshots.is_restore_point:  # its collection says whose its newest point is
        tags |= at_birth(
            policy=spec.policy_name, run=spec.run_id, saga=spec.saga_id, generation=state.generation
        )
    jobs = {f"{name(kept)} could not be tagged": compute.tag(kept, tags) for kept in effect.keep}
    jobs |= {
        f"{name(unwanted)} could not be deleted": compute.delete(unwanted, spec.saga_id)
        for unwanted in effect.discard
    }
    jobs |= {
        f"the run command of generation {generation} could not be removed": compute.stop_agent(
            spec.vm_id, spec.saga_id, generation
        )
        for generation in range(1, effect.agent_generations + 1)
    }
    problems = await asyncio.gather(*(_problem(what, job) for what, job in jobs.items()))
    return Cleaned(tuple(problem for problem in problems if problem))


async def _problem(what: str, job: Awaitable[None]) -> str:
    try:
        await job
    except ComputeError as error:
        return f"{what}: {error.detail} ({error.code})"
    return ""
