"""PowerShell as far as it can be checked without one: it parses, and asks for nothing newer than 5.1."""

import re
from collections.abc import Iterator

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_powershell.language()))

#: Of PowerShell 7 alone, though the grammar may take it: outside strings and comments.
_NEWER = re.compile(rb"\?\?=?|\?\.|&&|\|\||\s\?\s[^:\n]+:|-Parallel\b|\bclean\s*\{")
#: Short names that mean something else on another system, or in another version.
_ALIASES = frozenset(
    {"cat", "cd", "copy", "cp", "curl", "del", "dir", "echo", "ls", "mv", "rm", "sort", "wget", "%", "?"}
)


def faults(script: str) -> list[str]:
    """Give what is wrong with a script, each with its line."""
    source = script.encode()
    root = _PARSER.parse(source).root_node
    found = []
    for node in _nodes(root):
        line = node.start_point[0] + 1
        if node.is_error or node.is_missing:
            found.append(f"line {line}: does not parse")
        if node.type == "command_name" and (node.text or b"").decode().lower() in _ALIASES:
            found.append(f"line {line}: {(node.text or b'').decode()} is an alias")
    bare = _without_texts(source, root)
    found += [f"line {bare[: m.start()].count(10) + 1}: newer than 5.1" for m in _NEWER.finditer(bare)]
    return found


def _nodes(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def _without_texts(source: bytes, root: Node) -> bytes:
    """Blank out strings and comments."""
    bare = bytearray(source)
    for node in _nodes(root):
        if "string" in node.type or node.type == "comment":
            for index in range(node.start_byte, node.end_byte):
                if bare[index] != 10:
                    bare[index] = 32
    return bytes(bare)
