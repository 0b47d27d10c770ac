"""Faults in the loop and in how effects are carried out."""

from tests.model.planting import Mutant

MUTANTS = (
    Mutant(
        "every message finds the outbox its own",
        "shared.engine.loop",
        "if stored.outbox and stored.cause == event.key and not _is_sweep(event):",
        "if stored.outbox and not _is_sweep(event):",
        "The next event is taken for a repetition of the last one, and is lost.",
        caught_by=4,
    ),
    Mutant(
        "a lost race is won all the same",
        "shared.engine.loop",
        "                again = await self._decide_again(progress)\n",
        "                progress.stored = await self._sagas.reload(progress.state.spec.saga_id)\n"
        "                again = transition\n",
        "A decision about what was there is written over what another invocation decided meanwhile.",
        caught_by=2,
    ),
    Mutant(
        "copies of an ack capture too",
        "shared.engine.loop",
        "if not again and any(isinstance(effect, CAPTURES) for effect in stored.outbox):",
        "if not again and not stored.outbox:",
        "Of two captures at once the slower one asks for a snapshot after everything was deleted.",
        caught_by=4,
        faults=("dup", "loss", "fail"),
    ),
    Mutant(
        "one snapshot is spared",
        "shared.engine.effects.cleaning",
        "for unwanted in effect.discard\n",
        "for unwanted in effect.discard[1:]\n",
        "Of those to be deleted the first is not.",
        caught_by=4,
    ),
    Mutant(
        "commands are sent under the next number",
        "shared.engine.orders",
        "sequence=order.sequence,",
        "sequence=order.sequence + state.watch_number,",
        "A command that is repeated is a new one to the agent.",
        caught_by=4,
    ),
    Mutant(
        "the end is not recorded again",
        "shared.engine.sweeping",
        "            await self._has_ended(state)\n        elif",
        "            return\n        elif",
        "A saga whose last invocation died is never recorded as ended.",
        caught_by=4,
        faults=("crash", "loss"),
    ),
)
