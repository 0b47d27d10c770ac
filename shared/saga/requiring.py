"""``application_aware: require``, as soon as the guest has said what it holds. Pure.

What lacks an application then cannot become what is required, so nothing is snapshotted and the guest goes on
at once.
"""

from dataclasses import replace

from shared.saga.consistency import short_of_application
from shared.saga.decide import lack_may_pass
from shared.saga.restore_points import PLATFORMS_BEST, asked_consistency
from shared.saga.state import Ending, Outcome, SagaState
from shared.saga.troubles import lacking_applications


def without_what_is_required(state: SagaState) -> SagaState | None:
    """Give a saga that is to let its guest go because an application is missing; None if none is.

    Where Azure holds too, its word is still to come.
    """
    quiesced = state.evidence.quiesced if state.evidence else None
    by_azure = state.spec.snapshots.is_restore_point and asked_consistency(state) == PLATFORMS_BEST
    if quiesced is None or not state.spec.guest.application_required or by_azure:
        return None
    lacking = short_of_application(quiesced)
    if not lacking:
        return None
    why = "; ".join(lacking)
    noted = lacking_applications(state, why)
    if lack_may_pass(state):
        return replace(noted, guest_failure=why)
    reason = f"the recovery point has to be application-consistent, and {why}"
    return replace(noted, ending=Ending(Outcome.FAILED, reason))
