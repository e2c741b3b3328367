"""Ask for a pattern in several ways: the task kind `write`.

Flows in: a pattern. Flows out: its samples, all with the pattern's own verified module as answer.
Only the question varies, and no question shows how the answer is done.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from qi_pipeline.datasets.interface import ModuleInterface, withheld_code
from qi_pipeline.datasets.reference import DOCUMENT_KINDS
from qi_pipeline.datasets.samples import Sample, pick
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.wording import capitalized, series
from qi_pipeline.library.profile import Profile

PHRASINGS: Final = ("own", "signature", "short", "named")
"""Names of the phrasings, in the order in which they are preferred."""

_OPENINGS: Final = (
    "Write a TypeScript module that uses {library} and exports {exports}.",
    "I need a TypeScript module on top of {library} that exports {exports}.",
    "With {library}, implement and export {exports}.",
    "Implement {exports} as a TypeScript module with {library}.",
)
_MAX_EXPORTS: Final = 4
_MAX_NAMED: Final = 6


def write_samples(
    patterns: Sequence[Pattern],
    interfaces: Mapping[str, ModuleInterface],
    profile: Profile,
    max_phrasings: int,
) -> list[Sample]:
    """Return up to `max_phrasings` samples of each pattern, its own instruction first."""
    return [
        sample
        for pattern in patterns
        for sample in _phrase(pattern, interfaces[pattern.id], profile)[:max_phrasings]
    ]


def _phrase(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> list[Sample]:
    """Return the pattern's samples in the order of `PHRASINGS`, without those that do not apply."""
    wordings = {
        "own": pattern.instruction.strip(),
        "signature": _by_signature(pattern, interface, profile),
        "short": _by_purpose(pattern, interface, profile),
        "named": _by_symbols(pattern, interface, profile),
    }
    code = pattern.implementation.strip("\n")
    withheld = withheld_code(code)
    stated = (*interface.exports, *interface.types)
    return [
        Sample(
            id=f"{pattern.id}-{phrasing}",
            origin=pattern.id,
            kind="write",
            phrasing=phrasing,
            instruction=text,
            answer=code,
            withheld=withheld,
            stated=stated,
        )
        for phrasing in PHRASINGS
        if (text := wordings[phrasing])
    ]


def _by_signature(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    if not 0 < len(interface.exports) <= _MAX_EXPORTS:
        return None
    opening = pick(_OPENINGS, pattern.id)
    parts = [
        opening.format(library=library_of(pattern, profile), exports=series(interface.exports))
    ]
    if interface.types:
        parts.append(f"Types: {series([f'`{text}`' for text in interface.types])}.")
    if interface.purpose:
        subject = "It " if interface.purpose.form == "third_person" else ""
        parts.append(f"{capitalized(subject + interface.purpose.text)}.")
    elif pattern.source_kind in DOCUMENT_KINDS:
        parts.append(pattern.instruction.strip())
    return " ".join(parts)


def _by_purpose(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    if interface.purpose is None or len(interface.names) != 1:
        return None
    library = library_of(pattern, profile)
    (name,), (noun,), purpose = interface.names, interface.nouns, interface.purpose
    if purpose.form == "third_person":
        return f"I need a {noun} that {purpose.text}. Call it `{name}` and use {library}."
    if purpose.form == "imperative":
        return f"{capitalized(purpose.text)} with {library}. Call the {noun} `{name}`."
    return f"Build `{name}` with {library}: {purpose.text}."


def _by_symbols(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    names = sorted({symbol.rpartition(":")[2] for symbol in pattern.symbols})
    if not 0 < len(names) <= _MAX_NAMED:
        return None
    instruction = pattern.instruction.strip()
    quoted = [f"`{name}`" for name in names]
    if interface.purpose is not None and len(interface.exports) == 1:
        library = library_of(pattern, profile)
        request = f"Using {series(quoted)} from {library}, write {interface.exports[0]}"
        return interface.purpose.after(request)
    missing = [name for name in quoted if name not in instruction]
    return f"{instruction} Use {series(missing)}." if missing else None


def library_of(pattern: Pattern, profile: Profile) -> str:
    """Return the library's packages that the pattern uses, or all when it imports none directly."""
    used = {symbol.rpartition(":")[0] for symbol in pattern.symbols}
    imported = (profile.package_of_specifier(name) for name in pattern.metadata.dependencies)
    used |= {package.name for package in imported if package is not None}
    return series([p.name for p in profile.packages if p.name in used or not used])
