"""Azure Policy as far as infra/guests uses it: what definitions name, and which VMs they are about."""

import fnmatch
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

#: The namespace of `guid()` (Microsoft, "String functions for ARM templates").
_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")

_CONDITIONS = {"equals", "in", "like", "contains", "notContains", "exists", "greater"}


def faults(definition: Mapping[str, Any]) -> list[str]:
    """Give what is wrong with a definition: undeclared, unused and unset parameters, unclosed expressions."""
    details = definition["policyRule"]["then"]["details"]
    deployment = details.get("deployment", {}).get("properties", {})
    rule = {"if": definition["policyRule"]["if"], "then": {**definition["policyRule"]["then"]}}
    rule["then"]["details"] = {k: v for k, v in details.items() if k != "deployment"}
    outside = [rule, deployment.get("parameters", {})]
    found = _parameters("the definition", definition["parameters"], outside)
    if deployment:
        found += _template("the template", deployment["template"], deployment["parameters"])
    found += [f"unclosed: {text}" for text in texts(definition) if not _closed(text)]
    return found


def _template(where: str, template: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    nested = [each for each in template["resources"] if each["type"] == "Microsoft.Resources/deployments"]
    own = [_without_template(each) for each in template["resources"]]
    found = _parameters(where, template["parameters"], [own, template.get("variables", {})])
    found += [f"{where}: {name} is not given" for name in sorted(set(template["parameters"]) - set(given))]
    found += [
        f"{where}: {name} is given to nobody" for name in sorted(set(given) - set(template["parameters"]))
    ]
    for each in nested:
        properties = each["properties"]
        assert properties["expressionEvaluationOptions"] == {"scope": "inner"}
        found += _template(f"{where}'s deployment", properties["template"], properties["parameters"])
    return found


def _without_template(resource: Mapping[str, Any]) -> dict[str, Any]:
    properties = {key: value for key, value in resource["properties"].items() if key != "template"}
    return {**resource, "properties": properties}


def _parameters(where: str, declared: Mapping[str, Any], used_in: list[Any]) -> list[str]:
    used = {name for text in texts(used_in) for name in re.findall(r"parameters\('(\w+)'\)", text)}
    found = [f"{where}: {name} is not declared" for name in sorted(used - set(declared))]
    return found + [f"{where}: {name} is not used" for name in sorted(set(declared) - used)]


def texts(node: Any) -> Iterator[str]:
    """Give every text in a document, keys included."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def _closed(text: str) -> bool:
    if not text.startswith("["):
        return True
    bare = re.sub(r"'[^']*'", "", text)
    pairs = all(bare.count(opened) == bare.count(closed) for opened, closed in ("()", "[]"))
    return text.endswith("]") and pairs and "'" not in bare


def evaluate(expression: str, parameters: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    """Compute an expression by the functions that the definitions use; other texts stand for themselves."""
    if not expression.startswith("["):
        return expression
    functions = {
        "concat": lambda *parts: "".join(parts),
        "empty": lambda value: not value,
        "field": lambda name: fields.get(name, ""),
        "guid": lambda *parts: str(uuid.uuid5(_GUIDS, "-".join(parts))),
        "parameters": lambda name: parameters[name],
        "split": lambda text, by: text.split(by),
        "toLower": str.lower,
    }
    return eval(expression[1:-1], {"__builtins__": {}}, functions)


def applies(node: Mapping[str, Any], parameters: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether a condition of a rule holds of a resource with these fields. No text minds its case."""
    if "allOf" in node:
        return all(applies(each, parameters, fields) for each in node["allOf"])
    if "anyOf" in node:
        return any(applies(each, parameters, fields) for each in node["anyOf"])
    if "count" in node:
        counted = node["count"]["where"]
        matching = [
            entry for entry in fields.get(node["count"]["field"], []) if applies(counted, parameters, entry)
        ]
        value: Any = len(matching)
    elif "value" in node:
        value = evaluate(node["value"], parameters, fields)
    else:
        value = fields.get(evaluate(node["field"], parameters, fields))
    (name,) = set(node) & _CONDITIONS
    return _holds(name, value, _wanted(node[name], parameters, fields))


def _wanted(node: Any, parameters: Mapping[str, Any], fields: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_wanted(each, parameters, fields) for each in node]
    return evaluate(node, parameters, fields).lower() if isinstance(node, str) else node


def _holds(name: str, value: Any, wanted: Any) -> bool:
    if name == "exists":
        return (value is not None) is (wanted == "true")
    if name == "greater":
        return bool(value > wanted)
    text = str(value).lower() if value is not None else ""
    match name:
        case "equals":
            return bool(text == wanted)
        case "in":
            return bool(text in wanted)
        case "like":
            return fnmatch.fnmatchcase(text, wanted)
        case "contains":
            return bool(wanted in text)
        case _:
            return bool(wanted not in text)
