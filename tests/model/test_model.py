"""The model with few faults, and whether it would notice if something were wrong."""

import pytest

from tests.model import bounds
from tests.model.explore import explore
from tests.model.mutants.every import MUTANTS
from tests.model.planting import Fate, Mutant, NotPlantedError, fates
from tests.model.scenes import SCENES, Scene


@pytest.mark.timeout(900)  # the machine may be a busy one
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_every_property_holds_in_every_interleaving_with_any_one_fault(scene: Scene) -> None:
    report = explore(scene, bounds.of(bounds.QUICK))

    assert report.found is None, "\n".join((report.found.violation.what, *report.found.trace))
    assert report.states > (1_000 if scene.guest.enabled else 100)


@pytest.mark.timeout(900)
def test_every_planted_fault_is_caught_by_the_property_that_it_is_about() -> None:
    seen = {fate.mutant: fate.caught_by for fate in fates(MUTANTS)}

    assert seen == {mutant.name: mutant.caught_by for mutant in MUTANTS}
    assert len(seen) >= 25


def test_a_fault_whose_place_is_gone_is_not_planted_in_silence() -> None:
    lost = Mutant("nowhere", "shared.saga.names", "no such text", "", "It was planted once.", caught_by=6)

    with pytest.raises(NotPlantedError) as raised:
        list[Fate](fates([lost]))

    assert raised.value.count == 0
