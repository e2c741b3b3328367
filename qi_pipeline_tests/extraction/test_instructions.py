# ruff: noqa: E501 - a question and its source read best on one line
"""What an instruction says, and what it never says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline.extraction.instructions import doc_paragraph, doc_sentence, signature
from qi_pipeline.extraction.syntax import parse_module
from qi_pipeline_tests.extraction.planted import APP, DOC, extract, pattern_of

IMPORT = 'import { success, create } from "@qi/base";\n'


def instruction(root: Path, text: str) -> str:
    return pattern_of(root, "loadUser", {APP: IMPORT + text}).instruction


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "/** Loads a user. Slowly. */\nconst loadUser = (id: string): X => success(id);",
            "Write `loadUser(id: string): X` with @qi/base. It loads a user.",
        ),
        (
            "/**\n * Load a user\n * from the store\n */\nfunction loadUser() { success(1); }",
            "Write `loadUser()` with @qi/base to load a user from the store.",
        ),
        (
            "/** Step 2: User Loading (the new way) */\nfunction loadUser() { success(1); }",
            "Write `loadUser()` with @qi/base: user loading.",
        ),
        (
            "function loadUser() { success(1); }",
            "Write `loadUser()` with @qi/base to load a user.",
        ),
        (
            "/** loadUser implementation */\nfunction loadUser() { success(1); }",
            "Write `loadUser()` with @qi/base to load a user.",
        ),
        (
            "/** As shown above, it is loaded. */\nfunction loadUser() { success(1); }",
            "Write `loadUser()` with @qi/base to load a user.",
        ),
        (
            "class loadUser { m() { success(1); } #own() {} private hidden() {} }",
            "Write the class `loadUser` with @qi/base and the method `m`.",
        ),
        (
            "/** Keeps users. */\nclass loadUser { m() { success(1); } }",
            "Write the class `loadUser` with @qi/base. It keeps users.",
        ),
        (
            "const loadUser = success(create(1));",
            "Define `loadUser` with `create` and `success` from @qi/base.",
        ),
    ],
)
def test_a_unit_is_asked_for_by_what_is_known_of_it(
    code: str, expected: str, tmp_path: Path
) -> None:
    assert instruction(tmp_path, code) == expected


def test_a_name_of_one_word_is_asked_for_by_the_symbols_to_use(tmp_path: Path) -> None:
    text = IMPORT + "function load() { success(1); }"
    assert pattern_of(tmp_path, "load", {APP: text}).instruction == (
        "Write `load()` with `success` from @qi/base."
    )


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("", "the entry point of the demo application."),
        (
            "#!/usr/bin/env node\n/**\n * Order Desk Demo\n *\n * Orders.\n */\n",
            "the entry point of an application: order desk demo.",
        ),
    ],
)
def test_an_entry_point_is_named_after_its_application(
    head: str, expected: str, tmp_path: Path
) -> None:
    text = f"{head}{IMPORT}function main() {{ success(1); }}"
    found = pattern_of(tmp_path, "main", {APP: text}).instruction
    assert found == f"Write `main()` with @qi/base: {expected}"


def test_a_demonstration_is_about_the_function_it_calls(tmp_path: Path) -> None:
    text = 'import { flatMap } from "@qi/base";\nfunction demonstrateFlatMap() { flatMap(1); }'
    assert pattern_of(tmp_path, "demonstrateFlatMap", {APP: text}).instruction == (
        "Write `demonstrateFlatMap()` with @qi/base to demonstrate `flatMap`."
    )


def test_a_test_is_asked_for_by_its_title(tmp_path: Path) -> None:
    text = IMPORT + 'describe("users", () => { it("load", () => { success(1); }); });'
    pattern = pattern_of(tmp_path, "users > load", {"lib/tests/a.test.ts": text})
    assert pattern.instruction == (
        'Write the vitest case "load" in the group "users" for code that uses @qi/base.'
    )


@pytest.mark.parametrize(
    ("headings", "prose", "expected"),
    [
        ("# Cache\n\n## 2. Batch Operations", "", "Write a @qi/base example of batch operations for the cache."),
        ("# Guide\n\n## Create a Logger", "", "Show how to create a logger with @qi/base."),
        (
            "# Tool: Logger\n\n## Basic Usage\n\n### Levels",
            "Use other levels in other places:",
            "Write a @qi/base example of levels for the logger: use other levels in other places.",
        ),
        ("# Results\n\n## Ask before you look", "Let's look:", "Results: show how to ask before you look with @qi/base."),
        ("# Results\n\n## Real Example", "", "Write a @qi/base example of the results."),
        ("# @qi/base\n\n## Quick Start", "", "Write a @qi/base example of typical use."),
        (
            "# Result<T> API Reference\n\n### unwrapOr<T>(fallback: T, result: Result<T>): T",
            "Extracts the value or returns a default.",
            "Show how to use `unwrapOr` from @qi/base. It extracts the value or returns a default.",
        ),
        ("# Results\n\n## map, mapError", "`map(f)(x) == f(x)` always", "Show how to use `map` and `mapError` from @qi/base."),
    ],
)  # fmt: skip
def test_a_block_is_asked_for_by_its_topic_and_never_by_its_place(
    headings: str, prose: str, expected: str, tmp_path: Path
) -> None:
    text = f"{headings}\n\n{prose}\n\n```ts\nconst a = success(1)\n```"
    (pattern,) = (
        p for p in extract(tmp_path, {DOC: text}).patterns if p.metadata.source_file == DOC
    )
    assert pattern.instruction == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("const f = (a: A, b = 1): C => 1", "f(a: A, b = 1): C"),
        ("const f = (a: {\n  b: B\n  c?: C\n}) => 1", "f(a: { b: B; c?: C })"),
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


def test_the_doc_paragraph_ends_at_the_first_tag_or_list() -> None:
    comment = (
        "/**\n * See {@link map} first.\n * Then **go**.\n * @param a two\n * Contract: x\n */"
    )
    statement = parse_module(f"{comment}\nfunction f() {{}}").root.named_children[-1]
    assert doc_paragraph(statement) == "See map first.\nThen go."


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
