"""Shows what a mutant changed."""

import ast
import difflib
from functools import cache
from pathlib import Path


def changed(mutant: str) -> str:
    """Give the lines that a mutant has taken away and put in their place, by the file mutmut wrote."""
    module, _, name = mutant.rpartition(".")
    functions = _functions(Path(*module.split(".")).with_suffix(".py"))
    before, after = functions[name.rpartition("__mutmut_")[0] + "__mutmut_orig"], functions[name]
    lines = difflib.unified_diff(before, after, lineterm="", n=0)
    return "\n".join(f"    {line}" for line in lines if not line.startswith(("---", "+++", "@@")))


@cache
def _functions(path: Path) -> dict[str, list[str]]:
    defined = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {function.name: ast.unparse(function).splitlines()[1:] for function in defined}
