from collections import Counter
from itertools import pairwise

import pytest

from qi_pipeline.evolution.lineage import Step
from qi_pipeline.sample import COMMITS
from qi_pipeline_tests.evolution.conftest import Sample


def before(sample: Sample, slug: str) -> Step:
    slugs = list(sample.steps)
    return sample.steps[slugs[slugs.index(slug) - 1]]


def broken(step: Step) -> Counter[str]:
    found: Counter[str] = Counter()
    for (rule, _), count in step.violations.items():
        found[rule] += count
    return found


def test_every_commit_is_a_step(sample: Sample) -> None:
    assert len(sample.evolution.states) == len(COMMITS)
    assert all(step.exports for step in sample.steps.values())
    assert not [state for state in sample.evolution.states if state.usage.unjudged]


@pytest.mark.parametrize(
    "slug", ["layout-move", "formatting-only", "documents-only", "comment-only", "rename"]
)
def test_what_moves_reindents_or_renames_app_code_changes_no_count(
    sample: Sample, slug: str
) -> None:
    step, former = sample.steps[slug], before(sample, slug)
    assert step.calls == former.calls
    assert step.uses == former.uses
    assert step.violations == former.violations
    assert step.exports == former.exports


def test_the_layout_move_did_move_the_files(sample: Sample) -> None:
    files = sample.steps["layout-move"].state.usage.files.keys()
    assert files.isdisjoint(
        path
        for path in before(sample, "layout-move").state.usage.files
        if path.startswith(("src/", "tests/"))
    )


def test_only_the_documents_commit_leaves_the_relevant_files(sample: Sample) -> None:
    unchanged = [slug for slug, step in sample.steps.items() if not step.state.changed]
    assert unchanged == ["documents-only"]


def test_the_fixes_show_in_the_violations(sample: Sample) -> None:
    change = broken(sample.steps["anti-pattern-fix"])
    change.subtract(broken(before(sample, "anti-pattern-fix")))
    # One bare tag, one read behind it and two behind a guard, one throw.
    assert {rule: n for rule, n in change.items() if n} == {"R1": -1, "R2": -3, "R7": -1}


def test_the_core_package_comes_with_its_commit(sample: Sample) -> None:
    packages = {
        slug: {symbol.partition(":")[0] for symbol in step.exports}
        for slug, step in sample.steps.items()
    }
    assert packages["tutorials"] == {"@qi/base"}
    assert packages["core-config"] == {"@qi/base", "@qi/core"}


def test_calls_only_grow_but_for_the_deletion(sample: Sample) -> None:
    totals = [step.calls.total() for step in sample.steps.values()]
    shrinking = [
        slug
        for slug, (former, total) in zip(list(sample.steps)[1:], pairwise(totals), strict=True)
        if total < former
    ]
    assert shrinking == ["deletion"]
