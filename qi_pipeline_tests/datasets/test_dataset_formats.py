"""Records of each format; a fence that a Markdown reader gives back unchanged."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from qi_pipeline.datasets.formats import (
    alpaca_record,
    characters_of,
    conversation_record,
    pattern_record,
    prompt_completion_record,
)
from qi_pipeline.datasets.samples import Sample, fenced
from qi_pipeline.datasets.splits import Assignment
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline_tests.datasets.conftest import build_row

SAMPLE = Sample("1-own", "1", "write", "own", "Add.", "export const add = 1;")
EXPLAINED = Sample("1-explain", "1", "explain", "explain", "What is it?", "One.", given="Code.")

# Markdown itself replaces NUL and normalises line ends, so neither can be in a source file here.
code_lines = st.lists(
    st.one_of(
        st.sampled_from(
            ["```", "````  ", "  ```", "    ```", "```typescript", " * ```ts", "`", ""]
        ),
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=20),
    ),
    max_size=8,
).map("\n".join)


@settings(deadline=None)
@given(code_lines)
@example("const a = `\n```\n`;\n````\t\n")
def test_a_markdown_reader_gets_the_implementation_back(code: str) -> None:
    tokens = MarkdownIt().parse(fenced(code))
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].info == "typescript"
    assert tokens[0].content.strip("\n") == code.strip("\n")


def test_plain_code_gets_the_three_ticks_that_the_system_prompt_asks_for() -> None:
    assert fenced("\nconst a = 1;\n") == "```typescript\nconst a = 1;\n```"


def test_the_exported_pattern_has_the_documented_names_and_round_trips() -> None:
    pattern = build_row(1).pattern
    record = pattern_record(pattern, ["fix", "write", "write"])
    assert record.pop("kinds") == ["write", "fix"]
    assert list(record)[:7] == [
        *("id", "type", "instruction", "implementation", "complexity", "category", "metadata"),
    ]
    assert {"symbols", "commit", "blob", "container", "source_kind"} <= set(record)
    assert list(record["metadata"])[:4] == [
        *("source_file", "line_range", "dependencies", "test_coverage"),
    ]
    assert Pattern.model_validate(record) == pattern


def test_every_format_carries_the_same_question_and_answer() -> None:
    answer = "```typescript\nexport const add = 1;\n```"
    system = {"role": "system", "content": "Write."}
    user = {"role": "user", "content": "Add."}
    assistant = {"role": "assistant", "content": answer}
    assert alpaca_record(SAMPLE) == {
        "instruction": "Add.",
        "input": "",
        "output": answer,
        "kind": "write",
    }
    assert conversation_record(SAMPLE, "Write.") == {
        "id": "1-own",
        "kind": "write",
        "messages": [system, user, assistant],
    }
    assert prompt_completion_record(SAMPLE, Assignment("train", "g"), "Write.") == {
        "id": "1-own",
        "kind": "write",
        "group": "g",
        "prompt": [system, user],
        "completion": [assistant],
    }
    assert characters_of(SAMPLE, "Write.") == len("Write.") + len("Add.") + len(answer)


def test_given_code_stands_below_the_question_and_prose_in_no_block() -> None:
    record = conversation_record(EXPLAINED, "Write.")
    assert [m["content"] for m in record["messages"]] == ["Write.", "What is it?\n\nCode.", "One."]
    assert alpaca_record(EXPLAINED) == {
        "instruction": "What is it?",
        "input": "Code.",
        "output": "One.",
        "kind": "explain",
    }
    assert characters_of(EXPLAINED, "") == len("What is it?\n\nCode.One.")
