"""Ask for a module to be mended: the task kind `fix`.

Flows in: violation → fix pairs of the history, and patterns. Flows out: samples that show a broken
module with what the checker says of it and answer with the mended one.
"""

import re
from collections.abc import Sequence
from typing import Final

from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.datasets.interface import library_use
from qi_pipeline.datasets.phrasings import library_of
from qi_pipeline.datasets.samples import Sample, fenced, pick
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.syntax import Module, parse_module, text_of, walk
from qi_pipeline.extraction.wording import series
from qi_pipeline.library.profile import Profile

_PAIR_REQUESTS: Final = (
    "This code breaks conventions of {library}. Rewrite it so that it keeps them.",
    "The checker complains about this module. Fix it and answer with the complete module.",
    "Clean this up so that it follows the conventions of {library}.",
)
_IMPORT_REQUESTS: Final = (
    "This module does not compile. Fix it and answer with the complete module.",
    "Why does this not compile? Give me a version of it that does.",
    "Fix the compile errors in this module.",
)
_MAX_MESSAGES: Final = 12
_NAME_NODES: Final = frozenset({"identifier", "type_identifier", "shorthand_property_identifier"})
# Types that TypeScript's own library declares too: without an import it finds the wrong one, or
# says nothing at all.
_STANDARD_NAMES: Final = frozenset(
    {"Cache", "ErrorOptions", "Event", "Lock", "Map", "Record", "Request", "Response", "Storage"}
)


def pair_sample(pair: FixPair, profile: Profile) -> Sample:
    """Return the sample of a violation that the library's own history mended."""
    request = pick(_PAIR_REQUESTS, f"{pair.id} fix")
    after = pair.after.strip("\n")
    return Sample(
        id=f"{pair.id}-fix",
        origin=pair.id,
        kind="fix",
        phrasing="fix",
        instruction=request.format(library=_packages_of(after, profile)),
        answer=after,
        given=_reported(pair.before, "The checker says:", pair.messages),
        withheld=(after,),
    )


def _packages_of(code: str, profile: Profile) -> str:
    """Return the library's packages that a module imports, or all when it imports none directly."""
    imports = library_use(parse_module(code), profile).imports
    found = (profile.package_of_specifier(item.specifier) for item in imports)
    used = {package.name for package in found if package is not None}
    return series([p.name for p in profile.packages if p.name in used or not used])


def imports_sample(pattern: Pattern, profile: Profile) -> Sample | None:
    """Return the sample that shows a pattern without its library imports, or None without any.

    A namespace import is left alone: the compiler words a missing namespace in several ways.
    """
    code = pattern.implementation.strip("\n")
    module = parse_module(code)
    imports = library_use(module, profile).imports
    if not imports or any(item.imported == "*" for item in imports):
        return None
    statements = {item.statement.start_byte: item.statement for item in imports}
    source = module.source
    for start in sorted(statements, reverse=True):
        source = source[:start] + source[statements[start].end_byte :]
    shown = re.sub(r"\n{3,}", "\n\n", source.decode().strip("\n"))
    names = {item.local for item in imports} - _STANDARD_NAMES
    missing = _in_order_of_use(parse_module(shown), names)
    if not missing:
        return None
    # The words that TypeScript's messages 2304 and 2552 open with; what 2552 goes on to guess, and
    # the messages that follow from a missing name, are left out.
    messages = [f"Cannot find name '{name}'." for name in missing]
    return Sample(
        id=f"{pattern.id}-imports",
        origin=pattern.id,
        kind="fix",
        phrasing="imports",
        instruction=pick(_IMPORT_REQUESTS, f"{pattern.id} imports")
        + f" It uses {library_of(pattern, profile)}.",
        answer=code,
        given=_reported(shown, "The compiler says:", messages),
        withheld=tuple(text_of(statement) for statement in statements.values()),
    )


def _in_order_of_use(module: Module, names: set[str]) -> list[str]:
    mentioned = (text_of(node) for node in walk(module.root) if node.type in _NAME_NODES)
    return list(dict.fromkeys(name for name in mentioned if name in names))


def _reported(code: str, introduction: str, messages: Sequence[str]) -> str:
    listed = "\n".join(f"- {message}" for message in messages[:_MAX_MESSAGES])
    return f"{fenced(code)}\n\n{introduction}\n{listed}"
