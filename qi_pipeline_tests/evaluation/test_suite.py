"""The bundled suites as data: well formed, balanced, and references keep what they demand."""

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import get_args

import pytest

from qi_pipeline.evaluation.tasks import Forbidden, Task, bundled_suite, general_suite, load_tasks
from qi_pipeline.extraction.pattern import Category, PatternType

TASKS = load_tasks(bundled_suite())
GENERAL = load_tasks(general_suite())
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
each_general_task = pytest.mark.parametrize("task", GENERAL, ids=lambda task: task.id)

LIBRARY_IMPORTS = {"@qi/base", "@qi/core"}
IMPORT = re.compile(
    r'^import (?:type )?\{(?P<names>[^}]*)\} from "(?P<module>[^"]+)";', re.MULTILINE
)
PARAMETER = re.compile(r"(?:readonly )?\w+\??: \(.*\) => [\w<>\[\]| ,]+[,;]")
"""`name: (value: A) => B,`: a type, which the prompt has to give."""


def imports_of(source: str) -> dict[str, set[str]]:
    """Return the imported names of each module that the source imports from."""
    found: dict[str, set[str]] = {}
    for statement in IMPORT.finditer(source):
        names = re.findall(r"(?:type )?([A-Za-z_$][\w$]*)(?: as [\w$]+)?", statement["names"])
        found.setdefault(statement["module"], set()).update(names)
    return found


def library_names(source: str) -> set[str]:
    """Return the names that the source imports from the library."""
    imported = imports_of(source)
    return set().union(*(imported.get(module, set()) for module in LIBRARY_IMPORTS))


def sample_exports() -> set[str]:
    """Return the words of the sample library's two index modules: its exports and file names."""
    library = files("qi_pipeline") / "sample" / "tree" / "lib"
    indexes = [library / package / "src" / "index.ts" for package in ("base", "core")]
    return {word for index in indexes for word in re.findall(r"\w+", index.read_text("utf-8"))}


def test_the_suite_is_balanced_over_categories_and_pattern_types() -> None:
    assert Counter(task.category for task in TASKS) == dict.fromkeys(get_args(Category), 32)
    assert Counter(task.pattern_type for task in TASKS) == dict.fromkeys(get_args(PatternType), 16)
    pairs = Counter((task.pattern_type, task.category) for task in TASKS)
    assert set(pairs.values()) == {4}


def test_many_tasks_need_three_parts_of_the_library_together() -> None:
    demands = [len(t.required_api.all) + bool(t.required_api.any) for t in TASKS]
    assert sum(demand >= 3 for demand in demands) >= 30


def test_general_tasks_ask_for_nothing_of_the_library() -> None:
    assert Counter(task.category for task in GENERAL) == dict.fromkeys(get_args(Category), 5)
    for task in GENERAL:
        assert task.pattern_type is None
        assert not task.forbidden
        assert (*task.required_api.all, *task.required_api.any) == ()
        assert not imports_of(task.reference)
        assert "@qi/" not in task.prompt + task.test


def test_ids_and_entry_points_are_unique() -> None:
    assert len({task.id for task in TASKS}) == len(TASKS) == 128
    assert len({task.entry_point for task in TASKS}) == len(TASKS)
    assert not {task.id for task in TASKS} & {task.id for task in GENERAL}


def test_every_line_holds_exactly_the_fields_of_a_task() -> None:
    lines = bundled_suite().read_text(encoding="utf-8").splitlines()
    assert [set(json.loads(line)) for line in lines] == [set(Task.model_fields)] * len(TASKS)


def test_no_two_references_are_near_copies() -> None:
    words = {task.id: set(re.findall(r"\w+", task.reference)) for task in TASKS}
    for left, right in combinations(words, 2):
        shared = len(words[left] & words[right]) / len(words[left] | words[right])
        assert shared < 0.6, f"{left} and {right} share {shared:.0%} of their words"


@each_task
def test_the_id_is_a_plain_name_of_the_suite(task: Task) -> None:
    assert re.fullmatch(r"qicore(-[a-z]+)+", task.id)


@each_task
def test_the_prompt_names_the_entry_point_and_the_library(task: Task) -> None:
    assert f"{task.entry_point}(" in task.prompt or f"{task.entry_point}<" in task.prompt
    assert "TypeScript" in task.prompt
    assert "@qi/base" in task.prompt or "@qi/core" in task.prompt


@each_task
def test_the_prompt_does_not_give_the_reference_away(task: Task) -> None:
    prompt = " ".join(task.prompt.split())
    body = IMPORT.sub("", task.reference)
    lines = [" ".join(line.split()) for line in body.splitlines()]
    calls = [line for line in lines if len(line) > 24 and "(" in line and "=>" in line]
    calls = [line for line in calls if not PARAMETER.fullmatch(line)]
    assert not [line for line in calls if line in prompt]
    combinators = {name for name in task.required_api.any if name not in {"match", "filter", "map"}}
    assert not [name for name in combinators if re.search(rf"\b{name}\(", prompt)]


@each_task
def test_the_reference_exports_the_entry_point(task: Task) -> None:
    assert re.search(
        rf"^export (?:const|(?:async )?function) {re.escape(task.entry_point)}\b",
        task.reference,
        re.MULTILINE,
    )


@each_task
def test_the_reference_imports_from_the_library_and_zod_alone(task: Task) -> None:
    imported = imports_of(task.reference)
    assert task.reference.count("import ") == len(list(IMPORT.finditer(task.reference)))
    assert imported.keys() & LIBRARY_IMPORTS
    assert imported.keys() <= LIBRARY_IMPORTS | {"zod"}


@each_task
def test_the_reference_uses_every_name_it_imports(task: Task) -> None:
    body = IMPORT.sub("", task.reference)
    for names in imports_of(task.reference).values():
        assert not [name for name in names if not re.search(rf"\b{re.escape(name)}\b", body)]


@each_task
def test_the_reference_meets_its_own_api_demand(task: Task) -> None:
    used = library_names(task.reference)
    demand = task.required_api
    assert demand.all or demand.any
    assert set(demand.all) <= used
    assert not demand.any or set(demand.any) & used
    assert not set(demand.all) & set(demand.any)


@each_task
def test_demanded_and_imported_names_exist_in_the_sample_library(task: Task) -> None:
    named = {*task.required_api.all, *task.required_api.any}
    named |= library_names(task.reference) | library_names(task.test)
    assert not named - sample_exports()


@each_task
def test_everything_that_can_be_forbidden_is(task: Task) -> None:
    assert set(task.forbidden) == set(get_args(Forbidden))


@each_general_task
def test_a_general_task_is_tested_by_its_entry_point(task: Task) -> None:
    imported = imports_of(task.test)
    assert imported["./solution"] == {task.entry_point}
    assert imported.keys() <= {"node:assert", "./solution"}
    assert task.entry_point in task.prompt
    assert "TypeScript" in task.prompt
    assert len(re.findall(r"\bassert\.\w+\(", task.test)) >= 2


@each_task
def test_the_test_module_exercises_the_entry_point(task: Task) -> None:
    imported = imports_of(task.test)
    assert imported["./solution"] == {task.entry_point}
    assert "strict" in imported["node:assert"]
    allowed = {"node:assert", "./solution", "node:fs/promises", "node:os", "node:path"}
    assert imported.keys() <= allowed | LIBRARY_IMPORTS
    assert re.search(rf"\b{task.entry_point}\b(?!\s*\}})", task.test)
    assert len(re.findall(r"\bassert\.\w+\(", task.test)) >= 2
