"""``GET /api/health``: 200 when all is well, 503 when something that the app needs is not there."""

import json
from collections.abc import Mapping
from typing import Any

import azure.functions as func

from shared.settings import SettingError
from shared.storage.errors import MissingSetting, UnusableSetting
from shared.triggers.once import Once
from shared.version import VERSION


def blueprint(application: Once) -> func.Blueprint:
    """Give the function. It needs a function key: the report names runs and sagas."""
    triggers = func.Blueprint()

    @triggers.route("health", methods=["GET"])
    async def health(req: func.HttpRequest) -> func.HttpResponse:
        del req
        try:
            use_cases = application()
        except (SettingError, MissingSetting, UnusableSetting) as error:  # they never quote a value
            return _reply(503, {"status": "unhealthy", "problems": [str(error)], "version": VERSION})
        report = await use_cases.health.report()
        return _reply(200 if report.healthy else 503, report.document)

    return triggers


def _reply(status: int, document: Mapping[str, Any]) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(document, indent=2),
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store"},
    )
