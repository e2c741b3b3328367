"""Whether a document's code block uses what its library no longer has.

Flows in: a block's text, what the compiler said of it and the library's names. Flows out: one
sentence for each thing that is gone. What follows from a mistake of the block's own, such as a
value of unknown type passed on, is no sign that the library has moved on.
"""

import re
from collections.abc import Iterable, Iterator

from qi_pipeline.extraction.exports import declared_names
from qi_pipeline.extraction.syntax import Module, parse_module
from qi_pipeline.validation.names import LibraryNames
from qi_pipeline.validation.verdict import Diagnostic

_UNKNOWN_NAME = re.compile(r"Cannot find (?:name|namespace) '(?P<name>[^']+)'")
_NO_EXPORT = re.compile(
    r"""(?:Module )?'?"(?P<module>[^"]+)"'? """
    r"""(?:has no exported member (?:named )?|declares )'(?P<name>[^']+)'"""
)
_NO_MODULE = re.compile(r"Cannot find module '(?P<module>[^']+)'")
_RELATIVE = re.compile(r"imports '(?P<module>\.[^']*)'; a module stands alone")
_NO_MEMBER = re.compile(r"Property '(?P<name>[^']+)' does not exist on type '(?P<type>.+)'")
_NOT_GENERIC = re.compile(r"Type '(?P<name>[\w.]+)(?:<.*>)?' is not generic")
_ARGUMENT = re.compile(r"Argument of type '(?P<type>.+?)' is not assignable")
_ASSIGNED = re.compile(r"Type '(?P<type>.+?)' is not assignable to type '(?P<wanted>.+?)'")
_COUNT = frozenset({2554, 2555, 2575})
_TYPE_ARGUMENTS = frozenset({2558, 2743})
_ARGUMENTS = frozenset({2345, 2769, 2353, 2739, 2740, 2741})


def unknown_name(diagnostic: Diagnostic) -> str | None:
    """Return the name that the compiler cannot find, if that is what it says."""
    found = _UNKNOWN_NAME.match(diagnostic.message)
    return found["name"] if found else None


def missing_export(diagnostic: Diagnostic) -> tuple[str, str] | None:
    """Return (import path, name) of an import that its module does not export."""
    found = _NO_EXPORT.match(diagnostic.message)
    return (found["module"], found["name"]) if found else None


def missing_module(diagnostic: Diagnostic) -> str | None:
    """Return the import path that leads nowhere, if that is what the compiler says."""
    found = _NO_MODULE.match(diagnostic.message)
    return found["module"] if found else None


def relative_module(diagnostic: Diagnostic) -> str | None:
    """Return the relative import path that a module must not have, if that is what is said."""
    found = _RELATIVE.match(diagnostic.message)
    return found["module"] if found else None


def stale_uses(text: str, diagnostics: Iterable[Diagnostic], names: LibraryNames) -> list[str]:
    """Return what the block uses that the library no longer has, each thing once."""
    own = _declared(parse_module(text))
    found = (line for diagnostic in diagnostics for line in _stale(diagnostic, names, own))
    return list(dict.fromkeys(found))


def _declared(module: Module) -> frozenset[str]:
    return frozenset(
        name for statement in module.root.named_children for name, _, _ in declared_names(statement)
    )


def _stale(diagnostic: Diagnostic, names: LibraryNames, own: frozenset[str]) -> Iterator[str]:
    missing = unknown_name(diagnostic)
    if missing is not None and names.is_removed(missing):
        yield f"stale: {missing} is no longer exported by the library"
    export = missing_export(diagnostic)
    if export is not None and names.is_library(export[0]) and export[1] not in names.exports:
        yield f"stale: {export[1]} is no longer exported by {export[0]}"
    module = missing_module(diagnostic)
    if module is not None and names.is_library(module):
        yield f"stale: {module} is no longer a module of the library"
    member = _NO_MEMBER.match(diagnostic.message)
    if member is not None and _is_library_type(member["type"], names, own):
        yield f"stale: {member['name']} is no longer a member of {member['type']}"
    generic = _NOT_GENERIC.match(diagnostic.message)
    if generic is not None and _is_library_type(generic["name"], names, own):
        yield f"stale: {generic['name']} is no longer generic"
    if diagnostic.callee is not None:
        callee = _one_line(diagnostic.callee)
        yield from _stale_call(diagnostic, callee)
        assigned = _ASSIGNED.match(diagnostic.message)
        # A plain value was expected, and the library now gives one of its own types instead.
        if (
            assigned is not None
            and _is_library_type(assigned["type"], names, own)
            and not _is_library_type(assigned["wanted"], names, own)
        ):
            yield f"stale: {callee} is no longer called with such arguments"


def _stale_call(diagnostic: Diagnostic, callee: str) -> Iterator[str]:
    if diagnostic.code in _COUNT:
        yield f"stale: {callee} is no longer called with as many arguments"
    elif diagnostic.code in _TYPE_ARGUMENTS:
        yield f"stale: {callee} is no longer called with type arguments"
    elif diagnostic.code in _ARGUMENTS and not _follows(diagnostic):
        yield f"stale: {callee} is no longer called with such arguments"


def _follows(diagnostic: Diagnostic) -> bool:
    """Tell whether an argument is wrong only because something before it has no known type."""
    argument = _ARGUMENT.match(diagnostic.message)
    return argument is not None and bool(re.search(r"\b(?:unknown|any)\b", argument["type"]))


_HEAD = re.compile(r"(?:typeof )?(?:Promise<)*(?P<name>\w+)")


def _is_library_type(text: str, names: LibraryNames, own: frozenset[str]) -> bool:
    """Tell whether a type as the compiler writes it is one of the library's, or a promise of it."""
    head = _HEAD.match(text)
    return head is not None and head["name"] in names.exports and head["name"] not in own


def _one_line(callee: str) -> str:
    """Return the callee without the text of the calls before it: `….build` of a chain."""
    head, dot, member = callee.rpartition(".")
    return callee if "\n" not in callee and "(" not in head else f"…{dot}{member}"
