"""The real library's history, where a clone of it is at hand."""

import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.lineage import Step, trace
from qi_pipeline.evolution.records import Evolution
from qi_pipeline_tests.evolution.planted import PROFILE, TOOLCHAIN

pytestmark = pytest.mark.real
HEAD = "e7d02fe"

# Compared with git: what each of these commits did besides moving the library.
MOVES = {
    # A second copy, three new files in apps and tests, one app rewritten.
    "d822319": {
        "typescript/app/async-composition/src/index.ts",
        "typescript/app/async-composition/src/services.ts",
        "typescript/app/config-example/src/index.ts",
        "typescript/lib/tests/base/async.test.ts",
    },
    "cdf3090": set[str](),
}


@pytest.fixture(scope="module")
def evolution(real_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Evolution:
    head = subprocess.run(
        ["git", "rev-parse", HEAD], cwd=real_repository, capture_output=True, text=True, check=True
    ).stdout.strip()
    cache: Path = tmp_path_factory.mktemp("real")
    return evolve(real_repository, head, PROFILE, TOOLCHAIN, cache)


@pytest.fixture(scope="module")
def steps(evolution: Evolution) -> dict[str, tuple[Step, Step]]:
    """Return commit to the steps before and at it."""
    found = trace(evolution.states)
    return {at.state.commit[:7]: (former, at) for former, at in pairwise(found)}


def code_calls(step: Step) -> Counter[str]:
    return Counter(
        {
            path: sum(file.calls.values())
            for path, file in step.state.usage.files.items()
            if file.kind in ("app", "test")
        }
    )


def inside(step: Step) -> int:
    """Return the calls in the two packages themselves, their new files left out."""
    return sum(
        sum(file.calls.values())
        for path, file in step.state.usage.files.items()
        if file.kind == "implementation" and not path.endswith("/async.ts")
    )


def test_every_commit_is_read_and_judged(evolution: Evolution) -> None:
    assert len(evolution.states) == 99
    assert not [state.usage.unjudged for state in evolution.states if state.usage.unjudged]
    assert sum(state.changed for state in evolution.states) == 49


def test_the_library_has_the_exports_that_were_counted_by_hand(evolution: Evolution) -> None:
    exports = Counter(symbol.partition(":")[0] for symbol in evolution.states[-1].usage.exports)
    assert exports == {"@qi/base": 63, "@qi/core": 50}
    assert not evolution.states[0].usage.exports


@pytest.mark.parametrize("commit", list(MOVES))
def test_a_layout_move_changes_only_what_was_edited(
    steps: dict[str, tuple[Step, Step]], commit: str
) -> None:
    before, after = steps[commit]
    assert inside(before) == inside(after)
    old, new = code_calls(before), code_calls(after)
    assert {path for path in old | new if old[path] != new[path]} == MOVES[commit]


def test_the_first_move_keeps_the_file_that_it_did_not_rewrite(
    steps: dict[str, tuple[Step, Step]],
) -> None:
    # It rewrote the rest from a builder to functions: 5 exports went, 17 came.
    before, after = steps["7d24c69"]
    former = before.state.usage.files["typescript/src/base/error.ts"]
    moved = after.state.usage.files["typescript/lib/src/base/error.ts"]
    assert former.calls == moved.calls
    assert len(before.exports.keys() - after.exports.keys()) == 5
    assert len(after.exports.keys() - before.exports.keys()) == 17


def test_known_comings_goings_and_renames(evolution: Evolution) -> None:
    report = analyse(evolution, PROFILE)
    symbols = {item.symbol: item for item in report.symbols}
    assert symbols["@qi/base:mapPromise"].exported_since.commit.startswith("d822319")
    assert symbols["@qi/core:ValidatedConfig"].exported_since.commit.startswith("45d5f99")
    gone = symbols["@qi/base:ResultBuilder"]
    assert gone.exported_until is not None
    assert gone.exported_until.commit.startswith("7d24c69")
    (event,) = report.renames
    assert event.moment.commit.startswith("45d5f99")
    assert (event.rename.before, event.rename.after) == (
        "@qi/core:loggerMiddleware",
        "@qi/core:createRequestLogger",
    )
    assert symbols["@qi/core:createRequestLogger"].exported_since.commit.startswith("6e1656a")


def test_what_no_code_calls_is_what_was_counted_by_hand(evolution: Evolution) -> None:
    uncalled = Counter(
        symbol.partition(":")[0] for symbol in analyse(evolution, PROFILE).gaps.uncalled
    )
    # Four of core: `fromYamlFile` is called as a member of ConfigBuilder only.
    assert uncalled == {"@qi/base": 19, "@qi/core": 4}
