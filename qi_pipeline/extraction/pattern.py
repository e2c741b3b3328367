"""The `Pattern` record: one complete thing a developer would want to write, with its provenance.

Names are the exported ones (see the README's data formats) and never differ between code, files
and the Dagster UI.
"""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

PatternType = Literal[
    "result_creation",
    "error_handling",
    "functional_composition",
    "config_management",
    "logger_integration",
    "cache_patterns",
    "factory_functions",
    "integration_patterns",
]
Category = Literal["basic", "intermediate", "advanced", "expert"]
SourceKind = Literal["tutorial", "app", "implementation", "test", "api_doc", "notebook"]

PATTERN_TYPES: tuple[PatternType, ...] = get_args(PatternType)
CATEGORIES: tuple[Category, ...] = get_args(Category)
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)


class PatternMetadata(BaseModel):
    """Where a pattern comes from and what it leans on."""

    model_config = ConfigDict(frozen=True)

    source_file: str
    """Path inside the repository, with forward slashes."""
    line_range: tuple[int, int]
    """First and last line in `source_file`, 1-based, inclusive."""
    dependencies: tuple[str, ...]
    """Module specifiers that `implementation` imports, sorted."""
    test_coverage: bool
    """Whether tests of the snapshot reach the symbol that the unit declares, or, when it declares
    none of the library's, every symbol that it uses; calls are followed through the library."""
    tests: tuple[str, ...] = ()
    """Test files that reach one of those symbols, sorted."""


class UntypedPattern(BaseModel):
    """A complete unit that uses the library, before it is said what kind of pattern it is."""

    model_config = ConfigDict(frozen=True)

    id: str
    """16 hex digits of SHA-256 over (source path, enclosing symbol, kind, ordinal among equals).

    The path is the one below its layout root (see the profile), so that a file keeps its ids when
    the repository is laid out anew."""
    instruction: str
    """What a developer would type to get this code."""
    implementation: str
    """A complete TypeScript module: imports, helpers, exported code."""
    complexity: int
    """McCabe cyclomatic complexity of the unit (1 = straight line)."""
    category: Category
    metadata: PatternMetadata
    symbols: tuple[str, ...]
    """Exported library symbols the unit calls, as `package:name`, sorted; a member counts as its
    class."""
    commit: str
    """Commit of the snapshot (40 hex digits)."""
    blob: str
    """Git blob of the source file (40 hex digits)."""
    container: str
    """Name of the enclosing declaration, heading path or cell."""
    source_kind: SourceKind

    def typed(self, pattern_type: PatternType, types: tuple[PatternType, ...] = ()) -> "Pattern":
        """Return this unit as a pattern of the given type; `types` are all that it shows."""
        return Pattern(**dict(self), type=pattern_type, types=types or (pattern_type,))


class Pattern(UntypedPattern):
    """One row of the `patterns` asset."""

    type: PatternType
    """What the unit shows first of all."""
    types: tuple[PatternType, ...] = ()
    """Every type that the unit's symbols and name are evidence of, the weightiest first."""
