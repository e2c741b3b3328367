import json
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.tasks import Task, load_tasks, tasks_hash
from qi_pipeline_tests.evaluation.samples import make_task


def write_suite(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(task: Task) -> dict[str, object]:
    return task.model_dump(mode="json")


def test_tasks_are_read_in_file_order(tmp_path: Path) -> None:
    tasks = (make_task("b"), make_task("a"))
    suite = write_suite(tmp_path / "suite.jsonl", *map(row, tasks))
    assert load_tasks(suite) == tasks


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "easy"),
        ("entry_point", "not a name"),
        ("forbidden", ["no_eval"]),
        ("reference", ""),
        ("surprise", 1),
    ],
)
def test_a_bad_field_is_named_with_its_file_and_line(
    tmp_path: Path, field: str, value: object
) -> None:
    suite = write_suite(
        tmp_path / "suite.jsonl", row(make_task()), {**row(make_task("b")), field: value}
    )
    with pytest.raises(QiPipelineError, match=rf"suite\.jsonl:2 {field}"):
        load_tasks(suite)


def test_a_line_that_is_not_json_is_named(tmp_path: Path) -> None:
    suite = tmp_path / "suite.jsonl"
    suite.write_text("{\n", encoding="utf-8")
    with pytest.raises(QiPipelineError, match=r"suite\.jsonl:1 is not JSON"):
        load_tasks(suite)


def test_a_repeated_id_is_refused_with_both_lines(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.jsonl", row(make_task("a")), row(make_task("a")))
    with pytest.raises(QiPipelineError, match=r"suite\.jsonl:2 id: 'a' .*suite\.jsonl:1"):
        load_tasks(suite)


def test_a_general_task_has_no_pattern_type(tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite.jsonl", {**row(make_task()), "pattern_type": None})
    assert load_tasks(suite)[0].pattern_type is None


def test_missing_and_empty_suites_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="cannot read"):
        load_tasks(tmp_path / "none.jsonl")
    with pytest.raises(QiPipelineError, match="holds no task"):
        load_tasks(write_suite(tmp_path / "empty.jsonl"))


def test_the_hash_knows_every_field_but_not_the_order() -> None:
    a, b = make_task("a"), make_task("b")
    assert tasks_hash([a, b]) == tasks_hash([b, a])
    assert tasks_hash([a]) != tasks_hash([make_task("a", test="assert(1);")])
