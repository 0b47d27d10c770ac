"""The timer triggers: schedules, retention, housekeeping, the sweep of what lost messages left."""

import azure.functions as func

from shared.triggers.once import Once


def blueprint(application: Once) -> func.Blueprint:
    """Give the timer functions. Their schedules are application settings."""
    timers = func.Blueprint()

    @timers.timer_trigger(arg_name="timer", schedule="%STILLFRAME_SCHEDULES_TIMER%")
    async def schedules(timer: func.TimerRequest) -> None:
        del timer  # a late tick is as good as one in time: what is due is in the table
        await application().policies.start_due()

    @timers.timer_trigger(arg_name="timer", schedule="%STILLFRAME_SWEEP_TIMER%")
    async def sweep(timer: func.TimerRequest) -> None:
        del timer
        await application().sweeping.sweep()

    @timers.timer_trigger(arg_name="timer", schedule="%STILLFRAME_RETENTION_TIMER%")
    async def retention(timer: func.TimerRequest) -> None:
        del timer
        await application().retaining.begin()

    @timers.timer_trigger(arg_name="timer", schedule="%STILLFRAME_RECONCILIATION_TIMER%")
    async def reconciliation(timer: func.TimerRequest) -> None:
        del timer
        await application().reconciling.begin()

    @timers.timer_trigger(arg_name="timer", schedule="%STILLFRAME_HOUSEKEEPING_TIMER%")
    async def housekeeping(timer: func.TimerRequest) -> None:
        del timer
        await application().housekeeping.go_on()

    return timers
