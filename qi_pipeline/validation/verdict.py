"""The verdict on one TypeScript module; it filters training data and scores answers alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.recognition.records import Recognition
from qi_pipeline.validation.review import ReviewDecision


class Diagnostic(BaseModel):
    """One compiler message; `line` and `column` are 1-based."""

    model_config = ConfigDict(frozen=True)

    code: int
    line: int
    column: int
    message: str
    callee: str | None = None
    """The library's function or member at whose call the compiler complains, as it is written."""


VALIDATION_VERSION = "4"
"""Goes up whenever an equal module may get another verdict, or an equal row another grade."""

Severity = Literal["error", "warning"]
Status = Literal["kept", "repaired", "review", "rejected"]
LibraryTestsMark = Literal["noticed", "unnoticed", "untested"]
"""What the library's own tests make of a wrong body of one of its functions."""


class RuleViolation(BaseModel):
    """One broken convention rule; `line` is 1-based, `message` says the compliant form."""

    model_config = ConfigDict(frozen=True)

    id: str
    line: int
    message: str
    severity: Severity = "error"


class Verdict(BaseModel):
    """What the compiler and the convention rules say of one module."""

    model_config = ConfigDict(frozen=True)

    compiles: bool
    diagnostics: tuple[Diagnostic, ...]
    rules: tuple[RuleViolation, ...]
    symbols: tuple[str, ...]
    """Exported library symbols the module calls or passes on, as `package:name`, sorted."""

    @property
    def complies(self) -> bool:
        """True when the module compiles and breaks no rule whose severity is error."""
        return self.compiles and all(rule.severity != "error" for rule in self.rules)


class ValidatedPattern(BaseModel):
    """One row of `validated_patterns`; rejected rows stay, with their reasons."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    """With the repaired or edited text as its implementation, where there is one."""
    verdict: Verdict
    """On `pattern.implementation`."""
    status: Status
    reasons: tuple[str, ...]
    """Why a row is rejected or in review, one short sentence each: `TS2304: …`, `duplicate of …`"""
    duplicate_cluster: str
    """Smallest pattern id among near-duplicates (Jaccard >= 0.7 on 5-token shingles)."""
    original: str | None = None
    """The extracted text, where a repair or a person replaced it."""
    repairs: tuple[str, ...] = ()
    """What was changed, one short sentence each, opening with the kind: `import added: …`."""
    stale: bool = False
    """Whether a document's block uses what the library no longer has."""
    recognition: Recognition | None = None
    """What recognition says, where it was asked."""
    decision: ReviewDecision | None = None
    """The person's decision that this row follows."""
    library_tests: LibraryTestsMark | None = None
    """Where the row implements a function of the library: whether the library's own tests notice a
    wrong body of it (`untested`: none reaches it). None for other rows, or when not measured."""

    @property
    def usable(self) -> bool:
        """True when the row may be learned from, searched and shown."""
        return self.status in ("kept", "repaired")
