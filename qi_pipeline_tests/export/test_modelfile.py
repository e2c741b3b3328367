import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.export.modelfile import (
    CONVERSATIONS,
    ChatShape,
    derive_chat_shape,
    modelfile_text,
)
from qi_pipeline.library.profile import load_profile
from qi_pipeline_tests.export import go_template

# Qwen2.5 without its tool branches, and a Llama-like one.
QWEN = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] "
    "+ '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}"
    "{%- endif %}{%- for message in messages %}{%- if message.role == 'user' or "
    "(message.role == 'system' and not loop.first) or message.role == 'assistant' %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- endif %}"
)
WITHOUT_DEFAULT = (
    "{% for message in messages %}{{ '[' + message['role'] + ']' + message['content'] + "
    "'<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)
SYSTEM_INSIDE_USER = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[user]' + "
    "(messages[0]['content'] if messages[0]['role'] == 'system' else '') + message['content'] "
    "}}{% elif message['role'] == 'assistant' %}{{ message['content'] + '<|im_end|>' }}"
    "{% endif %}{% endfor %}"
)


@pytest.fixture
def template_of(tokenizer: Any) -> Iterator[Any]:
    original = tokenizer.chat_template

    def use(template: str | None) -> Any:
        tokenizer.chat_template = template or original
        return tokenizer

    yield use
    tokenizer.chat_template = original


def rendered_by_the_tokenizer(tokenizer: Any, messages: Any) -> str:
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True
    )
    return text


@pytest.mark.slow
@pytest.mark.parametrize("template", [None, QWEN, WITHOUT_DEFAULT], ids=["own", "qwen", "plain"])
def test_the_go_template_prints_what_the_tokenizer_renders(
    template_of: Any, template: str | None
) -> None:
    tokenizer = template_of(template)
    go = derive_chat_shape(tokenizer).go_template()

    for conversation in CONVERSATIONS:
        assert go_template.render(go, conversation) == rendered_by_the_tokenizer(
            tokenizer, conversation
        )


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(system=st.none() | st.text(max_size=30), turns=st.lists(st.text(max_size=30), max_size=6))
def test_any_conversation_is_printed_alike(
    template_of: Any, system: str | None, turns: list[str]
) -> None:
    tokenizer = template_of(None)
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages += [
        {"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(turns)
    ]
    if not messages or messages[-1]["role"] != "user":
        messages.append({"role": "user", "content": "last"})

    go = derive_chat_shape(tokenizer).go_template()

    assert go_template.render(go, messages) == rendered_by_the_tokenizer(tokenizer, messages)


@pytest.mark.slow
def test_an_answer_already_begun_is_left_open(template_of: Any) -> None:
    go = derive_chat_shape(template_of(None)).go_template()
    messages = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "```type"}]

    assert go_template.render(go, messages).endswith("<|im_start|>assistant\n```type")


@pytest.mark.slow
def test_a_template_that_is_no_text_around_messages_is_refused(template_of: Any) -> None:
    with pytest.raises(QiPipelineError, match="cannot be written for Ollama"):
        derive_chat_shape(template_of(SYSTEM_INSIDE_USER))


@pytest.mark.slow
def test_generation_stops_at_the_turn_end_and_at_the_end_of_text(template_of: Any) -> None:
    assert derive_chat_shape(template_of(None)).stop == ("<|im_end|>", "<|endoftext|>")


def test_the_modelfile_sets_everything_that_ollama_would_guess() -> None:
    roles = {"system": "", "user": "", "assistant": ""}
    shape = ChatShape("", roles, roles, "A:", ("<end>",))
    prompt = load_profile().system_prompt

    text = modelfile_text(shape, prompt, context_length=2048, max_answer=256)

    assert text.startswith("FROM ./qi-expert.gguf\n")
    for line in (
        *('PARAMETER stop "<end>"', "PARAMETER num_ctx 2048", "PARAMETER num_predict 256"),
        "PARAMETER temperature 0",
    ):
        assert line in text.splitlines()
    assert re.search(r'^TEMPLATE """(.+)"""$', text, re.MULTILINE)
    assert f'SYSTEM """{prompt}"""' in text


def test_a_system_prompt_that_would_end_the_modelfile_string_is_refused() -> None:
    roles = dict.fromkeys(("system", "user", "assistant"), "")

    with pytest.raises(QiPipelineError, match="system prompt contains"):
        modelfile_text(
            ChatShape("", roles, roles, "", ()),
            'quotes """ here',
            context_length=1,
            max_answer=1,
        )
