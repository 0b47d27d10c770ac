"""Faults in the rules of the dead-man, the journal and the agent's next start, as the model writes them down."""

from tests.model.planting import Mutant

MUTANTS = (
    Mutant(
        "the dead-man does not notice that its agent died",
        "tests.model.guest_rules",
        "        generation, thawed, asked = orphan\n",
        "        generation, thawed, asked = orphan\n        if not thawed and asked:\n            return []\n",
        "A dead agent's freeze is undone by its next start only, if there is one.",
        caught_by=1,
    ),
    Mutant(
        "the dead-man thaws and does no more",
        "tests.model.guest_rules",
        "        if not self._post_script or not guest.hook(generation).begun:\n",
        "        if self._post_script or not guest.hook(generation).begun:\n",
        "Nobody runs the post-script of a generation that the dead-man released.",
        caught_by=3,
        faults=("crash", "fail"),
    ),
    Mutant(
        "the next start undoes nothing",
        "tests.model.guest_rules",
        "            guest = after_thaw(guest, generation)\n            guest = guest._replace(pre",
        "            guest = guest._replace(pre",
        "What an agent and its dead-man left frozen stays so.",
        caught_by=3,
    ),
    Mutant(
        "the journal is written after the deeds",
        "tests.model.guest_rules",
        "                dead = self._dies(unsent)\n",
        "                dead = self._dies(unsent._replace(session=IDLE))\n",
        "An agent that died knows nothing of what it had begun.",
        caught_by=1,
    ),
)
