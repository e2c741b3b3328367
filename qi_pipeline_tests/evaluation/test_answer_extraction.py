import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qi_pipeline.evaluation import answers
from qi_pipeline.evaluation.answers import extract_code
from qi_pipeline.extraction.syntax import Module, parse_module
from qi_pipeline_tests.evaluation.samples import GOOD

names = st.from_regex(r"[a-z]{4,9}", fullmatch=True).filter(
    lambda name: (
        name
        not in {
            "export",
            "const",
            "return",
            "while",
            "break",
            "case",
            "else",
            "catch",
            "class",
            "void",
            "this",
            "true",
            "false",
            "null",
            "with",
            "enum",
            "throw",
            "super",
            "import",
            "switch",
            "default",
            "delete",
            "typeof",
            "finally",
            "function",
            "continue",
            "debugger",
            "await",
            "yield",
            "async",
        }
    )
)
declarations = st.one_of(
    st.builds("export const {0} = (value: number): number => value * {1};\n".format,
              names, st.integers(0, 99)),
    st.builds("export function {0}(value: string): string {{\n  return `${{value}}-{1}`;\n}}\n"
              .format, names, names),
    st.builds("export interface {0}Options {{\n  {1}: string;\n}}\n".format, names, names),
    st.builds("\n/** About {0}. */\nexport class {0}Store {{}}\n".format, names),
)  # fmt: skip
modules = st.builds(
    lambda imported, body: f'import {{ {imported} }} from "@qi/base";\n\n' + "".join(body),
    names,
    st.lists(declarations, min_size=1, max_size=4),
)
prose = st.lists(
    st.sampled_from(
        [
            "Sure!",
            "Here is the module:",
            "Sure",
            "Note",
            "Explanation:",
            "It returns a Result, so nothing is thrown.",
            "",
            "- first, the slot is checked",
            "import the module like this",
            "Let me know if you need more.",
        ]
    ),
    max_size=4,
).map("\n".join)
labels = st.sampled_from(["ts", "typescript", "TypeScript", "tsx", "js", "javascript", ""])


@given(modules, labels, st.sampled_from(["```", "````", "~~~"]))
def test_fencing_a_module_and_extracting_it_round_trips(
    module: str, label: str, fence: str
) -> None:
    found = extract_code(f"{fence}{label}\n{module}{fence}\n")
    assert (found.code, found.how) == (module, "fence")


@given(modules, prose, prose)
def test_prose_around_a_fence_does_not_matter(module: str, before: str, after: str) -> None:
    found = extract_code(f"{before}\n```typescript\n{module}```\n{after}")
    assert found.code == module


@given(modules)
def test_a_fence_that_is_never_closed_still_counts(module: str) -> None:
    assert extract_code(f"Here:\n```ts\n{module}").code == module


@given(modules, prose, prose)
@example('import { pipe } from "@qi/base";\n\nexport class aaaaStore {}\n', "Sure", "Note")
def test_prose_around_an_unfenced_module_does_not_matter(
    module: str, before: str, after: str
) -> None:
    found = extract_code(f"{before}\n{module}\n{after}")
    assert (found.code.strip(), found.how) == (module.strip(), "span")


@given(st.text())
def test_no_answer_makes_it_fail(answer: str) -> None:
    assert extract_code(answer).code in answer or extract_code(answer).how == "span"


def test_the_last_exporting_block_is_taken_rather_than_the_usage_example() -> None:
    draft = GOOD.replace("shelfSlot", "draft")
    answer = f"```ts\n{draft}```\nBetter:\n```ts\n{GOOD}```\nUse it:\n```ts\nshelfSlot(3);\n```\n"
    assert extract_code(answer).code == GOOD


def test_a_broken_block_yields_to_one_that_parses() -> None:
    answer = f"```ts\n{GOOD}```\n```ts\nexport const = ;\n```\n"
    assert extract_code(answer).code == GOOD


def test_a_block_inside_a_list_is_found() -> None:
    indented = "".join(f"    {line}\n" for line in GOOD.splitlines())
    found = extract_code(f"1. Write this:\n\n    ```ts\n{indented}    ```\n\n2. Done.\n")
    assert (found.code, found.how) == (indented, "fence")


def test_a_fence_inside_a_comment_does_not_end_the_module() -> None:
    documented = GOOD.replace("export", "/**\n * ```ts\n * shelfSlot(1);\n * ```\n */\nexport", 1)
    assert extract_code(f"```ts\n{documented}```\n").code == documented
    assert extract_code(f"Sure.\n{documented}").code == documented


def test_a_lone_word_that_begins_like_a_keyword_is_not_code() -> None:
    assert extract_code(f"constant\n\n{GOOD}").code == GOOD


def test_shell_and_json_blocks_are_not_code() -> None:
    answer = f'```sh\nnpm install\n```\n```ts\n{GOOD}```\n```json\n{{"a": 1}}\n```\n'
    assert extract_code(answer).code == GOOD


def test_a_truncated_block_gives_what_is_complete() -> None:
    found = extract_code(f"```ts\n{GOOD}\nexport const next = (value: number) => {{\n  return")
    assert (found.code.strip(), found.how) == (GOOD.strip(), "span")


def test_a_block_of_which_nothing_parses_is_taken_without_its_fence() -> None:
    found = extract_code("Here:\n```ts\nexport const a = (\n```\nDone.")
    assert (found.code, found.how) == ("export const a = (\n", "none")


@pytest.mark.parametrize("answer", ["", "I cannot do that.", "Use the Result type, please."])
def test_an_answer_without_code_is_returned_as_it_is(answer: str) -> None:
    found = extract_code(answer)
    assert (found.code, found.how) == (answer, "none")


def test_a_long_answer_that_never_parses_costs_a_bounded_amount_of_parsing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[int] = []

    def counting(text: str) -> Module:
        parsed.append(len(text))
        return parse_module(text)

    monkeypatch.setattr(answers, "parse_module", counting)
    answer = "export const a = ((((\n" * 2000
    found = extract_code(answer)
    assert (found.code, found.how) == (answer, "none")
    assert 0 < sum(parsed) <= 2_000_000 + 2 * len(answer)
