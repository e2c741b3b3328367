"""What a maintainer reads of an evolution; frozen records without computation.

Flows in: figures of `analysis`. Flows out: `EvolutionReport`, the JSON of the asset. How the
figures are found, and their formulas, belong to `analysis`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evolution.records import Rename
from qi_pipeline.extraction.exports import DeclarationKind

Trend = Literal["new", "emerging", "steady", "declining", "removed"]
Action = Literal["update", "fix", "test", "show", "decide", "explain"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Moment(_Frozen):
    """One commit."""

    commit: str
    """40 hex digits."""
    committed_at: str
    """ISO 8601 with offset."""
    subject: str


class RenameEvent(_Frozen):
    """A rename and the commit that made it."""

    moment: Moment
    rename: Rename


class SymbolHistory(_Frozen):
    """One exported symbol over the whole history, under its present name."""

    symbol: str
    """`package:name`."""
    kind: DeclarationKind
    pattern_type: str | None
    former_names: tuple[str, ...]
    exported_since: Moment
    exported_until: Moment | None
    """The commit that removed it; None while it is exported."""
    first_used: Moment | None
    """First commit with a use outside the library's own tests."""
    last_used: Moment | None
    """Last commit with such a use; None when there never was one."""
    calls: dict[str, int]
    """Source kind to call sites at the last commit."""
    uses: dict[str, int]
    """Source kind to calls and other mentions at the last commit."""
    uses_before: float
    """Mean uses outside tests over the window before the recent one."""
    uses_recent: float
    """Mean uses outside tests over the recent window."""
    share_before: float
    """Mean share of all uses outside tests, 0..1."""
    share_recent: float
    trend: Trend


class TypeHistory(_Frozen):
    """The calls that are evidence of one pattern type, outside tests."""

    pattern_type: str
    calls: int
    """At the last commit."""
    share_before: float
    share_recent: float


class RuleHistory(_Frozen):
    """The violations of one rule."""

    rule: str
    summary: str
    violations: dict[str, int]
    """Source kind to violations at the last judged commit."""
    peak: int
    peak_at: Moment
    before: float | None
    """Mean violations outside tests over the judged commits of the window before the recent one;
    None when none of them was judged."""
    recent: float | None
    files: dict[str, int]
    """The files outside tests with most violations at the last judged commit."""

    @property
    def total(self) -> int:
        """Violations at the last judged commit, tests included."""
        return sum(self.violations.values())


class UnknownName(_Frozen):
    """A name that files take from the library and that it does not export (any more)."""

    symbol: str
    removed_in: Moment | None
    """None when it was never exported."""
    renamed_to: str | None
    files: tuple[str, ...]


class Gaps(_Frozen):
    """Where the library and what shows and tests it disagree, at the last commit."""

    uncalled: tuple[str, ...]
    """Exported, and used by no code: neither inside the library nor in apps or tests."""
    never_shown: tuple[str, ...]
    """Exported and used somewhere in code, never in an app, tutorial or notebook."""
    untested: tuple[str, ...]
    """Shown in an app, tutorial, notebook or API document, never used by a test."""
    unknown: tuple[UnknownName, ...]
    """Taken from the library by some file, and not exported."""


class Recommendation(_Frozen):
    """One thing to do."""

    action: Action
    subject: str
    """The symbol, rule or name it is about."""
    text: str
    """One sentence with its evidence and what to do."""
    evidence: dict[str, int | float | str]


class EvolutionReport(_Frozen):
    """How the use of a library changed over its history."""

    library: str
    first: Moment
    last: Moment
    commits: int
    """On the main line."""
    changed_commits: int
    """Those that change a relevant file while the library exists."""
    window: int
    """Changed commits in the recent window, and in the one before it."""
    shallow: bool
    """Whether the history begins later than the repository's first commit."""
    unjudged: dict[str, str]
    """Commit to why its files could not be judged by the rules; no figure on rules counts it."""
    judged_before: int
    """Commits of the window before the recent one that the rules could judge."""
    judged_recent: int
    """Commits of the recent window that they could judge; there is advice on rules only when
    neither number is 0."""
    last_judged: Moment | None
    """The commit whose violations count as the present ones; None when none was judged."""
    unreadable: int
    """Files and code blocks with syntax errors at the last commit."""
    symbols: tuple[SymbolHistory, ...]
    """Most used outside tests at the last commit first."""
    types: tuple[TypeHistory, ...]
    """Most calls first."""
    rules: tuple[RuleHistory, ...]
    """Most violations first."""
    renames: tuple[RenameEvent, ...]
    gaps: Gaps
    recommendations: tuple[Recommendation, ...]
    """Most urgent first."""
