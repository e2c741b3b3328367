"""The verdict on one TypeScript module; it filters training data and scores answers alike."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qi_pipeline.extraction.pattern import Pattern


class Diagnostic(BaseModel):
    """One compiler message; `line` and `column` are 1-based."""

    model_config = ConfigDict(frozen=True)

    code: int
    line: int
    column: int
    message: str


Severity = Literal["error", "warning"]
Status = Literal["kept", "repaired", "review", "rejected"]


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
    """Exported library symbols the module calls, as `package:name`, sorted."""

    @property
    def complies(self) -> bool:
        """True when the module compiles and breaks no rule whose severity is error."""
        return self.compiles and all(rule.severity != "error" for rule in self.rules)


class ValidatedPattern(BaseModel):
    """One row of `validated_patterns`; rejected rows stay, with their reasons."""

    model_config = ConfigDict(frozen=True)

    pattern: Pattern
    verdict: Verdict
    status: Status
    reasons: tuple[str, ...]
    """Why a row is rejected, one short sentence each: `TS2304`, `R2`, `duplicate of <id>`, …"""
    duplicate_cluster: str
    """Smallest pattern id among near-duplicates (Jaccard >= 0.7 on 5-token shingles)."""

    @property
    def usable(self) -> bool:
        """True when the row may be learned from, searched and shown."""
        return self.status in ("kept", "repaired")
