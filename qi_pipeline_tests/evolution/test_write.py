import csv
import dataclasses
from collections import Counter
from math import isnan
from pathlib import Path

import pytest

from qi_pipeline.evolution import write
from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.plot import rule_lines
from qi_pipeline.evolution.records import Evolution
from qi_pipeline.evolution.series import series_of
from qi_pipeline.evolution.text import render_evolution
from qi_pipeline.evolution.write import read_report, write_evolution
from qi_pipeline_tests.evolution.conftest import Sample
from qi_pipeline_tests.evolution.planted import PROFILE


@pytest.fixture(scope="module")
def folder(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("written") / "evolution"
    return write_evolution(sample.evolution, PROFILE, target)


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_folder_holds_the_report_the_tables_and_the_plot(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "evolution.json",
        "commits.csv",
        "usage.csv",
        "types.csv",
        "violations.csv",
        "trends.png",
    }
    assert (folder / "trends.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_reads_back(folder: Path, sample: Sample) -> None:
    assert read_report(folder) == analyse(sample.evolution, PROFILE)


def test_the_tables_agree_with_each_other(folder: Path) -> None:
    commits = {row["commit"]: row for row in rows(folder, "commits.csv")}
    assert [row["changed"] for row in commits.values()].count("False") == 1
    calls: Counter[tuple[str, bool]] = Counter()
    for row in rows(folder, "usage.csv"):
        calls[row["commit"], row["source_kind"] == "test"] += int(row["calls"])
    violations: Counter[str] = Counter()
    for row in rows(folder, "violations.csv"):
        violations[row["commit"]] += int(row["violations"])
    for commit, row in commits.items():
        if row["changed"] == "True":
            assert int(row["calls"]) == calls[commit, False]
            assert int(row["calls_in_tests"]) == calls[commit, True]
            assert int(row["violations"]) == violations[commit]


@pytest.fixture
def partly_judged(sample: Sample) -> tuple[Evolution, set[str]]:
    """Return the sample as if two commits, the last among them, could not be judged."""
    states = list(sample.evolution.states)
    lost = {len(states) // 2, len(states) - 1}
    for number in lost:
        usage = states[number].usage.model_copy(
            update={"unjudged": "the compiler ended", "compiler_failed": True}
        )
        states[number] = dataclasses.replace(states[number], usage=usage)
    commits = {states[number].commit for number in lost}
    return dataclasses.replace(sample.evolution, states=tuple(states)), commits


def test_the_tables_say_nothing_of_violations_where_none_was_judged(
    partly_judged: tuple[Evolution, set[str]], tmp_path: Path
) -> None:
    evolution, unjudged = partly_judged
    folder = write_evolution(evolution, PROFILE, tmp_path / "evolution")
    empty = {row["commit"] for row in rows(folder, "commits.csv") if not row["violations"]}
    assert empty == unjudged
    assert unjudged.isdisjoint(row["commit"] for row in rows(folder, "violations.csv"))
    assert unjudged <= {row["commit"] for row in rows(folder, "usage.csv")}
    assert (folder / "trends.png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_has_a_gap_where_none_was_judged(
    partly_judged: tuple[Evolution, set[str]], sample: Sample
) -> None:
    evolution, unjudged = partly_judged
    series = series_of(evolution, PROFILE)
    whole = dict(rule_lines(series_of(sample.evolution, PROFILE)))
    lines = rule_lines(series)
    assert lines
    for rule, values in lines:
        for step, value, judged in zip(series.changed, values, whole[rule], strict=True):
            if step.state.commit in unjudged:
                assert isnan(value)
            else:
                assert value == judged


def test_equal_histories_write_equal_bytes(folder: Path, sample: Sample, tmp_path: Path) -> None:
    again = write_evolution(sample.evolution, PROFILE, tmp_path / "again")
    for path in folder.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_what_fails_half_way_leaves_nothing(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_series: object) -> bytes:
        raise RuntimeError("no plot")

    monkeypatch.setattr(write, "plot_evolution", fail)
    with pytest.raises(RuntimeError, match="no plot"):
        write_evolution(sample.evolution, PROFILE, tmp_path / "evolution")
    assert list(tmp_path.iterdir()) == []


def test_the_terminal_shows_every_part_and_at_most_top_lines_of_each(sample: Sample) -> None:
    report = analyse(sample.evolution, PROFILE)
    text = render_evolution(report, top=2)
    assert text.startswith("qicore: 14 commits from ")
    for title in ("Most used", "Pattern types", "Emerging", "Rule violations", "Gaps"):
        assert f"\n\n{title}" in text
    emerging = text.partition("\n\nEmerging\n")[2].partition("\n\n")[0].splitlines()
    assert len(emerging) == 3
    count = sum(1 for item in report.symbols if item.trend == "emerging")
    assert emerging[-1].strip() == f"… and {count - 2} more"
    assert "update: 1 file uses `isOk`, which @qi/base has never exported" in text
