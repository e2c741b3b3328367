"""The history in four panels.

Flows in: a `Series`. Flows out: a PNG. Commits stand at equal distances, in order: by date a
busy week would hide what happened in it.
"""

import io
from collections.abc import Sequence
from itertools import pairwise
from math import isnan, nan
from typing import TYPE_CHECKING, Final

from qi_pipeline.evolution.lineage import Step
from qi_pipeline.evolution.series import (
    CODE,
    OUTSIDE_TESTS,
    SHOWN_IN,
    Series,
    uses_in,
    violations_in,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOP_SYMBOLS: Final = 8
_TICKS: Final = 8
_JUMPS_NAMED: Final = 3
# Okabe & Ito's palette, which people with colour-blindness can tell apart, and two greys.
_COLOURS: Final = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B", "#1B1B1B",
    "#B8860B", "#8B5FBF",
)  # fmt: skip


def plot_evolution(series: Series) -> bytes:
    """Return a PNG of pattern types, most used symbols, rule violations and coverage over time."""
    # Not pyplot: it keeps figures alive and looks for a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=(15, 9.5), dpi=100, layout="constrained")
    axes = figure.subplots(2, 2)
    _plot_types(axes[0][0], series)
    _plot_symbols(axes[0][1], series)
    _plot_rules(axes[1][0], series)
    _plot_coverage(axes[1][1], series)
    for panel in axes.flat:
        _finish(panel, series.changed)
    first, last = series.changed[0].state, series.changed[-1].state
    figure.suptitle(
        f"{series.profile.name}: {len(series.changed)} commits that change relevant files, "
        f"{first.committed_at[:10]} to {last.committed_at[:10]}"
    )
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _plot_types(axes: "Axes", series: Series) -> None:
    counts = [series.calls_by_type(step) for step in series.changed]
    names = sorted(series.profile.types, key=lambda name: -counts[-1][name])
    names = [name for name in names if any(count[name] for count in counts)]
    axes.stackplot(
        range(len(counts)),
        [[count[name] for count in counts] for name in names],
        labels=[name.replace("_", " ") for name in names],
        colors=_COLOURS,
        alpha=0.85,
        step="post",
    )
    _name_jumps(axes, series, [count.total() for count in counts])
    axes.legend(loc="upper left", fontsize=8, frameon=False, reverse=True)
    axes.set_title("Calls by pattern type, outside tests")


def _name_jumps(axes: "Axes", series: Series, totals: Sequence[int]) -> None:
    """Write beside the largest steps which commit made them."""
    jumps = [after - before for before, after in pairwise(totals)]
    largest = sorted(range(len(jumps)), key=lambda place: -abs(jumps[place]))[:_JUMPS_NAMED]
    for place in largest:
        if jumps[place]:
            near_left = place < len(jumps) / 6
            axes.annotate(
                f"{series.changed[place + 1].state.commit[:7]} {jumps[place]:+d}",
                xy=(place + 1, max(totals[place : place + 2])),
                xytext=(0, 2) if near_left else (-3, 2),
                textcoords="offset points",
                ha="left" if near_left else "right",
                fontsize=8,
            )


def _plot_symbols(axes: "Axes", series: Series) -> None:
    used = {
        symbol: uses_in(series.last, symbol, OUTSIDE_TESTS)
        for symbol in series.last.exports
        if series.is_showable(series.last, symbol)
    }
    top = sorted(used, key=lambda symbol: (-used[symbol], symbol))[:_TOP_SYMBOLS]
    lines = [
        (symbol.rpartition(":")[2], [uses_in(s, symbol, OUTSIDE_TESTS) for s in series.changed])
        for symbol in top
    ]
    _lines(axes, lines)
    axes.set_title("Most used functions and classes, uses outside tests")


def _plot_rules(axes: "Axes", series: Series) -> None:
    _lines(axes, rule_lines(series))
    gaps = "" if len(series.judged) == len(series.changed) else "; gaps were not judged"
    axes.set_title(f"Rule violations outside tests{gaps}")


def rule_lines(series: Series) -> list[tuple[str, list[float]]]:
    """Return rule and violations outside tests per changed commit, NaN where none was judged."""
    judged = {step.state.commit for step in series.judged}
    rules = {rule for step in series.judged for rule, _ in step.violations}
    lines = [
        (
            rule,
            [
                violations_in(step, rule, OUTSIDE_TESTS) if step.state.commit in judged else nan
                for step in series.changed
            ],
        )
        for rule in sorted(rules, key=lambda rule: int(rule[1:]))
    ]
    return [(rule, values) for rule, values in lines if any(value > 0 for value in values)]


def _plot_coverage(axes: "Axes", series: Series) -> None:
    lines: list[tuple[str, list[int]]] = [
        ("exported", []), ("tested", []), ("shown", []), ("used by no code", []),
    ]  # fmt: skip
    for step in series.changed:
        symbols = [symbol for symbol in step.exports if series.is_showable(step, symbol)]
        measured = (
            len(symbols),
            sum(1 for symbol in symbols if uses_in(step, symbol, ["test"])),
            sum(1 for symbol in symbols if uses_in(step, symbol, SHOWN_IN)),
            sum(1 for symbol in symbols if not uses_in(step, symbol, CODE)),
        )
        for (_, values), value in zip(lines, measured, strict=True):
            values.append(value)
    _lines(axes, lines)
    axes.set_title("Exported functions and classes; shown means in an app, tutorial or notebook")


def _lines(axes: "Axes", lines: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Draw lines and write each one's name at its end, moved apart where they would touch.

    A line has a gap where it is NaN, but is never all gap, and all lines share their gaps.
    """
    for (_, values), colour in zip(lines, _COLOURS, strict=False):
        axes.plot(values, color=colour, linewidth=1.8, drawstyle="steps-post")
    top = max((max(_known(values).values()) for _, values in lines), default=1.0)
    gap = top / 22
    place = -gap
    ends = sorted(
        (
            (value, name, colour, min(end + 1, len(values) - 1))
            for (name, values), colour in zip(lines, _COLOURS, strict=False)
            for end, value in list(_known(values).items())[-1:]
        ),
    )
    for value, name, colour, end in ends:
        place = max(value, place + gap)
        axes.annotate(
            f"{name} {value:.0f}",
            xy=(end, value),
            xytext=(end + 0.6, place),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )


def _known(values: Sequence[float]) -> dict[int, float]:
    return {place: value for place, value in enumerate(values) if not isnan(value)}


def _finish(axes: "Axes", steps: Sequence[Step]) -> None:
    last = len(steps) - 1
    ticks = sorted({round(last * part / (_TICKS - 1)) for part in range(_TICKS)})
    axes.set_xticks(
        ticks,
        [
            f"{steps[tick].state.commit[:7]}\n{steps[tick].state.committed_at[:10]}"
            for tick in ticks
        ],
        fontsize=8,
    )
    axes.set_xlim(0, max(1, last))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
