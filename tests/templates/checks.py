"""What is wrong with the templates, as far as it shows without Azure and without the Bicep compiler."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.templates.bicep import BicepFile, Declaration, commented, nodes, text
from tests.templates.schemas import AZD, SCHEMAS

#: What is deployed by itself: the app, and what brings agents into guests.
_ROOTS = ("main.bicep", "guests/gallery.bicep", "guests/policy.bicep")
#: JSON of another kind, which has tests of its own.
_ELSEWHERE = "guests/"

#: Bicep's functions (Microsoft Learn, "Bicep functions") that these templates use, and its decorators.
# fmt: off
_FUNCTIONS = frozenset({
    "cidrSubnet", "concat", "contains", "empty", "environment", "filter", "guid", "items", "join",
    "loadJsonContent", "loadTextContent", "map", "newGuid", "null", "replace", "resourceGroup", "resourceId",
    "split", "string", "subscription", "subscriptionResourceId", "take", "toLower", "toObject", "toUpper",
    "union", "uniqueString",
})
_DECORATORS = frozenset({
    "allowed", "description", "maxLength", "maxValue", "minLength", "minValue", "onlyIfNotExists", "secure",
})
# fmt: on

_GIVES_SECRETS = re.compile(
    r"\blist[A-Z]\w*\(|\bgetSecret\(|ConnectionString|InstrumentationKey|sharedKey", re.IGNORECASE
)
_SECRET_NAME = re.compile(r"key|secret|password|token|credential|sas|connectionstring", re.IGNORECASE)
_ACTION = re.compile(r"Microsoft\.[A-Z]\w+(/\w+)+/(read|write|delete|action)")
_RESOURCE = re.compile(r"Microsoft(\.\w+)+(/\w+)+@\d{4}-\d\d-\d\d")
_NESTED = re.compile(r"\w+")


def findings(root: Path) -> list[str]:
    """Give what is wrong with ``infra/`` and ``azure.yaml`` below this folder, each with file and line."""
    infra = root / "infra"
    files = {path.resolve(): BicepFile(path) for path in sorted(infra.rglob("*.bicep"))}
    found: list[str] = []
    for file in files.values():
        name = file.path.relative_to(root).as_posix()
        problems = [(line, "does not parse") for line in file.syntax_errors]
        problems += [*_names(file), *_modules(file, files), *_outputs(file), *_actions(file), *_loaded(file)]
        found += [f"{name}:{line}: {what}" for line, what in sorted(set(problems))]
    found += _unreached(infra, files)
    found += _documents(root, files.get((infra / "main.bicep").resolve()))
    return found


def _names(file: BicepFile) -> Iterator[tuple[int, str]]:
    declared: dict[str, Declaration] = {}
    for each in file.declarations:
        if each.kind != "output":
            if each.name in declared and not each.nested:
                yield each.line, f"{each.name} is declared twice"
            declared[each.name] = each
    for name, line in file.used.items():
        if name not in declared and name not in file.bound and name not in _FUNCTIONS:
            yield line, f"{name} is declared nowhere"
    for called in file.functions - _FUNCTIONS - _DECORATORS:
        yield 1, f"{called} is not among the functions that are known here"
    for each in declared.values():
        if each.kind in ("param", "var") and each.name not in file.used:
            yield each.line, f"{each.kind} {each.name} is not used"


def _modules(file: BicepFile, files: dict[Path, BicepFile]) -> Iterator[tuple[int, str]]:
    modules = file.of("module")
    for module in modules.values():
        path = file.module_path(module)
        if path not in files:
            yield module.line, f"module {module.name}: there is no {path.name}"
            continue
        wanted, passed = files[path].of("param"), file.passed(module)
        for name in passed.keys() - wanted.keys():
            yield module.line, f"module {module.name} has no parameter {name}"
        for name, parameter in wanted.items():
            if name not in passed and not parameter.optional:
                yield module.line, f"module {module.name} is not passed {name}"
    for name, output in file.outputs_used():
        if name not in modules:
            yield 1, f"outputs of {name}, which is no module"
        elif (path := file.module_path(modules[name])) in files and output not in files[path].of("output"):
            yield modules[name].line, f"module {name} has no output {output}"


def _outputs(file: BicepFile) -> Iterator[tuple[int, str]]:
    """Whoever may read a deployment reads its outputs, so no secret may be in one."""
    secure = {each.name for each in file.of("param").values() if each.secure}
    for output in file.of("output").values():
        value = output.node.named_children[-1]
        names = {text(node) for node in nodes(value) if node.type == "identifier"}
        named = _SECRET_NAME.search(output.name) and not re.search(r"(Uri|Url|Id|Name)$", output.name)
        if named or names & secure or _GIVES_SECRETS.search(text(value)):
            yield output.line, f"output {output.name} looks like a secret"


def _actions(file: BicepFile) -> Iterator[tuple[int, str]]:
    """Every action of a role is one action, and says on its line what it is for."""
    for variable in file.of("var").values():
        value = variable.node.named_children[-1]
        if value.type != "array":
            continue
        for action, why in commented(value):
            if not action.startswith("Microsoft.") and action != "*":
                continue
            if not _ACTION.fullmatch(action):
                yield variable.line, f"{variable.name}: {action} is not one action"
            if len(why.removeprefix("//").strip()) < 8:
                yield variable.line, f"{variable.name}: {action} does not say what it is for"


def _loaded(file: BicepFile) -> Iterator[tuple[int, str]]:
    for written in file.loaded:
        if not (file.path.parent / written).is_file():
            yield 1, f"there is no {written}"
    for resource in file.of("resource").values():
        kind = next(child for child in resource.node.named_children if child.type == "string")
        if not (_NESTED if resource.nested else _RESOURCE).fullmatch(text(kind).strip("'")):
            yield resource.line, f"resource {resource.name}: no type with a version: {text(kind)}"


def _unreached(infra: Path, files: dict[Path, BicepFile]) -> Iterator[str]:
    """A file that nothing leads to is never deployed, and nobody sees that it is wrong."""
    waiting, reached = [(infra / name).resolve() for name in _ROOTS], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in reached or path not in files:
            continue
        reached.add(path)
        waiting += [files[path].module_path(module) for module in files[path].of("module").values()]
    read = {(file.path.parent / name).resolve() for file in files.values() for name in file.loaded}
    parts = {path.resolve() for path in infra.rglob("*.json")} - {(infra / "main.parameters.json").resolve()}
    for path in sorted((files.keys() - reached) | (parts - read)):
        yield f"infra/{path.relative_to(infra.resolve()).as_posix()}:1: nothing leads here"


def _documents(root: Path, main: BicepFile | None) -> Iterator[str]:
    documents: dict[str, tuple[Any, dict[str, Any]]] = {}
    for path in sorted((root / "infra").rglob("*.json")):
        name = path.relative_to(root / "infra").as_posix()
        try:
            document = json.loads(path.read_text())
        except ValueError as error:
            yield f"infra/{name}:1: no JSON: {error}"
            continue
        if name in SCHEMAS:
            documents[f"infra/{name}"] = (document, SCHEMAS[name])
        elif not name.startswith(_ELSEWHERE):
            yield f"infra/{name}:1: there is no schema for it"
    documents["azure.yaml"] = (yaml.safe_load((root / "azure.yaml").read_text()), AZD)
    for name, (document, schema) in documents.items():
        for wrong in Draft202012Validator(schema).iter_errors(document):
            yield f"{name}: {wrong.json_path}: {wrong.message}"
    if main is not None and "infra/main.parameters.json" in documents:
        yield from _parameters(main, documents["infra/main.parameters.json"][0].get("parameters", {}))


def _parameters(main: BicepFile, given: dict[str, Any]) -> Iterator[str]:
    """All that can be chosen can be chosen with azd."""
    wanted = main.of("param")
    for name in sorted(given.keys() - wanted.keys()):
        yield f"infra/main.parameters.json: main.bicep has no parameter {name}"
    for name in sorted(wanted.keys() - given.keys()):
        yield f"infra/main.parameters.json: {name} is missing"
