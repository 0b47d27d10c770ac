"""All faults that are planted, to see whether the model notices them."""

from tests.model.mutants import agent, engine, group, guest, saga

MUTANTS = (*saga.MUTANTS, *engine.MUTANTS, *agent.MUTANTS, *guest.MUTANTS, *group.MUTANTS)
