"""Turn each kept pattern into several samples: one answer, asked for in different words.

Flows in: patterns. Flows out: `Sample`s, no two of which ask the same for different answers. The
answer is always the pattern's own verified module; only the question varies, and no question shows
how the answer is done. Splits and file formats belong to the sibling modules.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from qi_pipeline.artefacts import content_hash
from qi_pipeline.extraction.instructions import doc_sentence, signature
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.syntax import parse_module, text_of
from qi_pipeline.library.profile import Profile

PHRASINGS: Final = ("own", "signature", "short", "named")
"""Names of the phrasings, in the order in which they are preferred."""

_FUNCTION_VALUES: Final = frozenset({"arrow_function", "function_expression"})
_DECLARATION_NOUNS: Final = {
    "class_declaration": "the class",
    "abstract_class_declaration": "the class",
    "interface_declaration": "the interface",
    "type_alias_declaration": "the type",
    "enum_declaration": "the enum",
}
_LOCAL_TYPES: Final = frozenset({"interface_declaration", "type_alias_declaration"})
_OPENINGS: Final = (
    "Write a TypeScript module that uses {library} and exports {exports}.",
    "I need a TypeScript module on top of {library} that exports {exports}.",
    "In TypeScript with {library}, export {exports}.",
    "Write a TypeScript module with {library}. Export {exports}.",
)
_MAX_EXPORTS: Final = 4
_MAX_NAMED: Final = 6
_MAX_TYPE_CHARACTERS: Final = 400


@dataclass(frozen=True)
class Sample:
    """One question with its answer."""

    id: str
    """`<pattern id>-<phrasing>`."""
    pattern_id: str
    phrasing: str
    instruction: str
    implementation: str
    """The complete module, without blank lines around it."""


@dataclass(frozen=True)
class Synthesis:
    """The samples, and what was left out."""

    samples: tuple[Sample, ...]
    """Sorted by pattern id, then in the order of `PHRASINGS`."""
    ambiguous: int
    """Samples dropped because a better pattern answers the same question differently."""
    repeated: int
    """Samples dropped because the same question has the same answer already."""


@dataclass(frozen=True)
class ModuleInterface:
    """What a developer knows of a module before it is written."""

    exports: tuple[str, ...]
    """Each exported declaration in words: a function's signature, `the class X`, ..."""
    names: tuple[str, ...]
    purpose: str | None
    """First sentence of the doc comment of the last documented export, without its full stop."""
    types: tuple[str, ...]
    """Declarations of the module's own types that a signature mentions."""


def synthesize_samples(
    patterns: Iterable[Pattern], profile: Profile, *, max_phrasings: int = len(PHRASINGS)
) -> Synthesis:
    """Return up to `max_phrasings` samples for each pattern, the pattern's own instruction first.

    Patterns with one instruction and different answers first get their signatures appended; where
    that does not tell them apart, the weaker sample is dropped and counted. The result does not
    depend on the order of `patterns`.
    """
    ordered = sorted(patterns, key=lambda pattern: pattern.id)
    interfaces = {pattern.id: read_interface(pattern.implementation) for pattern in ordered}
    told_apart = _tell_apart(ordered, interfaces)
    samples = [
        sample
        for pattern in told_apart
        for sample in _phrase(pattern, interfaces[pattern.id], profile)[:max_phrasings]
    ]
    return _drop_ambiguous(samples, {pattern.id: _weakness(pattern) for pattern in ordered})


def read_interface(implementation: str) -> ModuleInterface:
    """Return what the module exports, by its syntax tree."""
    statements = parse_module(implementation).root.named_children
    exported = [
        (statement, declaration)
        for statement in statements
        if statement.type == "export_statement"
        and (declaration := statement.child_by_field_name("declaration")) is not None
    ]
    described = [pair for _, declaration in exported for pair in _describe(declaration)]
    purposes = [doc for statement, _ in exported if (doc := doc_sentence(statement))]
    return ModuleInterface(
        exports=tuple(text for _, text in described),
        names=tuple(name for name, _ in described),
        purpose=purposes[-1] if purposes else None,
        types=_mentioned_types(statements, " ".join(text for _, text in described)),
    )


def _describe(declaration: Node) -> list[tuple[str, str]]:
    """Return (name, words) of each thing an exported declaration declares."""
    name = declaration.child_by_field_name("name")
    if declaration.type in ("function_declaration", "generator_function_declaration") and name:
        return [(text_of(name), f"`{signature(declaration)}`")]
    if declaration.type in _DECLARATION_NOUNS and name:
        return [(text_of(name), f"{_DECLARATION_NOUNS[declaration.type]} `{text_of(name)}`")]
    return [
        _describe_value(child)
        for child in declaration.named_children
        if child.type == "variable_declarator"
    ]


def _describe_value(declarator: Node) -> tuple[str, str]:
    name = declarator.child_by_field_name("name")
    value = declarator.child_by_field_name("value")
    text = "" if name is None else _on_one_line(text_of(name))
    if value is not None and value.type in _FUNCTION_VALUES:
        annotation = declarator.child_by_field_name("type")
        if annotation is not None:
            return text, f"`{text}{_on_one_line(text_of(annotation))}`"
        return text, f"`{signature(declarator)}`"
    return text, f"the constant `{text}`"


def _mentioned_types(statements: Sequence[Node], signatures: str) -> tuple[str, ...]:
    """Return the module's own types that the signatures name, and the types those name."""
    declared = {}
    for statement in statements:
        node = statement.child_by_field_name("declaration") or statement
        name = node.child_by_field_name("name")
        if node.type in _LOCAL_TYPES and name is not None:
            declared[text_of(name)] = _on_one_line(_without_comments(text_of(node))).rstrip(";")
    mentioned: list[str] = []
    text = signatures
    while new := [name for name in declared if name not in mentioned and _names(text, name)]:
        mentioned += new
        text = " ".join(declared[name] for name in new)
    types = tuple(declared[name] for name in declared if name in mentioned)
    return types if sum(map(len, types)) <= _MAX_TYPE_CHARACTERS else ()


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", text) is not None


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def _on_one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _phrase(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> list[Sample]:
    """Return the pattern's samples in the order of `PHRASINGS`, without those that do not apply."""
    wordings = {
        "own": pattern.instruction.strip(),
        "signature": _by_signature(pattern, interface, profile),
        "short": _by_purpose(pattern, interface, profile),
        "named": _by_symbols(pattern, interface, profile),
    }
    code = pattern.implementation.strip("\n")
    return [
        Sample(f"{pattern.id}-{phrasing}", pattern.id, phrasing, text, code)
        for phrasing in PHRASINGS
        if (text := wordings[phrasing])
    ]


def _by_signature(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    if not 0 < len(interface.exports) <= _MAX_EXPORTS:
        return None
    # The opening follows from the id: varied over the data set, the same in every build.
    opening = _OPENINGS[int(content_hash(pattern.id)[:8], 16) % len(_OPENINGS)]
    sentences = [
        opening.format(library=_library(pattern, profile), exports=_series(interface.exports))
    ]
    if interface.types:
        sentences.append(f"Types: {_series([f'`{text}`' for text in interface.types])}.")
    if interface.purpose:
        sentences.append(f"{interface.purpose}.")
    return " ".join(sentences)


def _by_purpose(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    if interface.purpose is None or len(interface.names) != 1:
        return None
    library = _library(pattern, profile)
    return f"{interface.purpose}. Export it as `{interface.names[0]}` and use {library}."


def _by_symbols(pattern: Pattern, interface: ModuleInterface, profile: Profile) -> str | None:
    names = sorted({symbol.rpartition(":")[2] for symbol in pattern.symbols})
    if not 0 < len(names) <= _MAX_NAMED:
        return None
    used = _series([f"`{name}`" for name in names])
    if interface.purpose is None or len(interface.exports) != 1:
        return f"{pattern.instruction.strip()} Use {used}."
    library = _library(pattern, profile)
    return f"{interface.purpose}. Write {interface.exports[0]} with {used} from {library}."


def _library(pattern: Pattern, profile: Profile) -> str:
    """Return the library's packages that the pattern uses, or all when it imports none directly."""
    used = {symbol.rpartition(":")[0] for symbol in pattern.symbols}
    imported = (profile.package_of_specifier(name) for name in pattern.metadata.dependencies)
    used |= {package.name for package in imported if package is not None}
    return _series([p.name for p in profile.packages if p.name in used or not used])


def _series(items: Sequence[str]) -> str:
    """Join as in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def _normalized(instruction: str) -> str:
    return _on_one_line(instruction).casefold()


def _tell_apart(
    patterns: Sequence[Pattern], interfaces: Mapping[str, ModuleInterface]
) -> list[Pattern]:
    """Append its exports to every instruction that several different modules share."""
    answers = defaultdict(set)
    for pattern in patterns:
        answers[_normalized(pattern.instruction)].add(pattern.implementation.strip("\n"))
    return [
        pattern.model_copy(
            update={"instruction": _with_exports(pattern.instruction, interfaces[pattern.id])}
        )
        if len(answers[_normalized(pattern.instruction)]) > 1
        else pattern
        for pattern in patterns
    ]


def _with_exports(instruction: str, interface: ModuleInterface) -> str:
    if not interface.exports:
        return instruction
    return f"{instruction.strip()} Export {_series(interface.exports[:_MAX_EXPORTS])}."


def _weakness(pattern: Pattern) -> tuple[bool, int, str]:
    """Order patterns: covered by a test first, then the simpler, then by id."""
    return (not pattern.metadata.test_coverage, pattern.complexity, pattern.id)


def _drop_ambiguous(
    samples: Sequence[Sample], weakness: Mapping[str, tuple[bool, int, str]]
) -> Synthesis:
    """Keep, of all samples that ask the same, the one of the strongest pattern."""
    best: dict[str, Sample] = {}
    for sample in sorted(
        samples, key=lambda s: (weakness[s.pattern_id], PHRASINGS.index(s.phrasing))
    ):
        best.setdefault(_normalized(sample.instruction), sample)
    kept = {sample.id for sample in best.values()}
    dropped = [sample for sample in samples if sample.id not in kept]
    repeated = sum(
        best[_normalized(sample.instruction)].implementation == sample.implementation
        for sample in dropped
    )
    return Synthesis(
        samples=tuple(sample for sample in samples if sample.id in kept),
        ambiguous=len(dropped) - repeated,
        repeated=repeated,
    )
