"""What an instruction says, and what it never says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.extraction.instructions import doc_sentence, humanized, signature
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline_tests.extraction.planted import APP, DOC, extract, pattern_of

IMPORT = 'import { success, create } from "@qi/base";\n'


def instruction(root: Path, text: str) -> str:
    return pattern_of(root, "loadUser", {APP: IMPORT + text}).instruction


def test_a_function_is_asked_for_by_signature_and_doc(tmp_path: Path) -> None:
    text = "/** Loads a user. Slowly. */\nconst loadUser = (id: string): X => success(id);"
    assert instruction(tmp_path, text) == (
        "Using @qi/base, write `loadUser(id: string): X`: Loads a user."
    )


def test_an_undocumented_name_is_spelled_out(tmp_path: Path) -> None:
    assert instruction(tmp_path, "function loadUser() { success(1); }") == (
        "Using @qi/base, write `loadUser()`: load user."
    )
    text = IMPORT + "function load() { success(1); }"
    assert (
        pattern_of(tmp_path, "load", {APP: text}).instruction == "Using @qi/base, write `load()`."
    )


def test_classes_values_and_tests_are_asked_for_by_name(tmp_path: Path) -> None:
    assert instruction(tmp_path, "class loadUser { m() { success(1); } }") == (
        "Using @qi/base, write the class `loadUser`: load user."
    )
    assert instruction(tmp_path, "const loadUser = success(1);") == (
        "Using @qi/base, define `loadUser`: load user."
    )
    text = IMPORT + 'describe("users", () => { it("load", () => { success(1); }); });'
    pattern = pattern_of(tmp_path, "users > load", {"lib/tests/a.test.ts": text})
    assert pattern.instruction == ("Write a vitest test for code that uses @qi/base: users > load.")


def test_a_block_is_asked_for_by_headings_and_prose(tmp_path: Path) -> None:
    text = "# Guide\n\n## Users\n\n### Load\n\nRead them:\n\n```ts\nsuccess(1)\n```"
    pattern = pattern_of(tmp_path, "Guide > Users > Load", {DOC: text})
    assert pattern.instruction == "Using @qi/base, show: Users / Load (Read them)."


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const f = (a: A, b = 1): C => 1", "f(a: A, b = 1): C"),
        (
            "const f = async <T,>(\n  a: T, // the a\n  { b }: B = {},\n) => 1",
            "f<T,>(a: T, { b }: B = {})",
        ),
        ("const f = a => 1", "f(a)"),
        ("function f<T extends A>(a: T): a is B {}", "f<T extends A>(a: T): a is B"),
        ("const f = function (a: A) {}", "f(a: A)"),
    ],
)
def test_a_signature_is_one_line_without_comments(code: str, expected: str) -> None:
    statement = parse_module(code).root.named_children[0]
    node = statement if statement.type == "function_declaration" else statement.named_children[0]
    assert signature(node) == expected


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/** One. Two. */", "One"),
        ("/**\n * One\n * line.\n */", "One line"),
        ("/**\n * One\n *\n * Two\n */", "One"),
        ("/**\n * One\n * Contract: two\n */", "One"),
        ("/**\n * One\n * @param a two\n */", "One"),
        ("/**\n * Example 3: One\n */", "One"),
        ("/** @internal */", None),
        ("/** */", None),
        ("/**/", None),
        ("/* One */", None),
        ("// One", None),
        ("", None),
    ],
)
def test_the_doc_sentence_is_what_the_comment_opens_with(
    comment: str, expected: str | None
) -> None:
    statement = parse_module(f"{comment}\nfunction f() {{}}").root.named_children[-1]
    assert doc_sentence(statement) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loadUserById", "load user by id"),
        ("MAX_SIZE", "max size"),
        ("parse2Numbers", "parse2 numbers"),
    ],
)
def test_identifiers_become_words(name: str, words: str) -> None:
    assert humanized(name) == words


BODIES = [
    "export const f = (a: number) => { const secret1 = a; return success(secret1); };",
    "export function f(a: number) { return success(create('secret2', `secret3 ${a}`)); }",
    "/** Doc. */\nexport class F { secret4 = 1; m() { return success(this.secret4); } }",
    "export const f = success({ secret5: 1 });",
    "const secret6 = 1;\n// secret7\nexport const f = () => success(secret6);",
    'it("title", () => { expect(success(secret8)).toBe(1); });',
    'describe("g", () => { const secret9 = 1; it.each([secret9])("t", () => success(1)); });',
]


@settings(deadline=None, max_examples=20)
@given(st.permutations(BODIES), st.sampled_from([APP, "lib/tests/a.test.ts"]))
def test_no_text_of_a_body_gets_into_an_instruction(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[str], path: str
) -> None:
    fenced = "".join(f"\n## Part\n\nProse.\n\n```ts\n{body}\n```\n" for body in bodies)
    files = {path: IMPORT + "\n".join(bodies), DOC: fenced}
    patterns = extract(tmp_path_factory.mktemp("planted"), files).patterns
    planted = [p for p in patterns if p.metadata.source_file in files]
    assert len(planted) >= len(BODIES)
    for pattern in planted:
        assert "secret" not in pattern.instruction
        assert "\n" not in pattern.instruction
