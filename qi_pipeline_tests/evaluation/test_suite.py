"""The bundled suite as data: well formed, balanced, and its references keep what they demand."""

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import get_args

import pytest

from qi_pipeline.evaluation.tasks import Forbidden, Task, bundled_suite, load_tasks
from qi_pipeline.extraction.pattern import Category, PatternType

TASKS = load_tasks(bundled_suite())
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)

LIBRARY_IMPORTS = {"@qi/base", "@qi/core"}
IMPORT = re.compile(
    r'^import (?:type )?\{(?P<names>[^}]*)\} from "(?P<module>[^"]+)";', re.MULTILINE
)
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
TEMPLATE_TEXT = re.compile(r"`[^`$]*(?=\$\{|`)|(?<=\})[^`${}]*`")

# What each `forbidden` name looks like in a text without strings. The compiler-backed rules of
# `qi_pipeline.validation` judge answers; this is only the check that our own references are clean.
VIOLATIONS: dict[str, re.Pattern[str]] = {
    "no_throw": re.compile(r"\bthrow\b|\bunwrap\("),
    "no_try_catch": re.compile(r"\btry\s*\{|\bcatch\b"),
    "no_tag_access": re.compile(r"\.tag\b|\[\"tag\"\]|\{[^{}]*\btag\b[^{}]*\}\s*="),
    "no_result_property_access": re.compile(
        r"\.value\b(?!\()|\.error\b(?!\()|\[\"(?:value|error)\"\]|\bgetValue\(|\bgetError\("
        r"|\{[^{}]*\b(?:value|error)\b[^{}]*\}\s*=[^=>]"
    ),
    "no_null_return": re.compile(r"\breturn null\b|=> null\b|[?:] null\b"),
    "no_any": re.compile(r"\bany\b"),
}


def without_texts(source: str) -> str:
    """Return TypeScript without string literals and template texts, keys of a result excepted."""
    kept = {'"tag"', '"value"', '"error"'}
    plain = STRING.sub(lambda found: found[0] if found[0] in kept else '""', source)
    return TEMPLATE_TEXT.sub("", plain)


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
    assert Counter(task.category for task in TASKS) == dict.fromkeys(get_args(Category), 6)
    assert Counter(task.pattern_type for task in TASKS) == dict.fromkeys(get_args(PatternType), 3)


def test_ids_and_entry_points_are_unique() -> None:
    assert len({task.id for task in TASKS}) == len(TASKS) == 24
    assert len({task.entry_point for task in TASKS}) == len(TASKS)


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
    assert re.fullmatch(r"foundation(-[a-z]+)+", task.id)


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
    assert calls
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
def test_the_reference_contains_nothing_forbidden(task: Task) -> None:
    assert set(task.forbidden) == set(get_args(Forbidden)) == set(VIOLATIONS)
    code = without_texts(task.reference)
    found = {name: VIOLATIONS[name].findall(code) for name in task.forbidden}
    assert not {name: texts for name, texts in found.items() if any(texts)}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("no_throw", "throw new Error(message);"),
        ("no_try_catch", "try { run(); } catch { stop(); }"),
        ("no_tag_access", "if (result.tag === text) {}"),
        ("no_tag_access", 'if (result["tag"] === text) {}'),
        ("no_tag_access", "const { tag } = result;"),
        ("no_result_property_access", "return result.value;"),
        ("no_result_property_access", "log(result.error);"),
        ("no_result_property_access", 'log(result["value"]);'),
        ("no_result_property_access", "const { error } = result;"),
        ("no_null_return", "return null;"),
        ("no_any", "const data: any = read();"),
    ],
)
def test_the_check_for_forbidden_texts_sees_a_violation(name: str, line: str) -> None:
    assert VIOLATIONS[name].search(without_texts(line))


@each_task
def test_the_test_module_exercises_the_entry_point(task: Task) -> None:
    imported = imports_of(task.test)
    assert imported["./solution"] == {task.entry_point}
    assert "strict" in imported["node:assert"]
    allowed = {"node:assert", "./solution", "node:fs/promises", "node:os", "node:path"}
    assert imported.keys() <= allowed | LIBRARY_IMPORTS
    assert len(re.findall(rf"\b{task.entry_point}\(", task.test)) >= 1
    assert len(re.findall(r"\bassert\.\w+\(", task.test)) >= 4
