from collections.abc import Sequence

import pytest

from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.records import (
    Evolution,
    FileUsage,
    Rename,
    State,
    TreeUsage,
    Work,
)
from qi_pipeline.evolution.report import EvolutionReport, RuleHistory, SymbolHistory
from qi_pipeline.evolution.text import render_evolution
from qi_pipeline.extraction.exports import DeclarationKind
from qi_pipeline_tests.evolution.planted import PROFILE

NO_WORK = Work(0, 0, 0, 0, 0, {})
MAP, MATCH, OK = "@qi/base:map", "@qi/base:match", "@qi/base:success"
FUNCTIONS: dict[str, DeclarationKind] = {MAP: "function", MATCH: "function", OK: "function"}


def state(
    number: int,
    files: dict[str, FileUsage],
    *,
    exports: dict[str, DeclarationKind] | None = None,
    renames: Sequence[Rename] = (),
    changed: bool = True,
    unjudged: str = "",
) -> State:
    return State(
        commit=f"{number:040x}",
        committed_at=f"2026-01-{number + 1:02d}T00:00:00+00:00",
        subject=f"step {number}",
        changed=changed,
        usage=TreeUsage(
            exports=FUNCTIONS if exports is None else exports, files=files, unjudged=unjudged
        ),
        renames=tuple(renames),
    )


def app(**calls: int) -> FileUsage:
    return FileUsage(kind="app", calls={f"@qi/base:{name}": n for name, n in calls.items()})


def report(states: Sequence[State]) -> EvolutionReport:
    return analyse(Evolution(tuple(states), shallow=False, work=NO_WORK), PROFILE)


def symbol(found: EvolutionReport, name: str) -> SymbolHistory:
    return next(item for item in found.symbols if item.symbol == name)


def advice(found: EvolutionReport, action: str) -> dict[str, str]:
    return {r.subject: r.text for r in found.recommendations if r.action == action}


def over_time(*counts: dict[str, int]) -> EvolutionReport:
    return report([state(n, {"a.ts": app(**calls)}) for n, calls in enumerate(counts)])


def test_shares_are_means_over_the_two_windows() -> None:
    found = over_time(*[{"map": 2, "match": 2}] * 3, *[{"map": 9, "match": 3}] * 3)
    assert (found.changed_commits, found.window) == (6, 3)
    item = symbol(found, MAP)
    assert (item.share_before, item.share_recent) == (0.5, 0.75)
    assert (item.uses_before, item.uses_recent) == (2, 9)
    assert item.trend == "emerging"
    # It lost share by the other's growth alone.
    assert symbol(found, MATCH).trend == "steady"


@pytest.mark.parametrize(
    ("before", "after", "trend"),
    [(10, 5, "declining"), (10, 6, "steady"), (5, 10, "emerging"), (6, 10, "steady")],
)
def test_few_uses_are_no_trend(before: int, after: int, trend: str) -> None:
    other = {"match": 10}
    found = over_time(*[{"map": before, **other}] * 3, *[{"map": after, **other}] * 3)
    assert symbol(found, MAP).trend == trend


def test_growth_with_the_whole_library_is_steady() -> None:
    found = over_time(*[{"map": 10, "match": 10}] * 3, *[{"map": 100, "match": 100}] * 3)
    assert symbol(found, MAP).trend == "steady"


def test_the_window_is_a_quarter_and_at_least_three() -> None:
    assert over_time(*[{"map": 1}] * 20).window == 5
    assert over_time(*[{"map": 1}] * 21).window == 6
    assert over_time({"map": 1}).window == 1


def test_commits_that_change_nothing_do_not_weigh() -> None:
    states = [state(n, {"a.ts": app(map=n)}) for n in range(4)]
    idle = [state(n, {"a.ts": app(map=3)}, changed=False) for n in range(4, 30)]
    found = report([*states, *idle])
    assert (found.commits, found.changed_commits, found.window) == (30, 4, 3)
    assert symbol(found, MAP).uses_recent == 2


def test_uses_in_tests_are_no_trend() -> None:
    tested = FileUsage(kind="test", calls={MAP: 100})
    states = [state(n, {"a.ts": app(match=1)}) for n in range(3)]
    states += [state(n, {"a.ts": app(match=1), "t.ts": tested}) for n in range(3, 6)]
    item = symbol(report(states), MAP)
    assert (item.trend, item.uses, item.last_used) == ("steady", {"test": 100}, None)


def test_a_symbol_knows_when_it_came_and_went() -> None:
    fewer: dict[str, DeclarationKind] = {OK: "function"}
    states = [
        state(0, {"a.ts": app()}, exports=fewer),
        state(1, {"a.ts": app()}),
        state(2, {"a.ts": app(map=1)}),
        state(3, {"a.ts": app()}, exports=fewer),
    ]
    item = symbol(report(states), MAP)
    assert item.trend == "removed"
    assert item.exported_since.subject == "step 1"
    assert item.exported_until is not None
    assert item.exported_until.subject == "step 3"
    assert item.first_used is not None
    assert item.last_used is not None
    assert (item.first_used.subject, item.last_used.subject) == ("step 2", "step 2")


def test_a_symbol_of_the_recent_window_is_new() -> None:
    fewer: dict[str, DeclarationKind] = {OK: "function"}
    states = [state(n, {"a.ts": app()}, exports=fewer) for n in range(5)]
    states.append(state(5, {"a.ts": app(map=9)}))
    found = report(states)
    assert symbol(found, MAP).trend == "new"
    assert symbol(found, OK).trend == "steady"


def test_a_renamed_symbol_has_its_former_names_and_one_trend() -> None:
    old: dict[str, DeclarationKind] = {"@qi/base:transform": "function"}
    new: dict[str, DeclarationKind] = {MAP: "function"}
    rename = Rename(before="@qi/base:transform", after=MAP, similarity=0.9)
    states = [state(n, {"a.ts": app(transform=7)}, exports=old) for n in range(3)]
    states += [state(3, {"a.ts": app(map=7)}, exports=new, renames=[rename])]
    states += [state(n, {"a.ts": app(map=7)}, exports=new) for n in range(4, 6)]
    found = report(states)
    (item,) = found.symbols
    assert (item.symbol, item.former_names, item.trend) == (MAP, ("@qi/base:transform",), "steady")
    assert item.exported_since.subject == "step 0"
    assert found.renames[0].moment.subject == "step 3"
    assert "2026-01-01, first as `transform`" in advice(found, "test")[MAP]


GAP_FILES = {
    "lib/base/src/a.ts": FileUsage(kind="implementation", calls={MAP: 3}),
    "app/a/src/a.ts": app(match=2),
    "docs/api/a.md": FileUsage(kind="api_doc", calls={OK: 4}),
}


def test_gaps_and_what_to_do_about_them() -> None:
    found = report([state(0, GAP_FILES)])
    assert found.gaps.uncalled == (OK,)
    assert found.gaps.never_shown == (MAP,)
    assert found.gaps.untested == (MATCH,)
    assert advice(found, "show")[MAP] == (
        "add a tutorial example for `map` (@qi/base, exported since 0000000 of 2026-01-01, 0 uses "
        "outside the library and its tests: 3 in the library's own packages); the API documents do "
        "not show it either"
    )
    assert "it is shown to readers (2 in apps) and no test uses it" in advice(found, "test")[MATCH]
    assert "only documents show it (4 in API documents)" in advice(found, "decide")[OK]


def test_what_the_conventions_advise_against_needs_no_example() -> None:
    files = {"lib/base/src/a.ts": FileUsage(kind="implementation", calls={"@qi/base:unwrap": 3})}
    found = report([state(0, files, exports={"@qi/base:unwrap": "function"})])
    assert found.gaps.never_shown == ("@qi/base:unwrap",)
    assert found.recommendations == ()


def test_the_steepest_rule_comes_first() -> None:
    def files(r2: int, r7: int) -> dict[str, FileUsage]:
        return {"a.ts": FileUsage(kind="app", violations={"R2": r2, "R7": r7})}

    states = [state(n, files(90, 1)) for n in range(3)]
    states += [state(n, files(93, 9)) for n in range(3, 6)]
    assert list(advice(report(states), "fix")) == ["R7", "R2"]


def test_types_need_no_example() -> None:
    exports: dict[str, DeclarationKind] = {"@qi/base:Result": "type", "@qi/base:limit": "value"}
    found = report([state(0, {}, exports=exports)])
    assert found.gaps.uncalled == found.gaps.never_shown == ()


def test_names_that_are_gone_are_named_with_their_mend() -> None:
    exports: dict[str, DeclarationKind] = {
        **FUNCTIONS,
        "@qi/base:transform": "function",
        "@qi/core:Result": "type",
        "@qi/base:Result": "type",
        "@qi/base:lost": "function",
    }
    kept = {k: v for k, v in exports.items() if k in FUNCTIONS or k == "@qi/base:Result"}
    rename = Rename(before="@qi/base:transform", after=MAP, similarity=0.9)
    unknown = ("@qi/base:isOk", "@qi/base:transform", "@qi/core:Result", "fetchUser", "lost")
    document = FileUsage(kind="tutorial", unknown=unknown)
    before = {name: kind for name, kind in exports.items() if name != MAP}
    found = report(
        [state(0, {}, exports=before), state(1, {"a.md": document}, exports=kept, renames=[rename])]
    )
    told = advice(found, "update")
    assert told == {
        "@qi/base:isOk": (
            "1 file uses `isOk`, which @qi/base has never exported; replace it in a.md"
        ),
        "@qi/base:lost": (
            "1 file uses `lost`, which @qi/base no longer exports (removed in 0000000 of "
            "2026-01-02); replace it in a.md"
        ),
        "@qi/base:transform": (
            "1 file uses `transform`, which @qi/base no longer exports (removed in 0000000 of "
            "2026-01-02); write `map` in a.md"
        ),
        "@qi/core:Result": (
            "1 file uses `Result`, which @qi/core no longer exports (removed in 0000000 of "
            "2026-01-02); import it from @qi/base in a.md"
        ),
    }


def test_rules_that_are_broken_more_and_more_are_told_with_the_worst_files() -> None:
    def files(count: int, in_tests: int) -> dict[str, FileUsage]:
        return {
            "a.ts": FileUsage(kind="app", violations={"R2": count}),
            "b.ts": FileUsage(kind="app", violations={"R7": 1}),
            "t.ts": FileUsage(kind="test", violations={"R7": in_tests} if in_tests else {}),
        }

    states = [state(n, files(2, 0)) for n in range(3)]
    states += [state(n, files(8, 9)) for n in range(3, 6)]
    found = report(states)
    r2 = next(rule for rule in found.rules if rule.rule == "R2")
    assert (r2.before, r2.recent, r2.total, r2.peak) == (2, 8, 8, 8)
    assert r2.peak_at.subject == "step 3"
    assert r2.files == {"a.ts": 8}
    told = advice(found, "fix")
    assert told.keys() == {"R2"}
    assert "went from 2 to 8 violations outside tests; most are in a.ts (8)" in told["R2"]


def judged_at(*numbers: int, violations: Sequence[int] = (14,) * 6) -> EvolutionReport:
    """Return the report on states of which only some could be judged."""
    states = []
    for number, count in enumerate(violations):
        judged = number in numbers
        found = {"R1": count} if judged and count else {}
        files = {"a.ts": FileUsage(kind="app", calls={MAP: 1}, violations=found)}
        states.append(state(number, files, unjudged="" if judged else "the compiler ended"))
    return report(states)


def rule_r1(found: EvolutionReport) -> RuleHistory:
    (rule,) = found.rules
    return rule


def test_what_was_not_judged_before_is_no_rise() -> None:
    found = judged_at(3, 4, 5)
    rule = rule_r1(found)
    assert (rule.before, rule.recent, rule.total, rule.peak) == (None, 14, 14, 14)
    assert (found.judged_before, found.judged_recent) == (0, 3)
    assert advice(found, "fix") == {}
    text = render_evolution(found)
    assert "the rules could not be judged at 3 commits" in text
    assert "no advice on rules: no commit of the window before could be judged" in text
    assert "the violations are those of" not in text


def test_what_is_not_judged_now_is_not_clean() -> None:
    found = judged_at(0, 1, 2, violations=(2, 2, 14, 14, 14, 14))
    rule = rule_r1(found)
    assert (rule.before, rule.recent, rule.violations) == (6, None, {"app": 14})
    assert rule.files == {"a.ts": 14}
    assert found.last_judged is not None
    assert found.last_judged.subject == "step 2"
    assert (found.judged_before, found.judged_recent) == (3, 0)
    assert advice(found, "fix") == {}
    text = render_evolution(found)
    assert "the violations are those of 0000000 (2026-01-03), the last commit that could" in text
    assert "no advice on rules: no commit of the window recent could be judged" in text


def test_rule_figures_are_means_over_the_judged_commits_of_a_window() -> None:
    found = judged_at(1, 3, 4, violations=(99, 2, 99, 8, 10, 99))
    rule = rule_r1(found)
    assert (rule.before, rule.recent, rule.total, rule.peak) == (2, 9, 10, 10)
    assert rule.peak_at.subject == "step 4"
    assert "went from 2 to 10 violations" in advice(found, "fix")["R1"]
    assert "no advice on rules" not in render_evolution(found)


def test_a_history_that_was_never_judged_has_no_rules_and_says_so() -> None:
    found = judged_at()
    assert (found.rules, found.last_judged, advice(found, "fix")) == ((), None, {})
    text = render_evolution(found)
    assert "no advice on rules: no commit of the window before or recent could be judged" in text


def test_a_declining_symbol_is_told_with_its_figures() -> None:
    found = over_time(*[{"map": 20, "match": 20}] * 3, *[{"map": 4, "match": 20}] * 3)
    text = advice(found, "explain")[MAP]
    assert "from 20 to 4 uses outside tests, 50.0% to 16.7% of all uses" in text


def test_what_misleads_readers_comes_first() -> None:
    files = {**GAP_FILES, "a.md": FileUsage(kind="tutorial", unknown=("@qi/base:isOk",))}
    actions = [item.action for item in report([state(0, files)]).recommendations]
    assert actions == ["update", "test", "show", "decide"]
