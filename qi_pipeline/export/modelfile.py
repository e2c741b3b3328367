"""The Ollama Modelfile of a model, derived from that model's own chat template.

Flows in: a tokenizer and a system prompt. Flows out: a `ChatShape` (what stands before and after
each role's content), its Go template, and the Modelfile text. The derived shape is compared with
the tokenizer's own rendering of several conversations before it is used. Deploying belongs to
serving.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.rows import end_token, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]

_ROLES = ("system", "user", "assistant")
_SYSTEM, _USER, _ASSISTANT = "Qsystem7 content", "Quser7 content", "Qassistant7 content"

# Conversations that a chat template may treat differently.
CONVERSATIONS: tuple[tuple[Message, ...], ...] = (
    ({"role": "user", "content": "Write a module."},),
    (
        {"role": "system", "content": "You write TypeScript."},
        {"role": "user", "content": 'Wrap `JSON.parse`.\n\nReturn a "Result".'},
    ),
    (
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "```typescript\nexport const one = 1;\n```"},
        {"role": "user", "content": "Second {{ .Content }}"},
    ),
    (
        {"role": "system", "content": "System"},
        {"role": "user", "content": "First"},
        {"role": "assistant", "content": "Answer"},
        {"role": "user", "content": "Second"},
        {"role": "assistant", "content": "Answer again"},
        {"role": "user", "content": "Third"},
    ),
)


@dataclass(frozen=True)
class ChatShape:
    """A chat template as plain text around each role's content."""

    default_system: str
    """What is written before a conversation that opens without a system message."""
    before: dict[str, str]
    after: dict[str, str]
    opening: str
    """What opens the answer to be generated."""
    stop: tuple[str, ...]
    """Every token that ends an answer."""

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt that Ollama builds for `messages`, the answer's opening included."""
        text = self.default_system if messages[0]["role"] != "system" else ""
        for message in messages:
            role = message["role"]
            text += self.before[role] + message["content"] + self.after[role]
        return text + self.opening

    def go_template(self) -> str:
        """Return the same shape as a Go template over `.Messages`.

        All text stands in quoted constants, so that no white space of the template itself is ever
        printed. An answer already begun (a last message of the assistant) is left open.
        """
        head = "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        if self.default_system:
            head += (
                f'{{{{ if and (eq $i 0) (ne .Role "system") }}}}{_constant(self.default_system)}'
            )
            head += "{{ end }}"
        keyword = "if"
        for role in _ROLES:
            after = _constant(self.after[role])
            if role == "assistant":
                after = f"{{{{ if not $last }}}}{after}{{{{ end }}}}"
            head += f'{{{{ {keyword} eq .Role "{role}" }}}}'
            head += f"{_constant(self.before[role])}{{{{ .Content }}}}{after}"
            keyword = "else if"
        return (
            f"{head}{{{{ end }}}}"
            f'{{{{ if and $last (ne .Role "assistant") }}}}{_constant(self.opening)}{{{{ end }}}}'
            "{{ end }}"
        )


def _constant(text: str) -> str:
    # A JSON string is a Go string as long as nothing outside the basic plane is escaped.
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"


def derive_chat_shape(tokenizer: "PreTrainedTokenizerBase") -> ChatShape:
    """Return the shape of the tokenizer's chat template.

    Raises QiPipelineError when the template is not plain text around each role's content, or when
    the derived shape renders any of `CONVERSATIONS` differently.
    """
    system = {"role": "system", "content": _SYSTEM}
    user = {"role": "user", "content": _USER}
    assistant = {"role": "assistant", "content": _ASSISTANT}
    texts = [
        _render(tokenizer, messages)
        for messages in ([system], [system, user], [system, user, assistant])
    ]
    parts = [_added(shorter, longer) for shorter, longer in zip(["", *texts], texts, strict=False)]
    around = {
        role: _split(part, content)
        for role, part, content in zip(_ROLES, parts, (_SYSTEM, _USER, _ASSISTANT), strict=True)
    }
    opened = render(tokenizer, [system, user], add_generation_prompt=True)
    default, _ = _split(_render(tokenizer, [user]), "".join((around["user"][0], _USER)))
    shape = ChatShape(
        default_system=default,
        before={role: before for role, (before, _) in around.items()},
        after={role: after for role, (_, after) in around.items()},
        opening=_added(texts[1], opened),
        stop=_stop_tokens(tokenizer, around["assistant"][1]),
    )
    _verify(shape, tokenizer)
    return shape


def _render(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str:
    return render(tokenizer, messages, add_generation_prompt=False)


def _unfit(reason: str) -> QiPipelineError:
    return QiPipelineError(
        f"the chat template of this model cannot be written for Ollama: {reason}; use a base model "
        "whose template is plain text around each message"
    )


def _added(shorter: str, longer: str) -> str:
    if not longer.startswith(shorter):
        raise _unfit("a further message changes what stands before it")
    return longer[len(shorter) :]


def _split(text: str, content: str) -> tuple[str, str]:
    before, found, after = text.partition(content)
    if not found:
        raise _unfit(f"it does not write the content {content!r} as it is")
    return before, after


def _stop_tokens(tokenizer: "PreTrainedTokenizerBase", after_answer: str) -> tuple[str, ...]:
    turn_end = end_token(tokenizer, after_answer)
    end_of_text = [
        token for token in (tokenizer.eos_token, "<|endoftext|>") if _is_token(tokenizer, token)
    ]
    return tuple(dict.fromkeys([turn_end, *end_of_text]))


def _is_token(tokenizer: "PreTrainedTokenizerBase", token: Any) -> bool:
    return isinstance(token, str) and token in tokenizer.get_vocab()


def _verify(shape: ChatShape, tokenizer: "PreTrainedTokenizerBase") -> None:
    for conversation in CONVERSATIONS:
        expected = render(tokenizer, conversation, add_generation_prompt=True)
        if shape.render(conversation) != expected:
            raise _unfit(f"it renders {len(conversation)} messages in a way of their own")


def modelfile_text(
    shape: ChatShape, system_prompt: str, *, context_length: int, max_answer: int
) -> str:
    """Return the Modelfile: template, stop tokens, greedy decoding, lengths and system prompt.

    `context_length` and `max_answer` are in tokens; Ollama's own default answer has no end.
    """
    if '"""' in system_prompt:
        raise QiPipelineError('the system prompt contains """, which a Modelfile cannot hold')
    stops = "".join(f"PARAMETER stop {json.dumps(stop)}\n" for stop in shape.stop)
    return (
        "FROM ./qi-expert.gguf\n"
        f'TEMPLATE """{shape.go_template()}"""\n'
        f"{stops}"
        f"PARAMETER num_ctx {context_length}\n"
        f"PARAMETER num_predict {max_answer}\n"
        "PARAMETER temperature 0\n"
        f'SYSTEM """{system_prompt}"""\n'
    )
