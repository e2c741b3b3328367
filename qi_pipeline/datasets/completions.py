"""Ask for the body of one function of a module: the task kind `complete`.

Flows in: a pattern. Flows out: a sample that shows the module without that body and answers with
the whole verified module.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from qi_pipeline.datasets.interface import FUNCTION_VALUES, LibraryUse, library_use
from qi_pipeline.datasets.samples import Sample, fenced, pick
from qi_pipeline.extraction.exports import declared_names
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.syntax import parse_module, text_of
from qi_pipeline.library.profile import Profile

_REQUESTS: Final = (
    "Implement `{name}` in this module. Answer with the complete module.",
    "The body of `{name}` is still missing here. Fill it in and give me the whole module.",
    "Complete this module: `{name}` is not implemented yet.",
    "Finish `{name}` and show me the complete file.",
)
_PLACEHOLDER: Final = "{\n  // TODO: implement\n}"
_CONCISE_PLACEHOLDER: Final = "{ /* TODO: implement */ }"


@dataclass(frozen=True)
class _Function:
    name: str
    """`name`, or `Class.name` of a method."""
    body: Node
    calls: int

    @property
    def statements(self) -> int:
        """Statements of the body; 1 for an arrow function's expression."""
        if self.body.type != "statement_block":
            return 1
        return sum(child.type != "comment" for child in self.body.named_children)


def completion_sample(pattern: Pattern, profile: Profile) -> Sample | None:
    """Return the sample for a pattern's main function, or None when none is worth asking for.

    One is worth asking for when it uses the library and has two statements or a library call.
    """
    code = pattern.implementation.strip("\n")
    module = parse_module(code)
    use = library_use(module, profile)
    functions = [
        function
        for function in _functions(module.root, use)
        if use.is_mentioned_in(function.body) and (function.statements > 1 or function.calls)
    ]
    if not functions:
        return None
    chosen = _main_function(functions, pattern.container)
    start, end = chosen.body.start_byte, chosen.body.end_byte
    shown = (module.source[:start] + _gap(chosen.body).encode() + module.source[end:]).decode()
    return Sample(
        id=f"{pattern.id}-complete",
        origin=pattern.id,
        kind="complete",
        phrasing="complete",
        instruction=pick(_REQUESTS, f"{pattern.id} complete").format(name=chosen.name),
        answer=code,
        given=fenced(shown),
        withheld=(text_of(chosen.body),),
    )


def _gap(body: Node) -> str:
    """Return what stands in place of a body, indented as its closing brace was."""
    if body.type != "statement_block":
        return _CONCISE_PLACEHOLDER
    last = text_of(body).rpartition("\n")[2]
    margin = last[: len(last) - len(last.lstrip())]
    return _PLACEHOLDER.replace("\n", f"\n{margin}")


def _main_function(functions: list[_Function], container: str) -> _Function:
    """Return the pattern's own function; else the one with most library calls, the last one."""
    own = [function for function in functions if function.name == container]
    return max(own or functions, key=lambda function: (function.calls, function.body.start_byte))


def _functions(root: Node, use: LibraryUse) -> Iterator[_Function]:
    for statement in root.named_children:
        for name, kind, node in declared_names(statement):
            value = node.child_by_field_name("value")
            if kind == "class":
                yield from _methods(name, node, use)
            elif kind == "function":
                function = value if value is not None and value.type in FUNCTION_VALUES else node
                body = function.child_by_field_name("body")
                if body is not None:
                    yield _Function(name, body, use.calls_in(body))


def _methods(class_name: str, node: Node, use: LibraryUse) -> Iterator[_Function]:
    class_body = node.child_by_field_name("body")
    for member in class_body.named_children if class_body is not None else []:
        name, body = member.child_by_field_name("name"), member.child_by_field_name("body")
        if member.type == "method_definition" and name is not None and body is not None:
            yield _Function(f"{class_name}.{text_of(name)}", body, use.calls_in(body))
