"""What a maintainer should do next, each with the figures that say so.

Flows in: the histories and gaps that `analysis` found. Flows out: `Recommendation`s, most urgent
first: what misleads readers today, then rules that are broken more and more, then what is shown but
not tested, what is used but not shown, what fades, and what nobody uses.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from qi_pipeline.evolution.report import (
    Gaps,
    Moment,
    Recommendation,
    RuleHistory,
    SymbolHistory,
    UnknownName,
)

MIN_RISE: Final = 3
"""Violations gained before a rule is worth a word."""
_FILES_NAMED: Final = 3
_WORDS: Final = {
    "implementation": "in the library's own packages",
    "app": "in apps",
    "tutorial": "in tutorials",
    "notebook": "in notebooks",
    "api_doc": "in API documents",
    "test": "in tests",
}


def recommend(
    symbols: Sequence[SymbolHistory],
    rules: Sequence[RuleHistory],
    gaps: Gaps,
    untaught: Collection[str],
) -> tuple[Recommendation, ...]:
    """Return what to do, most urgent first; within one action, what is used most first.

    `untaught` are names that the library exports and its conventions advise against: no example is
    asked for them.
    """
    by_name = {item.symbol: item for item in symbols}
    untested = sorted(gaps.untested, key=lambda name: -_shown(by_name[name]))
    hidden = sorted(
        (name for name in gaps.never_shown if name.rpartition(":")[2] not in untaught),
        key=lambda name: -by_name[name].uses.get("implementation", 0),
    )
    uncalled = sorted(gaps.uncalled, key=lambda name: -sum(by_name[name].uses.values()))
    fading = [item for item in symbols if item.trend == "declining"]
    exported = {item.symbol for item in symbols if item.trend != "removed"}
    return (
        *(_update(item, exported) for item in gaps.unknown),
        *_fixes(rules),
        *(_test(by_name[name]) for name in untested),
        *(_show(by_name[name]) for name in hidden),
        *(_explain(item) for item in fading),
        *(_decide(by_name[name]) for name in uncalled),
    )


def _shown(item: SymbolHistory) -> int:
    return sum(item.uses.get(kind, 0) for kind in ("app", "tutorial", "notebook", "api_doc"))


def _update(item: UnknownName, exported: Collection[str]) -> Recommendation:
    package, _, name = item.symbol.rpartition(":")
    elsewhere = sorted(s for s in exported if s.endswith(f":{name}"))
    if item.renamed_to is not None:
        mend = f"write `{item.renamed_to.rpartition(':')[2]}`"
    elif elsewhere:
        mend = f"import it from {elsewhere[0].rpartition(':')[0]}"
    else:
        mend = "replace it"
    if item.removed_in is None:
        fact = f"{package} has never exported"
    else:
        fact = f"{package} no longer exports (removed in {_commit(item.removed_in)})"
    shown = ", ".join(item.files[:_FILES_NAMED])
    more = len(item.files) - _FILES_NAMED
    return Recommendation(
        action="update",
        subject=item.symbol,
        text=(
            f"{_number(len(item.files), 'file')} {'uses' if len(item.files) == 1 else 'use'} "
            f"`{name}`, which {fact}; {mend} in {shown}{f' and {more} more' if more > 0 else ''}"
        ),
        evidence={"files": len(item.files)},
    )


def _outside_tests(item: RuleHistory) -> int:
    return sum(n for kind, n in item.violations.items() if kind != "test")


def _fixes(rules: Sequence[RuleHistory]) -> Iterator[Recommendation]:
    """Yield the rules that are broken more than before, the steepest first.

    Where a window holds no judged commit, there is nothing to compare.
    """
    compared = [
        (item, item.before, _outside_tests(item))
        for item in rules
        if item.before is not None and item.recent is not None
    ]
    for item, before, outside in sorted(compared, key=lambda found: found[1] - found[2]):
        if outside - before >= MIN_RISE:
            worst = ", ".join(f"{path} ({n})" for path, n in list(item.files.items())[:2])
            yield Recommendation(
                action="fix",
                subject=item.rule,
                text=(
                    f"{item.rule} ({item.summary}) went from {before:.0f} to {outside} "
                    f"violations outside tests; most are in {worst}"
                ),
                evidence={"before": before, "now": outside},
            )


def _test(item: SymbolHistory) -> Recommendation:
    return Recommendation(
        action="test",
        subject=item.symbol,
        text=(
            f"add a test of `{_name(item)}` ({_since(item)}): it is shown to readers "
            f"({_places(item.uses, without=('implementation', 'test'))}) and no test uses it"
        ),
        evidence=dict(item.uses),
    )


def _show(item: SymbolHistory) -> Recommendation:
    inside = item.uses.get("implementation", 0)
    outside = f"0 uses outside {'tests' if not inside else 'the library and its tests'}"
    used = _places(item.uses, without=("api_doc",))
    document = "" if item.uses.get("api_doc") else "; the API documents do not show it either"
    return Recommendation(
        action="show",
        subject=item.symbol,
        text=(
            f"add a tutorial example for `{_name(item)}` ({_since(item)}, {outside}: {used})"
            f"{document}"
        ),
        evidence=dict(item.uses),
    )


def _explain(item: SymbolHistory) -> Recommendation:
    now = sum(n for kind, n in item.uses.items() if kind != "test")
    return Recommendation(
        action="explain",
        subject=item.symbol,
        text=(
            f"`{_name(item)}` is on the way out: from {item.uses_before:.0f} to {now} uses "
            f"outside tests, {item.share_before:.1%} to {item.share_recent:.1%} of all uses; say "
            "in its document what replaces it, or deprecate it"
        ),
        evidence={"before": item.uses_before, "now": now},
    )


def _decide(item: SymbolHistory) -> Recommendation:
    documents = sum(item.uses.values())
    known = f"only documents show it ({_places(item.uses)})" if documents else "nothing shows it"
    return Recommendation(
        action="decide",
        subject=item.symbol,
        text=(
            f"`{_name(item)}` ({_since(item)}) is used by no code, tests included, and {known}: "
            "test and show it, or deprecate it"
        ),
        evidence=dict(item.uses),
    )


def _name(item: SymbolHistory) -> str:
    return item.symbol.rpartition(":")[2]


def _since(item: SymbolHistory) -> str:
    package = item.symbol.rpartition(":")[0]
    former = f", first as `{item.former_names[0].rpartition(':')[2]}`" if item.former_names else ""
    return f"{package}, exported since {_commit(item.exported_since)}{former}"


def _commit(moment: Moment) -> str:
    return f"{moment.commit[:7]} of {moment.committed_at[:10]}"


def _places(uses: Mapping[str, int], without: Sequence[str] = ()) -> str:
    return ", ".join(
        f"{count} {_WORDS[kind]}" for kind, count in uses.items() if kind not in without
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
