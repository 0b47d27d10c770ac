"""``GET /api/health``: 200 when all is well, 503 when something that the app needs is not there."""

import azure.functions as func

from shared.settings import SettingError
from shared.storage.errors import MissingSetting, UnusableSetting
from shared.triggers.once import Once
from shared.triggers.replies import reply
from shared.version import VERSION

_FRESH = {"Cache-Control": "no-store"}


def blueprint(application: Once) -> func.Blueprint:
    """Give the function. It needs a function key: the report names runs and sagas."""
    triggers = func.Blueprint()

    @triggers.route("health", methods=["GET"])
    async def health(req: func.HttpRequest) -> func.HttpResponse:
        del req
        try:
            use_cases = application()
        except (SettingError, MissingSetting, UnusableSetting) as error:  # they never quote a value
            unset = {"status": "unhealthy", "problems": [str(error)], "version": VERSION}
            return reply(unset, 503, _FRESH)
        report = await use_cases.health.report()
        return reply(report.document, 200 if report.healthy else 503, _FRESH)

    return triggers
