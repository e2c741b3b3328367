"""The states of a history as numbers over time, under the symbols' present names.

Flows in: an `Evolution` and a profile. Flows out: counts per commit, and means and shares over the
two windows that trends compare. What follows from them belongs to `analysis`.

- A *changed commit* is a commit of the main line that changes a relevant file while the library
  exists. The *recent window* is the last quarter of them, at least three; the window *before* it
  has as many, or what is left.
- A *use* of a symbol is a call or any other mention (a type, a function passed on). Uses in tests
  say that something is tested, not that it is wanted, so shares and trends leave them out. A tree
  is a stock, not a flow: a window's figure is the mean over its commits.
- Commits that the rules could not judge say nothing about rules: a window's figure for a rule is
  the mean over its judged commits, and there is none where no commit of the window was judged.
- *share* = uses of the symbol / uses of all symbols, per commit, then the mean over the window.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Final

from qi_pipeline.evolution.lineage import Step, trace
from qi_pipeline.evolution.records import SOURCE_KINDS, Evolution
from qi_pipeline.library.profile import Profile

RECENT_PART: Final = 4
"""The recent window is one part of so many."""
MIN_WINDOW: Final = 3
"""Changed commits."""
SHOWN_IN: Final = ("app", "tutorial", "notebook")
"""Source kinds that show a symbol to its users."""
CODE: Final = ("implementation", "app", "test")
"""Source kinds that are compiled code."""
OUTSIDE_TESTS: Final = tuple(kind for kind in SOURCE_KINDS if kind != "test")


def series_of(evolution: Evolution, profile: Profile) -> "Series":
    """Return the evolution as numbers over time."""
    return Series(trace(evolution.states), profile)


def uses_in(step: Step, symbol: str, kinds: Iterable[str]) -> int:
    """Return the uses of a symbol in files of some kinds."""
    return sum(step.uses[symbol, kind] for kind in kinds)


def judged_of(steps: Iterable[Step]) -> list[Step]:
    """Return the steps that the rules could judge."""
    return [step for step in steps if not step.state.usage.unjudged]


def violations_in(step: Step, rule: str, kinds: Iterable[str]) -> int:
    """Return the violations of a rule in files of some kinds."""
    return sum(step.violations[rule, kind] for kind in kinds)


@dataclass(frozen=True)
class Series:
    """The main line, oldest first."""

    steps: Sequence[Step]
    profile: Profile

    @cached_property
    def changed(self) -> list[Step]:
        """The changed commits."""
        return [step for step in self.steps if step.state.changed and step.exports]

    @property
    def last(self) -> Step:
        """The last commit."""
        return self.steps[-1]

    @cached_property
    def judged(self) -> list[Step]:
        """The changed commits that the rules could judge."""
        return judged_of(self.changed)

    @property
    def last_judged(self) -> Step | None:
        """The last commit that the rules could judge; None when there is none."""
        return next(iter(judged_of([self.last]) or self.judged[-1:]), None)

    @property
    def window(self) -> int:
        """Changed commits in the recent window."""
        return min(len(self.changed), max(MIN_WINDOW, -(-len(self.changed) // RECENT_PART)))

    @cached_property
    def recent(self) -> list[Step]:
        """The recent window."""
        return self.changed[-self.window :]

    @cached_property
    def before(self) -> list[Step]:
        """The window before; a history too short to have one is compared with its first state."""
        return self.changed[-2 * self.window : -self.window] or self.changed[:1]

    @cached_property
    def _totals(self) -> dict[str, int]:
        """Commit to all uses outside tests."""
        return {
            step.state.commit: sum(
                count for (_, kind), count in step.uses.items() if kind in OUTSIDE_TESTS
            )
            for step in self.changed
        }

    def mean(self, window: Sequence[Step], measure: Callable[[Step], float]) -> float:
        """Return the mean of a measure over a window."""
        return fmean(measure(step) for step in window)

    def share(self, window: Sequence[Step], symbol: str) -> float:
        """Return a symbol's mean share of all uses outside tests, 0..1."""
        return self.mean(
            window,
            lambda step: (
                uses_in(step, symbol, OUTSIDE_TESTS) / max(1, self._totals[step.state.commit])
            ),
        )

    def calls_by_type(self, step: Step) -> Counter[str]:
        """Return pattern type to calls outside tests."""
        found: Counter[str] = Counter()
        for (symbol, kind), count in step.calls.items():
            pattern_type = self.profile.type_of_symbol.get(symbol)
            if pattern_type is not None and kind in OUTSIDE_TESTS:
                found[pattern_type] += count
        return found

    def is_showable(self, step: Step, symbol: str) -> bool:
        """Tell what an example can show: functions, classes, and values that the profile types."""
        kind = step.exports.get(symbol)
        return kind in ("function", "class") or (
            kind == "value" and symbol in self.profile.type_of_symbol
        )
