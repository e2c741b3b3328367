"""Which names of an answer do not exist, as the compiler says.

Flows in: a verdict. Flows out: the modules, imported names and members that the answer made up.
Names that are merely undeclared inside the answer (a forgotten import, a typing error in a local)
are mistakes of another kind and do not count, nor do the members that only one variant of a Result
has: they exist, and reading them is what the conventions forbid.
"""

import re
from collections.abc import Collection, Sequence

from qi_pipeline.validation.verdict import Verdict

# TypeScript's diagnosticMessages.json, versions 5 and 7, which word these messages alike.
_MODULES = frozenset((2307, 2792))
"""Cannot find module 'X'."""
_EXPORTS = frozenset((2305, 2614, 2724))
"""Module 'M' has no exported member 'X'; 'M' has no exported member named 'X'. Did you mean …"""
_DEFAULTS = frozenset((1192,))
"""Module 'M' has no default export."""
_MEMBERS = frozenset((2339, 2551, 2694))
"""Property 'X' does not exist on type 'T'; Namespace 'N' has no exported member 'X'."""
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_EXPORT = re.compile(r"no exported member(?: named)? '([^']*)'")
_NAMESPACE = re.compile(r"Namespace '([^']*)' has no exported member '([^']*)'")
_READS_OF_RESULTS = "R2"
_TYPE_LENGTH = 60


def hallucinated_symbols(verdict: Verdict, payload_members: Collection[str]) -> tuple[str, ...]:
    """Return what does not exist, sorted; `payload_members` are those of a Result's variants.

    `zod/mini` for a module, `@qi/base:ok` for an imported name, `Result<number>.unwrap` for a
    member (with the type as the compiler writes it).
    """
    found = set()
    read = {violation.line for violation in verdict.rules if violation.id == _READS_OF_RESULTS}
    for diagnostic in verdict.diagnostics:
        message = diagnostic.message.splitlines()[0]
        quoted = [str(text) for text in _QUOTED.findall(message)]
        if not quoted:
            continue
        if diagnostic.code in _MODULES:
            found.add(quoted[0])
        elif diagnostic.code in _DEFAULTS | _EXPORTS:
            found.add(_export(message, quoted[0].strip('"')))
        elif diagnostic.code in _MEMBERS:
            if diagnostic.line in read and quoted[0] in payload_members:
                continue
            found.add(_member(message, quoted))
    return tuple(sorted(found))


def _export(message: str, module: str) -> str:
    named = _EXPORT.search(message)
    return f"{module}:{named[1] if named else 'default'}"


def _member(message: str, quoted: Sequence[str]) -> str:
    namespace = _NAMESPACE.search(message)
    if namespace:
        return f"{namespace[1]}.{namespace[2]}"
    return f"{_shortened(quoted[1] if len(quoted) > 1 else '')}.{quoted[0]}"


def _shortened(owner: str) -> str:
    return owner if len(owner) <= _TYPE_LENGTH else f"{owner[: _TYPE_LENGTH - 1]}…"
