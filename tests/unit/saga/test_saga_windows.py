"""Sagas of Windows guests: VSS is what holds them, unless the platform's own is asked."""

from dataclasses import replace

from shared.policy.guest_processing import AnchorProvider, GuestProcessing
from shared.saga.events import FactsRead, Started
from shared.saga.state import Phase
from tests.unit.saga.build import Saga, facts

WINDOWS = replace(facts(), os_type="Windows")


def test_a_windows_guest_is_armed_for_an_anchor_of_vss() -> None:
    saga = Saga(GuestProcessing()).take(Started("receipt-1"), FactsRead(WINDOWS))

    assert saga.state.phase is Phase.ARMING
    anchor = saga.state.spec.guest.anchor
    assert anchor is not None
    assert anchor.provider is AnchorProvider.VSS
    assert saga.state.spec.guest.quiesces_applications


def test_a_linux_guest_has_no_anchor_that_nobody_ordered() -> None:
    saga = Saga(GuestProcessing()).take(Started("receipt-1"), FactsRead(facts()))

    assert saga.state.spec.guest.anchor is None
