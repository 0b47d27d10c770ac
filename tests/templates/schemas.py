"""What the JSON and YAML parts of the templates have to look like (JSON Schema 2020-12)."""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_NAMES = {"type": "array", "minItems": 1, "uniqueItems": True}


def _object(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    properties = required | more
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_QUEUES = _NAMES | {"items": {"type": "string", "pattern": "^[a-z0-9](-?[a-z0-9]){2,62}$"}}

#: Names as Azure Storage takes them.
STORAGE = _object(
    {
        "tables": _NAMES | {"items": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]{2,62}$"}},
        "queues": _QUEUES,
        "guestQueues": _QUEUES,
        "guestContainers": _QUEUES,
    }
)

#: Frequencies and severities as `Microsoft.Insights/scheduledQueryRules` takes them.
ALERTS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": _object(
        {
            "name": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$"},
            "severity": {"enum": [0, 1, 2, 3, 4]},
            "minutes": {"enum": [1, 5, 10, 15, 30, 45, 60]},
            "what": {"type": "string", "pattern": r"\.$", "maxLength": 200},
            "query": {
                "type": "array",
                "minItems": 2,
                "prefixItems": [{"pattern": "^App[A-Z][a-z]+$"}],
                "items": {"type": "string", "pattern": r"^\| \w"},
            },
        }
    ),
}

#: The file that azd fills in: every value is one variable of the environment, lists as JSON.
PARAMETERS = _object(
    {
        "$schema": {
            "const": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
        },
        "contentVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+\.\d+$"},
        "parameters": {
            "type": "object",
            "additionalProperties": _object(
                {"value": {"type": "string", "pattern": r"^\$\{[A-Z][A-Z0-9_]+(=[^}]*)?\}$"}}
            ),
        },
    }
)

_QUERY = _object(
    {
        "version": {"const": "KqlItem/1.0"},
        "title": _TEXT,
        "timeContextFromParameter": {"const": "Time"},
        "queryType": {"const": 0},
        "resourceType": {"const": "microsoft.operationalinsights/workspaces"},
        "visualization": {"enum": ["table", "barchart", "linechart"]},
        "noDataMessage": _TEXT,
        "query": _TEXT,
    }
)

#: The parts of a workbook that this one has: text (1), query (3) and parameters (9).
WORKBOOK = _object(
    {
        "version": {"const": "Notebook/1.0"},
        "items": {
            "type": "array",
            "items": {
                "oneOf": [
                    _object({"type": {"const": 1}, "name": _TEXT, "content": _object({"json": _TEXT})}),
                    _object({"type": {"const": 3}, "name": _TEXT, "content": _QUERY}),
                    _object(
                        {
                            "type": {"const": 9},
                            "name": _TEXT,
                            "content": {
                                "type": "object",
                                "properties": {"version": {"const": "KqlParameterItem/1.0"}},
                                "required": ["version", "parameters"],
                            },
                        }
                    ),
                ]
            },
        },
        "fallbackResourceIds": {"type": "array", "items": _TEXT},
    }
)

#: The part of azd's own schema (v1.0) that this project uses.
AZD = _object(
    {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]+$"},
        "infra": _object({"provider": {"const": "bicep"}, "path": _TEXT, "module": _TEXT}),
        "services": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _object(
                {"project": _TEXT, "language": {"const": "python"}, "host": {"const": "function"}}
            ),
        },
    },
    requiredVersions=_object({"azd": _TEXT}),
)

SCHEMAS: dict[str, dict[str, Any]] = {
    "storage.json": STORAGE,
    "main.parameters.json": PARAMETERS,
    "watch/alerts.json": ALERTS,
    "watch/workbook.json": WORKBOOK,
}
