"""The parts of an evaluation's page that need thought: figures as text, differences, charts.

Flows in: figures, texts and past evaluations. Flows out: short strings, the lines of a difference
and the points of a chart, ready for the template. What is shown where belongs to the template and
`report`; nothing is measured here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

from qi_pipeline.evaluation.records import Attempt, PastEvaluation
from qi_pipeline.evaluation.statistics import Interval, Proportion

_SMALLEST_P_SHOWN = 0.001
_CLEAR_P = 0.05
_TEXT_SHOWN = 20_000
"""Characters of one answer that a page shows; a model caught in a loop can write megabytes."""
_LINES_COMPARED = 1_000
"""Lines up to which a difference is worked out; its cost grows with their square."""
_FENCES = ("```", "~~~")
_STEPS = (5, 10, 25, 50, 100)
_CHART_WIDTH = 300.0
_CHART_HEIGHT = 120.0
_CHART_LEFT = 34.0
_CHART_RIGHT = 10.0
_CHART_MARGIN = 8.0


# ── figures as text ──────────────────────────────────────────────────────────────────────────────


def percent(rate: float) -> str:
    """Return a rate in whole percent."""
    return "unknown" if math.isnan(rate) else f"{100 * rate:.0f}%"


def rate_text(rate: Proportion) -> str:
    """Return a rate in percent, or why there is none."""
    if rate.n == 0:
        return "no tasks"
    return too_few(rate.n) if math.isnan(rate.rate) else percent(rate.rate)


def too_few(n: int) -> str:
    """Return what stands where `n` tasks are too few for a figure."""
    return f"too few ({n})"


def span(low: float, high: float) -> str:
    """Return the interval between two rates."""
    return "" if math.isnan(low) else f"{100 * low:.0f}\N{EN DASH}{100 * high:.0f}%"


def figure(value: float, digits: int = 1) -> str:
    """Return a figure with a fixed number of digits."""
    return "unknown" if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """Return a difference with its sign, a true minus included."""
    if math.isnan(value):
        return "unknown"
    text = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return text[1:] if float(f"{value:.1f}") == 0 else text


def p_value(value: float) -> str:
    """Return a p-value as it is usually written."""
    if math.isnan(value):
        return "unknown"
    return "<\N{NO-BREAK SPACE}0.001" if value < _SMALLEST_P_SHOWN else f"{value:.3f}"


def words(identifier: str | None) -> str:
    """Return an identifier as words; a task without pattern type is general TypeScript."""
    return "general TypeScript" if identifier is None else identifier.replace("_", " ")


def position(value: float, low: float, high: float) -> str:
    """Return where a value lies on a track from `low` to `high`, as a CSS percentage."""
    if math.isnan(value) or high <= low:
        return "0%"
    return f"{min(max(100 * (value - low) / (high - low), 0), 100):.2f}%"


def shortened(text: str, length: int) -> str:
    """Return the text on one line and no longer than `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def difference_word(
    difference: Interval, p_values: Iterable[float] = ()
) -> Literal["better", "worse", "not clear", "unknown"]:
    """Say which way a difference goes, if everything known of it agrees.

    It is clear when the whole interval lies on one side of zero and every p-value that is known is
    below 0.05.
    """
    if math.isnan(difference.low) or math.isnan(difference.high):
        return "unknown"
    if any(p >= _CLEAR_P for p in p_values) or difference.low <= 0 <= difference.high:
        return "not clear"
    return "better" if difference.low > 0 else "worse"


def scaled(interval: Interval, factor: float) -> Interval:
    """Return the interval in another unit."""
    return Interval(
        value=factor * interval.value, low=factor * interval.low, high=factor * interval.high
    )


def symmetric_bound(intervals: Iterable[Interval]) -> float:
    """Return a round figure that all intervals, in points, lie within; 100 is the most."""
    ends = [abs(end) for interval in intervals for end in (interval.low, interval.high)]
    widest = max((end for end in ends if not math.isnan(end)), default=0.0)
    return float(next((step for step in _STEPS if step >= widest), _STEPS[-1]))


# ── texts ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class DiffLine:
    """One line of a difference."""

    kind: Literal["both", "answer", "reference"]
    text: str


def diff_lines(code: str, reference: str) -> tuple[DiffLine, ...]:
    """Return every line of both texts once, marked by which of them holds it.

    What is only in the reference stands before what is only in the answer. All lines but the
    reference's, in order, are the answer. Texts of more than 1,000 lines are not compared.
    """
    old, new = reference.splitlines(), code.splitlines()
    if max(len(old), len(new)) > _LINES_COMPARED:
        return tuple(DiffLine("both", line) for line in new)
    lines: list[DiffLine] = []
    # Without `autojunk=False` difflib ignores lines that occur often, such as `}`.
    for tag, i1, i2, j1, j2 in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines.extend(DiffLine("both", line) for line in new[j1:j2])
        else:
            lines.extend(DiffLine("reference", line) for line in old[i1:i2])
            lines.extend(DiffLine("answer", line) for line in new[j1:j2])
    return tuple(lines)


def cut(text: str) -> tuple[str, int]:
    """Return as much of a text as a page shows, and how many characters are left out."""
    return text[:_TEXT_SHOWN], max(len(text) - _TEXT_SHOWN, 0)


@dataclass(frozen=True)
class AroundCode:
    """What an answer says besides its code, as written."""

    before: str
    after: str

    @property
    def says_something(self) -> bool:
        """True when there is more than the fence and white space."""
        return any(
            line.strip() and not line.lstrip().startswith(_FENCES)
            for line in (*self.before.splitlines(), *self.after.splitlines())
        )


def around_code(answer: str, code: str) -> AroundCode | None:
    """Return what the answer says before and after its code.

    None where the code does not stand in the answer as it is, because imports were completed or
    several blocks were joined.
    """
    written = code.strip("\n")
    before, found, after = answer.partition(written) if written else (answer, True, "")
    return AroundCode(before, after) if found else None


@dataclass(frozen=True)
class AttemptView:
    """One attempt of a verified arm, for the page."""

    title: str
    attempt: Attempt
    delivered: bool
    same_as: str | None
    """Title of an earlier attempt with the same code."""


def attempt_views(attempts: Sequence[Attempt], delivered: str) -> tuple[AttemptView, ...]:
    """Name the attempts; mark the first that holds the delivered code, and repetitions."""
    titles: dict[str, str] = {}
    views: list[AttemptView] = []
    candidates = repairs = 0
    for attempt in attempts:
        if attempt.turn == 0:
            candidates += 1
            title = f"candidate {candidates}"
        else:
            repairs += 1
            title = f"repair {repairs}"
        same_as = titles.get(attempt.code)
        is_delivered = same_as is None and attempt.code == delivered
        views.append(AttemptView(title, attempt, is_delivered, same_as))
        titles.setdefault(attempt.code, title)
    return tuple(views)


# ── the trend over past evaluations ──────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class TrendPoint:
    """One evaluation of an arm, with where it lies in the chart."""

    evaluation: PastEvaluation
    x: float
    y: float
    low: float
    """Where the interval's lower end lies; NaN, as all of y, low and high, without a rate."""
    high: float

    @property
    def known(self) -> bool:
        """True when there is a rate to show."""
        return not math.isnan(self.y)


@dataclass(frozen=True)
class Trend:
    """How often one arm passes, from evaluation to evaluation."""

    arm: str
    points: tuple[TrendPoint, ...]
    first: str
    """Time of the first evaluation on the axis, of whatever arm."""
    last: str

    @property
    def segments(self) -> tuple[tuple[TrendPoint, TrendPoint], ...]:
        """Neighbours that both have a rate."""
        return tuple((a, b) for a, b in pairwise(self.points) if a.known and b.known)


def trends(past: Iterable[PastEvaluation], current: Sequence[PastEvaluation]) -> tuple[Trend, ...]:
    """Return one trend per arm, those of the current evaluation first.

    All share one axis: evaluations in the order of their time, evenly spaced, so that points above
    each other were measured together.
    """
    rows = sorted((*past, *current), key=lambda row: datetime.fromisoformat(row.measured_at))
    times = list(dict.fromkeys(datetime.fromisoformat(row.measured_at) for row in rows))
    column = {time: index for index, time in enumerate(times)}
    arms = dict.fromkeys(row.arm for row in (*current, *rows))
    return tuple(
        Trend(
            arm,
            tuple(
                _trend_point(row, column[datetime.fromisoformat(row.measured_at)], len(times))
                for row in rows
                if row.arm == arm
            ),
            rows[0].measured_at,
            rows[-1].measured_at,
        )
        for arm in arms
    )


def _trend_point(row: PastEvaluation, column: int, columns: int) -> TrendPoint:
    width = _CHART_WIDTH - _CHART_LEFT - _CHART_RIGHT
    return TrendPoint(
        evaluation=row,
        x=_CHART_LEFT + width * (column / (columns - 1) if columns > 1 else 0.5),
        y=chart_y(row.passes.rate),
        low=chart_y(row.passes.low),
        high=chart_y(row.passes.high),
    )


def chart_y(rate: float) -> float:
    """Return the height of a rate in the chart of a trend, in the chart's units from its top."""
    return _CHART_MARGIN + (1 - rate) * (_CHART_HEIGHT - 2 * _CHART_MARGIN)
