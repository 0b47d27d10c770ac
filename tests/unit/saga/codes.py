"""Every code that may say why something went wrong, read from the sources of agent and adapters."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent import records, verdicts

ROOT = Path(__file__).resolve().parents[3]

_CODE = re.compile(r"[a-z]+(_[a-z]+)*")

#: What is made with a reason among its first three arguments, in the agent.
_FAILURES = frozenset(
    {
        "AnchorRefused",
        "Failure",
        "FreezeFailed",
        "FreezeRefused",
        "HandlersFailed",
        "ScriptResult",
        "ScriptUnusable",
        "_cannot",
        "not_started",
    }
)

#: The same in handlers, whose reasons the agent tells with ``handler_`` before them.
_HANDLERS_FAILURES = frozenset({"HandlerFailed", "Failed"})

RELEASERS = frozenset({records.BY_ORDER, records.BY_DEAD_MAN, records.BY_AGENT, records.BY_RESTART})


def failures_of_the_agent() -> set[str]:
    """Give every reason that a ``quiesce_failed``, or a script of an ack, may carry."""
    found = {verdicts.FAILED, verdicts.TIMED_OUT, verdicts.KILLED, verdicts.COMPLAINED}
    for path, tree in _sources("agent"):
        prefix = "handler_" if "handlers" in path.parts else ""
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) in _FAILURES:
                found |= _codes(node)
            elif isinstance(node, ast.Call) and _called(node) in _HANDLERS_FAILURES:
                found |= {f"handler_{code}" for code in _codes(node)}
            elif isinstance(node, ast.Assign):
                found |= {prefix + code for code in _assigned(node)}
    return found


def _assigned(node: ast.Assign) -> Iterator[str]:
    """Codes that reach a failure by a name: ``reason = ...``, or a table of reasons."""
    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    if names & {"_REFUSALS", "_REASONS"} and isinstance(node.value, ast.Dict):
        yield from _texts(node.value.values)
    elif "reason" in names:
        yield from _texts(ast.walk(node.value))


def warnings_of_the_agent() -> set[str]:
    """Give every code that a warning of the guest may carry, but those that scripts' own rules ask for."""
    found: set[str] = set()
    for _, tree in _sources("agent"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called(node) == "Warning_":
                found |= set(_texts([node.args[2]]))
    return found


def errors_of_captures() -> set[str]:
    """Give every error of a capture that is no class of Azure's: the constants that have a description."""
    found: set[str] = set()
    for _, tree in _sources("shared/compute"):
        for one, following in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(one, ast.Assign) and isinstance(following, ast.Expr):
                found |= set(_texts([one.value]))
    return found


def _sources(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _codes(node: ast.Call) -> set[str]:
    given = [*node.args[:3], *(word.value for word in node.keywords if word.arg == "reason")]
    return set(_texts(given))


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The texts among these that look like codes."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
            yield node.value
