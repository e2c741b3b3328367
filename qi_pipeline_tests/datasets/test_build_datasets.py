"""The folder of training files: deterministic, readable by the real readers, split by group."""

import json
import random
from dataclasses import replace
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_pipeline.artefacts import build_directory, directory_hash, read_jsonl
from qi_pipeline.datasets.build import (
    build_datasets,
    datasets_key,
    read_overlaps,
    read_summary,
    remaining_overlaps,
)
from qi_pipeline.datasets.card import read_licenses, source_name
from qi_pipeline.datasets.contamination import TaskText
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline_tests.datasets.conftest import LIBRARY, build_pair, build_row, make_snapshot

FILES = {
    *("qi-patterns.jsonl", "qi-patterns-alpaca.json", "qi-conversations.json"),
    *("train.parquet", "validation.parquet", "splits.json", "README.md", "summary.json"),
    "overlaps.json",
}


@pytest.fixture(scope="module")
def rows() -> list[ValidatedPattern]:
    rejected = [
        build_row(100, status="rejected", reasons=("TS2304",)),
        build_row(101, status="rejected", reasons=("TS2304: no name a | b", "R2: x", "R2: y")),
        build_row(102, status="rejected", reasons=(f"duplicate of {1:016x}",)),
    ]
    return [*(build_row(number) for number in range(40)), *rejected]


@pytest.fixture
def built(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> Path:
    folder = tmp_path / "datasets"
    build_datasets(rows, profile, snapshot, folder)
    return folder


def test_every_file_is_written_and_nothing_else(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == FILES


def test_rejected_rows_are_counted_and_never_taught(built: Path) -> None:
    summary = read_summary(built)
    assert (summary.patterns, summary.rejected_patterns) == (40, 3)
    assert summary.rejection_reasons == {
        "TS2304": 2,
        "R2": 1,
        "duplicate of another pattern": 1,
    }
    exported = read_jsonl(built / "qi-patterns.jsonl")
    assert [Pattern.model_validate(row).id for row in exported] == [
        f"{number:016x}" for number in range(40)
    ]


def test_the_counts_agree_with_the_files(built: Path) -> None:
    summary = read_summary(built)
    train = pq.read_table(built / "train.parquet").to_pylist()
    validation = pq.read_table(built / "validation.parquet").to_pylist()
    assert (len(train), len(validation)) == (summary.train, summary.validation)
    assert sum(summary.train_by_type.values()) == summary.train
    assert sum(summary.validation_by_type.values()) == summary.validation
    assert len(json.loads((built / "qi-patterns-alpaca.json").read_text())) == summary.samples
    assert len(json.loads((built / "qi-conversations.json").read_text())) == summary.samples
    outside = summary.too_long + summary.explanations + summary.test_cases
    assert summary.train + summary.validation + outside == summary.samples
    assert summary.samples_by_kind == {
        "write": 160,
        "complete": 40,
        "fix": 40,
        "explain": 40,
        "test": 0,
    }
    assert summary.train_by_kind["explain"] == summary.validation_by_kind["explain"] == 0
    assert sum(summary.train_by_kind.values()) == summary.train
    assert 0.05 <= summary.validation / summary.samples <= 0.15


def test_the_manifest_tells_where_each_row_went(built: Path) -> None:
    manifest = json.loads((built / "splits.json").read_text())["samples"]
    groups: dict[str, set[str]] = {"train": set(), "validation": set()}
    for name, side in groups.items():
        for row in pq.read_table(built / f"{name}.parquet").to_pylist():
            assert manifest[row["id"]] == {
                "split": name,
                "group": row["group"],
                "kind": row["kind"],
                "in_parquet": True,
            }
            side.add(row["group"])
    assert not groups["train"] & groups["validation"]


def test_the_card_lets_the_datasets_library_load_the_folder(
    built: Path, tmp_path: Path, profile: Profile
) -> None:
    loaded = datasets.load_dataset(str(built), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    row = loaded["train"][0]
    assert set(row) == {"id", "kind", "group", "prompt", "completion"}
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["prompt"][0]["content"] == profile.system_prompt
    assert row["completion"][0]["role"] == "assistant"
    assert row["completion"][0]["content"].startswith("```typescript\nimport ")


def test_the_card_says_what_a_stranger_must_know(built: Path) -> None:
    card = (built / "README.md").read_text()
    for fact in ("license: mit", "c" * 40, "https://example.org/library.git", "| TS2304 | 2 |"):
        assert fact in card
    assert read_summary(built).data_version in card
    assert "| complete | shows a module without the body" in card
    assert "secret" not in card
    assert str(built) not in card


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(generator=st.randoms(use_true_random=False))
def test_the_same_rows_in_any_order_give_the_same_bytes(
    generator: random.Random,
    rows: list[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    shuffled = list(rows)
    generator.shuffle(shuffled)
    folders = [tmp_path_factory.mktemp("built") for _ in range(2)]
    pairs = [build_pair(number) for number in range(6)]
    for folder, given_rows, given_pairs in zip(
        folders, (rows, shuffled), (pairs, pairs[::-1]), strict=True
    ):
        build_datasets(given_rows, profile, snapshot, folder, given_pairs)
    assert directory_hash(folders[0]) == directory_hash(folders[1])
    assert datasets_key(rows, profile, pairs) == datasets_key(shuffled, profile, pairs[::-1])
    assert datasets_key(rows, profile, pairs) != datasets_key(rows, profile, pairs[1:])


def test_the_data_version_ignores_the_commit_and_follows_the_samples(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    def version(name: str, changed: list[ValidatedPattern]) -> str:
        return build_datasets(changed, profile, snapshot, tmp_path / name).data_version

    recommitted = [
        row.model_copy(update={"pattern": row.pattern.model_copy(update={"commit": "d" * 40})})
        for row in rows
    ]
    original = version("original", rows)
    assert version("recommitted", recommitted) == original
    assert version("fewer", rows[1:]) != original
    assert version("reworded", [build_row(0, instruction="Other."), *rows[1:]]) != original
    assert datasets_key(recommitted, profile) != datasets_key(rows, profile)


def test_test_cases_stay_out_of_the_parquet_files_only(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    test_case = build_row(50, source_kind="test")
    summary = build_datasets([*rows, test_case], profile, snapshot, tmp_path / "d")
    assert summary.test_cases > 0
    ids = {
        row["id"].rpartition("-")[0]
        for name in ("train", "validation")
        for row in pq.read_table(tmp_path / "d" / f"{name}.parquet").to_pylist()
    }
    assert test_case.pattern.id not in ids
    exported = read_jsonl(tmp_path / "d" / "qi-patterns.jsonl")
    assert test_case.pattern.id in {row["id"] for row in exported}


def test_long_samples_stay_out_of_the_parquet_files_only(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    long_code = "export const texts = [\n" + '  "a long line of text",\n' * 200 + "];"
    long_row = build_row(50, implementation=long_code)
    summary = build_datasets([*rows, long_row], profile, snapshot, tmp_path / "d")
    assert summary.too_long > 0
    in_parquet = {
        row["id"].rpartition("-")[0]
        for name in ("train", "validation")
        for row in pq.read_table(tmp_path / "d" / f"{name}.parquet").to_pylist()
    }
    assert long_row.pattern.id not in in_parquet
    assert "a long line of text" in (tmp_path / "d" / "qi-conversations.json").read_text()
    with pytest.raises(QiPipelineError, match="longer than max_characters = 10"):
        build_datasets(rows, profile, snapshot, tmp_path / "e", max_characters=10)


def test_it_fills_a_content_named_folder_through_build_directory(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    destination = tmp_path / datasets_key(rows, profile)
    folder = build_directory(
        destination, lambda folder: void(build_datasets(rows, profile, snapshot, folder))
    )
    assert read_summary(folder).patterns == 40


def void(_: object) -> None:
    """Drop a value where a callback must return none."""


@pytest.mark.parametrize("kept", [0, 1])
def test_too_few_kept_patterns_are_refused_with_the_reasons(
    kept: int, rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    with pytest.raises(QiPipelineError, match=rf"{kept} of {kept + 3} .*TS2304 \(2\), R2 \(1\)"):
        build_datasets([*rows[:kept], *rows[40:]], profile, snapshot, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_two_patterns_are_enough(profile: Profile, snapshot: Snapshot, tmp_path: Path) -> None:
    summary = build_datasets([build_row(0), build_row(1)], profile, snapshot, tmp_path / "d")
    assert (summary.train, summary.validation) == (6, 6)


def test_an_id_that_occurs_twice_is_named(
    profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    with pytest.raises(QiPipelineError, match=f"ids occur twice: {3:016x}"):
        build_datasets([build_row(3), build_row(3)], profile, snapshot, tmp_path / "d")


def sides_of(folder: Path) -> dict[str, str]:
    """Return the origin of each sample to the side it is on."""
    manifest = json.loads((folder / "splits.json").read_text())["samples"]
    return {name.rpartition("-")[0]: place["split"] for name, place in manifest.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fix_pairs_of_one_commit_and_what_they_became_are_on_one_side(
    seed: int,
    rows: list[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    tmp_path: Path,
) -> None:
    became = {number: build_row(60 + number) for number in range(0, 8, 2)}
    pairs = [build_pair(number) for number in range(8)]
    for number, row in became.items():
        pairs[number] = build_pair(number, after=row.pattern.implementation)
    folder = tmp_path / "d"
    given = [*rows, *became.values()]
    summary = build_datasets(
        given, profile, snapshot, folder, pairs, seed=seed, validation_fraction=0.4
    )
    assert summary.fix_pairs == 8
    sides = sides_of(folder)
    assert {sides[pair.id] for pair in pairs} == {"train", "validation"}
    for number, pair in enumerate(pairs):
        assert sides[pair.id] == sides[pairs[number // 2 * 2].id]
        if number in became:
            assert sides[pair.id] == sides[became[number].pattern.id]


def test_a_test_is_on_the_side_of_the_unit_it_shows(profile: Profile, tmp_path: Path) -> None:
    snapshot = make_snapshot(tmp_path / "snapshot", LIBRARY)
    unit = build_row(
        70,
        source_kind="implementation",
        container="undocumented",
        source_file="lib/base/src/index.ts",
        implementation="export const undocumented = (): Result<number> => success(1);",
    )
    case = 'describe("undocumented", () => {\n  it("is one", () => { expect(1).toBe(1); });\n});'
    tests = [
        build_row(
            number,
            source_kind="test",
            source_file=f"lib/tests/t{number}.test.ts",
            container=f"undocumented > is one {number}",
            symbols=("@qi/base:success", "@qi/base:undocumented"),
            implementation=case.replace("one", f"one {number}"),
        )
        for number in (71, 72, 73)
    ]
    other = build_row(0, type=unit.pattern.type)
    held_out = 0
    for seed in range(8):
        folder = tmp_path / f"d{seed}"
        summary = build_datasets(
            [other, unit, *tests], profile, snapshot, folder, seed=seed, validation_fraction=0.5
        )
        assert summary.samples_by_kind["test"] == 3
        sides = sides_of(folder)
        assert {sides[row.pattern.id] for row in (unit, *tests)} == {sides[unit.pattern.id]}
        held_out += sides[unit.pattern.id] == "validation"
    assert held_out > 0


def test_a_document_that_the_snapshot_lacks_is_named(
    rows: list[ValidatedPattern], profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    lost = build_row(80, source_kind="tutorial", source_file="docs/tutorial/lost.md")
    with pytest.raises(QiPipelineError, match=r"lost\.md, which the snapshot"):
        build_datasets([*rows, lost], profile, snapshot, tmp_path / "d")


def test_a_folder_without_a_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="holds no data set"):
        read_summary(tmp_path)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/somebody/library", "library"),
        ("library/", "library"),
        ("file:///home/somebody/library", "library"),
        ("https://token@example.org/a/b.git", "https://example.org/a/b.git"),
        ("sample", "sample"),
    ],
)
def test_the_card_names_a_source_without_paths_or_credentials(source: str, name: str) -> None:
    assert source_name(source) == name


@pytest.mark.parametrize("manifest", ["not json", "[]", '{"license": 3}', "{}"])
def test_a_manifest_without_a_licence_is_no_licence(manifest: str, snapshot: Snapshot) -> None:
    (snapshot.root / "package.json").write_text(manifest)
    assert read_licenses(snapshot) == ()


@pytest.fixture
def tasks() -> list[TaskText]:
    """Return one task whose reference is the code of row 7, and one that is like nothing here."""
    code = build_row(7).pattern.implementation
    copied = TaskText("copied", "Keep orders sound.", code)
    return [copied, TaskText("fresh", "Add two numbers.", "export const add = 1;")]


def test_what_overlaps_with_a_task_is_in_no_file(
    rows: list[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    tasks: list[TaskText],
    tmp_path: Path,
) -> None:
    plain = build_datasets(rows, profile, snapshot, tmp_path / "plain")
    summary = build_datasets(rows, profile, snapshot, tmp_path / "clean", tasks=tasks)
    # The module's rows differ from it in numbers and names only, but their prompts differ too.
    assert (summary.overlapping_patterns, summary.tasks) == (1, 2)
    assert summary.patterns == plain.patterns - 1
    assert summary.rejected_patterns == plain.rejected_patterns
    assert summary.samples == plain.samples - summary.overlapping
    origin = f"{7:016x}"
    assert any(f'"{origin}-' in path.read_text() for path in (tmp_path / "plain").glob("*.json"))
    for path in (tmp_path / "clean").iterdir():
        if path.suffix == ".parquet":
            ids = {row["id"] for row in pq.read_table(path).to_pylist()}
            assert not any(name.startswith(origin) for name in ids)
        elif path.name != "overlaps.json":
            assert "checkOrder7 " not in path.read_text()
            assert origin not in path.read_text()


def test_the_overlaps_are_written_down(
    rows: list[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    tasks: list[TaskText],
    tmp_path: Path,
) -> None:
    twice = [*tasks, replace(tasks[0], id="copied again")]
    summary = build_datasets(rows, profile, snapshot, tmp_path / "d", tasks=twice)
    overlaps = read_overlaps(tmp_path / "d")
    assert (overlaps.tasks, overlaps.removed) == (3, summary.overlapping)
    assert len(overlaps.overlaps) == 2 * overlaps.removed
    assert overlaps.samples == summary.samples + summary.overlapping
    assert {row.sample for row in overlaps.patterns} == {f"{7:016x}"}
    assert {row.task_id for row in overlaps.overlaps} == {"copied", "copied again"}
    assert len({row.sample for row in overlaps.overlaps}) == summary.overlapping
    card = (tmp_path / "d" / "README.md").read_text()
    assert f"{summary.overlapping} samples were left out of every file, and 1" in card
    with pytest.raises(QiPipelineError, match="run `qi datasets`"):
        read_overlaps(tmp_path)


def test_nothing_remains_of_the_tasks_that_it_was_built_with(
    rows: list[ValidatedPattern],
    profile: Profile,
    snapshot: Snapshot,
    tasks: list[TaskText],
    tmp_path: Path,
) -> None:
    plain, clean = tmp_path / "plain", tmp_path / "clean"
    build_datasets(rows, profile, snapshot, plain)
    build_datasets(rows, profile, snapshot, clean, tasks=tasks)
    assert remaining_overlaps(clean, tasks) == ()
    found = read_overlaps(clean)
    assert set(remaining_overlaps(plain, tasks)) == {*found.overlaps, *found.patterns}


def test_a_phrase_is_common_only_among_what_is_left(
    profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    phrase = (
        "Answer with one complete module that compiles and keeps every convention of the house."
    )
    rows = [
        build_row(n, instruction=f"Check {n} orders. {phrase}") if n < 10 else build_row(n)
        for n in range(20)
    ]
    prompt = f"We sort the post of a whole street by hand, house after house. {phrase}"
    # The task and ten patterns hold the phrase: one too many for evidence.
    unlike = [TaskText("asks", prompt, "export {};")]
    summary = build_datasets(rows, profile, snapshot, tmp_path / "a", tasks=unlike)
    assert summary.overlapping_patterns == 0
    # One of them goes because its code is a task's reference; then it is evidence.
    alike = [TaskText("asks", prompt, rows[0].pattern.implementation)]
    summary = build_datasets(rows, profile, snapshot, tmp_path / "b", tasks=alike)
    assert summary.overlapping_patterns == 10
    assert remaining_overlaps(tmp_path / "b", alike) == ()


def test_the_tasks_decide_the_name_of_the_folder(
    rows: list[ValidatedPattern], profile: Profile, tasks: list[TaskText]
) -> None:
    keys = [
        datasets_key(rows, profile, tasks=chosen)
        for chosen in ((), tasks, tasks[:1], [replace(tasks[0], prompt="Else."), tasks[1]])
    ]
    assert len(set(keys)) == len(keys)
    assert datasets_key(rows, profile, tasks=tasks[::-1]) == keys[1]


def test_a_data_set_of_nothing_but_overlaps_is_refused(
    profile: Profile, snapshot: Snapshot, tmp_path: Path
) -> None:
    few = [build_row(number) for number in range(3)]
    tasks = [TaskText(row.pattern.id, "Same.", row.pattern.implementation) for row in few]
    with pytest.raises(QiPipelineError, match=r"\(\d+ more overlap with a task\)"):
        build_datasets(few, profile, snapshot, tmp_path / "d", tasks=tasks)
