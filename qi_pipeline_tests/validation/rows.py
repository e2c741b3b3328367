"""Pattern rows for tests."""

from qi_pipeline.extraction.pattern import (
    Pattern,
    PatternMetadata,
    PatternType,
    SourceKind,
    UntypedPattern,
)
from qi_pipeline.recognition.records import Recognition


def pattern(
    pattern_id: str,
    implementation: str,
    *,
    source_kind: SourceKind = "app",
    source_file: str = "a.ts",
    line: int = 1,
) -> Pattern:
    return Pattern(
        id=pattern_id,
        type="result_creation",
        instruction="Return a number.",
        implementation=implementation,
        complexity=1,
        category="basic",
        metadata=PatternMetadata(
            source_file=source_file,
            line_range=(line, line + 1),
            dependencies=(),
            test_coverage=False,
        ),
        symbols=(),
        commit="a" * 40,
        blob="b" * 40,
        container="a",
        source_kind=source_kind,
    )


def block(
    pattern_id: str, implementation: str, *, source_file: str = "docs/tutorial/a.md", line: int = 1
) -> Pattern:
    """Return a block of a tutorial."""
    return pattern(
        pattern_id, implementation, source_kind="tutorial", source_file=source_file, line=line
    )


def untyped(row: Pattern) -> UntypedPattern:
    return UntypedPattern(**{key: value for key, value in dict(row).items() if key != "type"})


def recognized(
    suggested_type: PatternType, *, confidence: float = 0.5, novelty: float = 0.1
) -> Recognition:
    return Recognition(
        id="any",
        cluster=0,
        suggested_type=suggested_type,
        confidence=confidence,
        novelty=novelty,
        nearest=(),
    )
