"""An evolution for a terminal.

Flows in: an `EvolutionReport`. Flows out: lines of text.
"""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from qi_pipeline.evolution.report import EvolutionReport, RenameEvent, SymbolHistory

_DEFAULT_TOP = 10
_WIDTH = 98
_SUMMARY_WIDTH = 38
_KINDS = ("implementation", "app", "tutorial", "notebook", "api_doc", "test")
_HEADINGS = ("library", "apps", "tutorials", "notebooks", "API docs", "tests")


def render_evolution(report: EvolutionReport, top: int = _DEFAULT_TOP) -> str:
    """Return the report as text, with at most `top` lines in each list."""
    shown = [item for item in report.symbols if item.kind != "type" and item.trend != "removed"]
    parts = [
        _heading(report),
        _section("Most used, types left out", _symbol_table(shown[:top])),
        _section("Pattern types (calls outside tests)", _type_table(report)),
        *(
            _section(title, _movements([s for s in report.symbols if s.trend == trend], top))
            for title, trend in (
                ("New", "new"),
                ("Emerging", "emerging"),
                ("Declining", "declining"),
            )
        ),
        _section("Renamed", _capped([_rename_line(event) for event in report.renames], top)),
        _section("Rule violations", _rule_table(report)),
        _section("Gaps", _gap_lines(report)),
        _section("What to do", _advice(report, top)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(report: EvolutionReport) -> str:
    first, last = report.first, report.last
    span = (
        f"{first.commit[:7]} ({first.committed_at[:10]}) to "
        f"{last.commit[:7]} ({last.committed_at[:10]})"
    )
    windows = f"recent means the last {report.window} of those, before means as many before them"
    lines = [
        f"{report.library}: {report.commits} commits from {span}",
        f"{report.changed_commits} of them change relevant files; {windows}",
    ]
    if report.shallow:
        lines.append("the clone is shallow: its history begins later than the repository's")
    if report.unjudged:
        lines.extend(_unjudged(report))
    if report.unreadable:
        lines.append(
            f"{report.unreadable} files or code blocks have syntax errors and were skipped"
        )
    return "\n".join(lines)


def _unjudged(report: EvolutionReport) -> list[str]:
    """Say what the rules could not judge and what the report therefore leaves out."""
    count = len(report.unjudged)
    lines = [f"the rules could not be judged at {count} commits; no figure on rules counts these"]
    if report.last_judged is not None and report.last.commit in report.unjudged:
        lines.append(
            f"the violations are those of {report.last_judged.commit[:7]} "
            f"({report.last_judged.committed_at[:10]}), the last commit that could be judged"
        )
    windows = {"before": report.judged_before, "recent": report.judged_recent}
    empty = " or ".join(name for name, judged in windows.items() if not judged)
    if empty:
        lines.append(f"no advice on rules: no commit of the window {empty} could be judged")
    return lines


def _mean(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f}"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _capped(lines: Sequence[str], top: int) -> list[str]:
    more = [f"… and {len(lines) - top} more"] if len(lines) > top else []
    return [*lines[:top], *more]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]


def _symbol_table(symbols: Iterable[SymbolHistory]) -> list[str]:
    rows = [["symbol", *_HEADINGS, "share", "trend"]]
    rows.extend(
        [
            item.symbol,
            *(str(item.uses.get(kind, 0)) for kind in _KINDS),
            f"{item.share_recent:.1%}",
            item.trend,
        ]
        for item in symbols
    )
    return _table(rows)


def _type_table(report: EvolutionReport) -> list[str]:
    rows = [["type", "calls", "share before", "recent"]]
    rows.extend(
        [t.pattern_type, str(t.calls), f"{t.share_before:.1%}", f"{t.share_recent:.1%}"]
        for t in report.types
    )
    return _table(rows)


def _movements(symbols: Sequence[SymbolHistory], top: int) -> list[str]:
    moved = sorted(symbols, key=lambda s: (-abs(s.uses_recent - s.uses_before), s.symbol))
    return _capped(
        [
            f"{s.symbol}: {s.uses_before:.0f} to "
            f"{sum(n for kind, n in s.uses.items() if kind != 'test')} uses, "
            f"{s.share_before:.1%} to {s.share_recent:.1%} of all"
            for s in moved
        ],
        top,
    )


def _rename_line(event: RenameEvent) -> str:
    return (
        f"{event.rename.before} is now {event.rename.after.rpartition(':')[2]} "
        f"({event.moment.commit[:7]}, {event.moment.committed_at[:10]}, "
        f"similarity {event.rename.similarity:.2f})"
    )


def _rule_table(report: EvolutionReport) -> list[str]:
    if not report.rules:
        return []
    rows = [["rule", *_HEADINGS, "before", "recent", "peak", "at"]]
    rows.extend(
        [
            textwrap.shorten(f"{item.rule} {item.summary}", _SUMMARY_WIDTH, placeholder=" …"),
            *(str(item.violations.get(kind, 0)) for kind in _KINDS),
            _mean(item.before),
            _mean(item.recent),
            str(item.peak),
            item.peak_at.commit[:7],
        ]
        for item in report.rules
    )
    return _table(rows)


def _gap_lines(report: EvolutionReport) -> list[str]:
    gaps = report.gaps
    counts = (
        (len(gaps.uncalled), "exported and used by no code"),
        (len(gaps.never_shown), "used in code and never shown in an app, tutorial or notebook"),
        (len(gaps.untested), "shown and never tested"),
        (len(gaps.unknown), "names taken from the library that it does not export"),
    )
    return [f"{count:4d} {what}" for count, what in counts]


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _advice(report: EvolutionReport, top: int) -> list[str]:
    """Return the first recommendations of every action; no long list hides the others."""
    lines: list[str] = []
    for action, items in groupby(report.recommendations, key=lambda item: item.action):
        found = [item.text for item in items]
        for text in found[:top]:
            lines.extend(_wrapped(f"{action}: {text}"))
        if len(found) > top:
            lines.append(f"{action}: … and {len(found) - top} more")
    return lines
