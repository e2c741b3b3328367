"""The files of the asset `pattern_evolution`.

Flows in: an `Evolution` and its profile. Flows out: one folder that appears whole:

- `evolution.json`: the `EvolutionReport`;
- `commits.csv`: every commit of the main line with its totals;
- `usage.csv`: symbol x source kind, for each commit that changes relevant files;
- `types.csv`, `violations.csv`: pattern type and rule, likewise;
- `trends.png`.

Tables name symbols as they are called at the last commit. Zero rows are left out of `usage.csv` and
`violations.csv`. Of a commit that the rules could not judge, `violations.csv` has no row,
`commits.csv` no number of violations, and the plot no point.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from qi_pipeline.artefacts import build_directory, write_bytes, write_text
from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.plot import plot_evolution
from qi_pipeline.evolution.records import Evolution
from qi_pipeline.evolution.report import EvolutionReport
from qi_pipeline.evolution.series import OUTSIDE_TESTS, Series, series_of
from qi_pipeline.library.profile import Profile

REPORT: Final = "evolution.json"
PLOT: Final = "trends.png"

_Row = Sequence[object]


def write_evolution(evolution: Evolution, profile: Profile, target: Path) -> Path:
    """Write the report, the tables and the plot of `evolution` to the folder `target`.

    A folder of that name that exists already is returned untouched: name it by what it holds.
    """
    return build_directory(target, lambda folder: _fill(folder, evolution, profile))


def read_report(folder: Path) -> EvolutionReport:
    """Return the report of a folder that `write_evolution` made."""
    return EvolutionReport.model_validate_json((folder / REPORT).read_bytes())


def _fill(folder: Path, evolution: Evolution, profile: Profile) -> None:
    series = series_of(evolution, profile)
    report = analyse(evolution, profile)
    write_text(folder / REPORT, report.model_dump_json(indent=2) + "\n")
    _write_table(folder / "commits.csv", _COMMIT_COLUMNS, _commit_rows(series))
    _write_table(folder / "usage.csv", _USAGE_COLUMNS, _usage_rows(series))
    _write_table(folder / "types.csv", _TYPE_COLUMNS, _type_rows(series))
    _write_table(folder / "violations.csv", _VIOLATION_COLUMNS, _violation_rows(series))
    write_bytes(folder / PLOT, plot_evolution(series))


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[_Row]) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, stream.getvalue())


_COMMIT_COLUMNS: Final = (
    "commit", "committed_at", "subject", "changed", "exports", "files", "calls", "calls_in_tests",
    "violations", "unjudged",
)  # fmt: skip


def _commit_rows(series: Series) -> Iterator[_Row]:
    for step in series.steps:
        state = step.state
        calls = {
            inside: sum(n for (_, kind), n in step.calls.items() if (kind == "test") == inside)
            for inside in (False, True)
        }
        yield (
            state.commit,
            state.committed_at,
            state.subject,
            state.changed,
            len(step.exports),
            len(state.usage.files),
            calls[False],
            calls[True],
            None if state.usage.unjudged else step.violations.total(),
            state.usage.unjudged,
        )


_USAGE_COLUMNS: Final = ("commit", "symbol", "source_kind", "calls", "other_mentions")


def _usage_rows(series: Series) -> Iterator[_Row]:
    for step in series.changed:
        for (symbol, kind), uses in sorted(step.uses.items()):
            calls = step.calls[symbol, kind]
            yield step.state.commit, symbol, kind, calls, uses - calls


_TYPE_COLUMNS: Final = ("commit", "pattern_type", "calls_outside_tests")


def _type_rows(series: Series) -> Iterator[_Row]:
    for step in series.changed:
        counts = series.calls_by_type(step)
        yield from ((step.state.commit, name, counts[name]) for name in series.profile.types)


_VIOLATION_COLUMNS: Final = ("commit", "rule", "source_kind", "violations", "outside_tests")


def _violation_rows(series: Series) -> Iterator[_Row]:
    for step in series.judged:
        for (rule, kind), count in sorted(step.violations.items()):
            yield step.state.commit, rule, kind, count, kind in OUTSIDE_TESTS
