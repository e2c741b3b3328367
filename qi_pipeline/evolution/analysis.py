"""What a history says: most used, emerging, declining, gaps, rules, and what to do.

Flows in: an `Evolution`. Flows out: an `EvolutionReport`. Windows, uses and shares are defined in
`series`; the trends are:

- *emerging*: the last commit has at least `MIN_CHANGE` more uses than the window before had on
  average, and the recent share is at least `MIN_RATIO` times the share before. *declining* is the
  mirror image. *new*: first exported in the recent window. *removed*: no longer exported. All else
  is *steady*.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from qi_pipeline.evolution.advice import recommend
from qi_pipeline.evolution.lineage import Step
from qi_pipeline.evolution.records import SOURCE_KINDS, Evolution, State
from qi_pipeline.evolution.report import (
    EvolutionReport,
    Gaps,
    Moment,
    RenameEvent,
    RuleHistory,
    SymbolHistory,
    Trend,
    TypeHistory,
    UnknownName,
)
from qi_pipeline.evolution.series import (
    CODE,
    OUTSIDE_TESTS,
    SHOWN_IN,
    Series,
    judged_of,
    series_of,
    uses_in,
    violations_in,
)
from qi_pipeline.extraction.exports import DeclarationKind
from qi_pipeline.library.profile import Profile

MIN_CHANGE: Final = 5
"""Uses gained or lost; fewer are noise in a library of a hundred symbols."""
MIN_RATIO: Final = 1.25
FILES_SHOWN: Final = 5


def analyse(evolution: Evolution, profile: Profile) -> EvolutionReport:
    """Return the statistics, gaps and recommendations of an evolution."""
    series = series_of(evolution, profile)
    found = _Analysis(series)
    symbols = found.symbols()
    rules = found.rules()
    gaps = found.gaps(symbols)
    first, last = evolution.states[0], evolution.states[-1]
    judged = series.last_judged
    return EvolutionReport(
        library=profile.name,
        first=moment(first),
        last=moment(last),
        commits=len(evolution.states),
        changed_commits=len(series.changed),
        window=series.window,
        shallow=evolution.shallow,
        unjudged={s.commit: s.usage.unjudged for s in evolution.states if s.usage.unjudged},
        judged_before=len(judged_of(series.before)),
        judged_recent=len(judged_of(series.recent)),
        last_judged=None if judged is None else moment(judged.state),
        unreadable=sum(file.unreadable for file in last.usage.files.values()),
        symbols=symbols,
        types=found.types(),
        rules=rules,
        renames=tuple(
            RenameEvent(moment=moment(state), rename=rename)
            for state in evolution.states
            for rename in state.renames
        ),
        gaps=gaps,
        recommendations=recommend(symbols, rules, gaps, profile.conventions.throwing_declarations),
    )


def moment(state: State) -> Moment:
    """Return the commit of a state as the report names it."""
    return Moment(commit=state.commit, committed_at=state.committed_at, subject=state.subject)


@dataclass(frozen=True)
class _Analysis:
    series: Series

    def symbols(self) -> tuple[SymbolHistory, ...]:
        """Return every symbol ever exported, most used outside tests at the last commit first."""
        kinds: dict[str, DeclarationKind] = {}
        for step in self.series.steps:
            kinds.update(step.exports)
        found = [self._symbol(symbol, kind) for symbol, kind in kinds.items()]
        return tuple(sorted(found, key=lambda item: (-_outside_tests(item.uses), item.symbol)))

    def _symbol(self, symbol: str, kind: DeclarationKind) -> SymbolHistory:
        exporting = [step for step in self.series.steps if symbol in step.exports]
        using = [step for step in self.series.steps if uses_in(step, symbol, OUTSIDE_TESTS)]
        share_before, share_recent = (
            self.series.share(self.series.before, symbol),
            self.series.share(self.series.recent, symbol),
        )
        uses_before = self.series.mean(
            self.series.before, lambda s: uses_in(s, symbol, OUTSIDE_TESTS)
        )
        removed = symbol not in self.series.last.exports
        change = uses_in(self.series.last, symbol, OUTSIDE_TESTS) - uses_before
        trend = _trend(change, share_before, share_recent)
        if removed:
            trend = "removed"
        elif len(exporting) < len(self.series.steps) and self._came_recently(exporting[0]):
            trend = "new"
        return SymbolHistory(
            symbol=symbol,
            kind=kind,
            pattern_type=self.series.profile.type_of_symbol.get(symbol),
            former_names=tuple(
                dict.fromkeys(
                    former
                    for step in self.series.steps
                    for former, present in step.names.items()
                    if present == symbol and former in step.state.usage.exports
                )
            ),
            exported_since=moment(exporting[0].state),
            exported_until=self._after(exporting[-1]) if removed else None,
            first_used=moment(using[0].state) if using else None,
            last_used=moment(using[-1].state) if using else None,
            calls={kind: n for kind in SOURCE_KINDS if (n := self.series.last.calls[symbol, kind])},
            uses={kind: n for kind in SOURCE_KINDS if (n := self.series.last.uses[symbol, kind])},
            uses_before=round(uses_before, 2),
            uses_recent=round(
                self.series.mean(self.series.recent, lambda s: uses_in(s, symbol, OUTSIDE_TESTS)), 2
            ),
            share_before=round(share_before, 5),
            share_recent=round(share_recent, 5),
            trend=trend,
        )

    def _came_recently(self, first: Step) -> bool:
        in_window = {step.state.commit for step in self.series.recent}
        return first.state.commit in in_window and len(self.series.changed) > self.series.window

    def _after(self, step: Step) -> Moment:
        position = next(n for n, other in enumerate(self.series.steps) if other is step)
        return moment(self.series.steps[position + 1].state)

    def types(self) -> tuple[TypeHistory, ...]:
        """Return the pattern types of the profile, most calls first."""
        by_commit = {
            step.state.commit: self.series.calls_by_type(step) for step in self.series.changed
        }

        def share(window: Sequence[Step], name: str) -> float:
            found = [by_commit[step.state.commit] for step in window]
            return fmean(counts[name] / max(1, counts.total()) for counts in found)

        now = self.series.calls_by_type(self.series.last)
        rows = [
            TypeHistory(
                pattern_type=name,
                calls=now[name],
                share_before=round(share(self.series.before, name), 5),
                share_recent=round(share(self.series.recent, name), 5),
            )
            for name in self.series.profile.types
        ]
        return tuple(sorted(rows, key=lambda row: (-row.calls, row.pattern_type)))

    def rules(self) -> tuple[RuleHistory, ...]:
        """Return the rules that were ever broken, most violations at present first."""
        now = self.series.last_judged
        if now is None:
            return ()
        known = {rule for step in self.series.judged for rule, _ in step.violations}
        found = [self._rule(rule, now) for rule in sorted(known)]
        return tuple(sorted(found, key=lambda item: (-item.total, item.rule)))

    def _rule(self, rule: str, now: Step) -> RuleHistory:
        def outside(step: Step) -> int:
            return violations_in(step, rule, OUTSIDE_TESTS)

        def everywhere(step: Step) -> int:
            return violations_in(step, rule, SOURCE_KINDS)

        def mean(window: Sequence[Step]) -> float | None:
            judged = judged_of(window)
            return round(self.series.mean(judged, outside), 2) if judged else None

        peak = max(self.series.judged, key=everywhere)
        files = Counter(
            {
                path: file.violations[rule]
                for path, file in now.state.usage.files.items()
                if file.kind in OUTSIDE_TESTS and rule in file.violations
            }
        )
        return RuleHistory(
            rule=rule,
            summary=self.series.profile.rules[rule].summary,
            violations={kind: n for kind in SOURCE_KINDS if (n := now.violations[rule, kind])},
            peak=everywhere(peak),
            peak_at=moment(peak.state),
            before=mean(self.series.before),
            recent=mean(self.series.recent),
            files=dict(files.most_common(FILES_SHOWN)),
        )

    def gaps(self, symbols: Sequence[SymbolHistory]) -> Gaps:
        """Return where the library and what shows and tests it disagree."""
        exported = [
            item for item in symbols if self.series.is_showable(self.series.last, item.symbol)
        ]
        uncalled = [item.symbol for item in exported if not _any(item.uses, CODE)]
        return Gaps(
            uncalled=tuple(sorted(uncalled)),
            never_shown=tuple(
                item.symbol
                for item in exported
                if item.symbol not in uncalled and not _any(item.uses, SHOWN_IN)
            ),
            untested=tuple(
                item.symbol
                for item in exported
                if _any(item.uses, (*SHOWN_IN, "api_doc"))
                and not item.uses.get("test")
                and item.symbol not in uncalled
            ),
            unknown=self._unknown(),
        )

    def _unknown(self) -> tuple[UnknownName, ...]:
        present = self.series.last.state.usage.exports
        ever = {symbol for step in self.series.steps for symbol in step.state.usage.exports}
        removed = {symbol.rpartition(":")[2]: symbol for symbol in sorted(ever - present.keys())}
        files: dict[str, set[str]] = {}
        for path, file in self.series.last.state.usage.files.items():
            for name in file.unknown:
                # A document's call of a name that nothing declares says something only when the
                # library once exported that name.
                symbol = name if ":" in name else removed.get(name)
                if symbol is not None and symbol not in present:
                    files.setdefault(symbol, set()).add(path)
        return tuple(
            UnknownName(
                symbol=symbol,
                removed_in=self._removal(symbol) if symbol in ever else None,
                renamed_to=self._present_name(symbol),
                files=tuple(sorted(found)),
            )
            for symbol, found in sorted(files.items())
        )

    def _removal(self, symbol: str) -> Moment:
        exporting = [step for step in self.series.steps if symbol in step.state.usage.exports]
        return self._after(exporting[-1])

    def _present_name(self, symbol: str) -> str | None:
        renamed = next(
            (step.names[symbol] for step in self.series.steps if symbol in step.names), None
        )
        return renamed if renamed in self.series.last.exports else None


def _trend(change: float, before: float, recent: float) -> Trend:
    if change >= MIN_CHANGE and recent >= MIN_RATIO * before:
        return "emerging"
    if change <= -MIN_CHANGE and recent * MIN_RATIO <= before:
        return "declining"
    return "steady"


def _any(uses: Mapping[str, int], kinds: Iterable[str]) -> bool:
    return any(uses.get(kind) for kind in kinds)


def _outside_tests(uses: Mapping[str, int]) -> int:
    return sum(count for kind, count in uses.items() if kind in OUTSIDE_TESTS)
