"""Bicep files, as far as they can be read without the compiler: what they declare, use and pass on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))

_DECLARATIONS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}
_BINDINGS = frozenset({"loop_variable", "loop_enumerator"})


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a file declares. ``secure`` and ``optional`` are of parameters."""

    kind: str
    name: str
    node: Node
    secure: bool = False
    optional: bool = False

    @property
    def nested(self) -> bool:
        """Whether it stands inside another resource, whose names are its own."""
        return self.node.parent is not None and self.node.parent.type == "object_property"

    @property
    def line(self) -> int:
        """The line that it begins on."""
        return self.node.start_point[0] + 1


@dataclass
class BicepFile:
    """A parsed file."""

    path: Path
    root: Node = field(init=False)

    def __post_init__(self) -> None:
        """Parse it; what does not parse is in ``syntax_errors``."""
        self.root = _PARSER.parse(self.path.read_bytes()).root_node

    @cached_property
    def syntax_errors(self) -> list[int]:
        """The lines that do not parse."""
        return sorted({n.start_point[0] + 1 for n in nodes(self.root) if n.is_error or n.is_missing})

    @cached_property
    def declarations(self) -> list[Declaration]:
        """All declarations of the file, its nested resources too."""
        found, secure = [], False
        for node in nodes(self.root):
            if node.type == "decorators":
                secure = "@secure(" in text(node)
            kind = _DECLARATIONS.get(node.type)
            if kind is not None:
                name = next(text(child) for child in node.named_children if child.type == "identifier")
                found.append(Declaration(kind, name, node, secure, kind == "param" and _is_optional(node)))
                secure = False
        return found

    def of(self, kind: str) -> dict[str, Declaration]:
        """Give the declarations of a kind by their names."""
        return {each.name: each for each in self.declarations if each.kind == kind}

    @cached_property
    def used(self) -> dict[str, int]:
        """The names that expressions use, each with a line; not those that are declared there."""
        return {text(node): node.start_point[0] + 1 for node in nodes(self.root) if _is_use(node)}

    @cached_property
    def functions(self) -> set[str]:
        """The functions that are called."""
        calls = (node.named_children[0] for node in nodes(self.root) if node.type == "call_expression")
        return {text(called) for called in calls if called.type == "identifier"}

    @cached_property
    def bound(self) -> set[str]:
        """The names that loops and lambdas bind."""
        names = {text(node) for node in nodes(self.root) if node.type in _BINDINGS}
        for node in nodes(self.root):
            if node.type == "for_statement" and node.named_children[0].type == "identifier":
                names.add(text(node.named_children[0]))
            if node.type == "lambda_expression":
                names |= {
                    text(each) for part in node.named_children[:-1] for each in nodes(part) if _is_name(each)
                }
        return names

    @cached_property
    def loaded(self) -> list[str]:
        """The files that ``loadJsonContent`` and the like read, as they are written."""
        return re.findall(r"load\w+Content\('([^']+)'\)", self.code)

    @cached_property
    def code(self) -> str:
        """The text without its comments."""
        source = bytearray(self.root.text or b"")
        for node in nodes(self.root):
            if "comment" in node.type:
                source[node.start_byte : node.end_byte] = b" " * (node.end_byte - node.start_byte)
        return source.decode()

    def module_path(self, module: Declaration) -> Path:
        """Give where the file of a module is, or should be."""
        [written] = [child for child in module.node.named_children if child.type == "string"]
        return (self.path.parent / literal(written)).resolve()

    def passed(self, module: Declaration) -> dict[str, Node]:
        """Give what a module is passed."""
        for node in nodes(module.node):
            if node.type == "object_property" and key(node) == "params":
                return dict(members(node.named_children[1]))
        return {}

    def outputs_used(self) -> set[tuple[str, str]]:
        """Give which outputs of which modules are used."""
        return set(re.findall(r"\b(\w+)!?(?:\[[^\]]*\])?\.outputs\.(\w+)", self.code))

    def value(self, name: str) -> Node:
        """Give what a variable is set to."""
        return self.of("var")[name].node.named_children[-1]


def nodes(root: Node) -> Iterator[Node]:
    """Walk over a tree, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(node.children))


def text(node: Node) -> str:
    """Give a node's text."""
    return (node.text or b"").decode()


def literal(node: Node) -> str:
    """Give the text of a string; what it puts in stays as it is written, ``${name}``."""
    return "".join(text(child) for child in node.named_children)


def key(node: Node) -> str:
    """Give the name of a member of an object."""
    first = node.named_children[0]
    return literal(first) if first.type == "string" else text(first)


def members(node: Node) -> Iterator[tuple[str, Node]]:
    """Give the members of an object."""
    for child in node.named_children:
        if child.type == "object_property" and len(child.named_children) == 2:
            yield key(child), child.named_children[1]


def commented(node: Node) -> list[tuple[str, str]]:
    """Give the strings of an array, each with the comment on its line; an empty one where there is none."""
    comments = {child.start_point[0]: text(child) for child in node.named_children if child.type == "comment"}
    strings = [child for child in node.named_children if child.type == "string"]
    return [(literal(each), comments.get(each.start_point[0], "")) for each in strings]


def _is_optional(node: Node) -> bool:
    return any(child.type == "nullable_type" for child in nodes(node)) or "=" in {
        child.type for child in node.children
    }


def _is_name(node: Node) -> bool:
    return node.type == "identifier"


def _is_use(node: Node) -> bool:
    if not _is_name(node) or node.parent is None:
        return False
    above, first = node.parent, node.parent.named_children[0]
    match above.type:
        case "object_property":
            return first != node or len(above.named_children) == 1
        case "call_expression":
            return first != node
        case "for_statement" | "lambda_expression":
            return first != node
        case kind if kind in _DECLARATIONS:
            return next(child for child in above.named_children if _is_name(child)) != node
        case "type" | "parenthesized_parameters":
            return False
    return True
