"""A GGUF model that answers several conversations side by side, through llama.cpp's own interface.

Flows in: a model file and conversations. Flows out: one `Completion` per conversation. Only the
generation process imports this module: it loads the llama.cpp binding. Files of answers and
processes do not belong here.

An answer depends on its conversation alone, not on its neighbours or the number of threads, as far
as llama.cpp's CPU kernels allow it (measured, see the tests). Five things bring that about:

- attention is computed without the flash kernels, which add up in 16 bits on a CPU and share a lone
  row among threads;
- with some kinds of quantization (Q4_K and what Q4_K_M mixes in, not Q8_0, Q4_0 or Q4_1) a row is
  rounded otherwise among many rows than alone: where that is so, which is tried out when a context
  is opened, a step is filled up with rows that nobody reads;
- a prompt is read in blocks whose ends follow from its length, whether it is read itself or its
  first blocks are copied from a neighbour with the same beginning;
- every conversation has cache cells of its own;
- each draws with a seed of its own.
"""

import ctypes
import itertools
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import llama_cpp
from jinja2 import TemplateError
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.records import FinishReason, Message
from qi_pipeline.evaluation.repetition import is_stuck

_BLOCK = 64
"""Tokens of a prompt that are read at once; conversations share beginnings in these units."""
_TILE = 4
_FEWEST_ROWS = 8
"""Steps of at least so many rows, in whole tiles, round alike with every kind of quantization.

Measured with 1 to 31 rows of Q4_K, Q5_0, Q6_K and Q8_0 tensors on AVX-512: llama.cpp picks kernels
by the number of rows (ggml-cpu/repack.cpp, llamafile/sgemm.cpp)."""
_PROBE = 32
"""Tokens with which it is tried out whether a model needs that."""
_CELLS = 256
"""llama.cpp gives a sequence a multiple of this many cache cells."""
_EVERYTHING = -1
"""As an end position in llama.cpp: to the last cell; as a start position: from the first."""
_KEEP_DATA = False
"""For llama_memory_clear: cells are marked free, their contents left."""
_PIECE_BYTES = 64


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen."""

    max_tokens: int
    temperature: float
    """0 is greedy."""
    top_p: float


@dataclass(frozen=True)
class Conversation:
    """A prompt in tokens, ready for an answer."""

    tokens: tuple[int, ...]
    seed: int
    """Of this answer's draws."""


@dataclass(frozen=True)
class Completion:
    """An answer to one conversation; times count from when its prompt began to be read."""

    text: str
    tokens: int
    """Without the token that ended it."""
    finish_reason: FinishReason
    first_token_seconds: float
    latency_seconds: float
    seconds: float
    """Its prompt's reading and its part of every step that it shared with others."""


@dataclass(eq=False)
class _Slot:
    """One conversation while it is being answered."""

    place: int
    """Among the conversations."""
    conversation: Conversation
    sequence: int
    """llama.cpp's number of its cache; running slots have the numbers from 0, without a gap."""
    sampler: Any
    started: float = field(default_factory=time.perf_counter)
    written: list[int] = field(default_factory=list)
    first_token_seconds: float = 0.0
    latency_seconds: float = 0.0
    seconds: float = 0.0
    finish_reason: FinishReason | None = None

    @property
    def position(self) -> int:
        """Return the position of the last token written, which is the next to be read."""
        return len(self.conversation.tokens) + len(self.written) - 1


class BatchedModel:
    """A loaded model. Close it: llama.cpp's memory is not Python's."""

    def __init__(self, path: Path, threads: int) -> None:
        self._threads = threads
        self._context: Any = None
        self._slots = 0
        self._rows_round_alike = False
        self._batch: Any = None
        llama_cpp.llama_backend_init()
        llama_cpp.llama_log_set(_log_errors, ctypes.c_void_p(0))
        self._model: Any = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        if not self._model:
            raise QiPipelineError(f"cannot load {path}; expected a complete GGUF model file")
        self._vocabulary: Any = llama_cpp.llama_model_get_vocab(self._model)
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            self.close()
            raise QiPipelineError(
                f"{path} has no tokenizer.chat_template; export it with its tokenizer's template"
            )
        try:
            self._format = Jinja2ChatFormatter(
                template=template.decode(),
                eos_token=self._name_of(llama_cpp.llama_vocab_eos(self._vocabulary)),
                bos_token=self._name_of(llama_cpp.llama_vocab_bos(self._vocabulary)),
            )
        except TemplateError as error:
            self.close()
            raise QiPipelineError(f"{path}: its chat template is broken: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and its context."""
        self._close_context()
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def _close_context(self) -> None:
        if self._batch is not None:
            llama_cpp.llama_batch_free(self._batch)
            self._batch = None
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None

    def _name_of(self, token: int) -> str:
        if token < 0:
            return ""
        return str(llama_cpp.llama_vocab_get_text(self._vocabulary, token).decode())

    @property
    def trained_tokens(self) -> int:
        """Return the length of the conversations that the model was trained for, in tokens."""
        return int(llama_cpp.llama_model_n_ctx_train(self._model))

    def tokenize(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the conversation in tokens, up to where the answer begins.

        The template alone writes special tokens, as it did in training; none is added, so none is
        doubled. Raises ValueError with the template's words when it refuses the conversation.
        """
        rows: Any = [message.model_dump() for message in messages]
        text = self._format(messages=rows).prompt.encode()
        # Every token stands for at least one byte, but for one that a tokenizer may put before.
        room = len(text) + 1
        tokens = (llama_cpp.llama_token * room)()
        add_special, parse_special = False, True
        count = llama_cpp.llama_tokenize(
            self._vocabulary, text, len(text), tokens, room, add_special, parse_special
        )
        if count <= 0:
            raise ValueError(f"the chat template gives {len(text)} bytes that make no tokens")
        return tuple(tokens[:count])

    def ends_answer(self, token: int) -> bool:
        """Tell whether an answer ends where the model writes this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocabulary, token))

    def open_context(self, slots: int, tokens: int) -> None:
        """Make room for `slots` conversations of up to `tokens` tokens each, answers included."""
        self._close_context()
        self._slots = slots
        sequences = _filled_up(slots)
        if sequences > llama_cpp.llama_max_parallel_sequences():
            raise QiPipelineError(
                f"{slots} slots are more than llama.cpp's "
                f"{llama_cpp.llama_max_parallel_sequences()}; ask for fewer"
            )
        cells = -(-tokens // _CELLS) * _CELLS
        rows = max(sequences, _BLOCK)
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = cells * sequences
        parameters.n_seq_max = sequences
        parameters.n_batch = rows
        parameters.n_ubatch = rows
        parameters.n_outputs_max = sequences
        parameters.n_threads = self._threads
        parameters.n_threads_batch = self._threads
        parameters.kv_unified = False
        # With them logits differ by 0.7 between block sizes (measured), and by nothing without.
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        # Without every cell a beginning could not be cut out of a longer conversation.
        parameters.swa_full = True
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise QiPipelineError(
                f"no memory for {slots} conversations of {cells} tokens side by side; ask for "
                "fewer slots or a smaller n_ctx"
            )
        self._batch = llama_cpp.llama_batch_init(rows, 0, 1)
        self._rows_round_alike = self._try_rows()

    def _try_rows(self) -> bool:
        """Tell whether tokens give the same logits, to the bit, alone and beside others."""
        step = llama_cpp.llama_vocab_n_tokens(self._vocabulary) // _PROBE
        tokens = [index * step for index in range(_PROBE)]
        return self._lone_logits(tokens, 1) == self._lone_logits(tokens, _FEWEST_ROWS)

    def _lone_logits(self, tokens: Sequence[int], rows: int) -> list[bytes]:
        """Return the logits after each token, each the first of a sequence, `rows` at a time."""
        found: list[bytes] = []
        for start in range(0, len(tokens), rows):
            step = tokens[start : start + rows]
            self._decode([(token, 0, sequence, True) for sequence, token in enumerate(step)])
            found += map(self._logits, range(len(step)))
            llama_cpp.llama_memory_clear(self._memory, _KEEP_DATA)
        return found

    def _logits(self, row: int) -> bytes:
        size = llama_cpp.llama_vocab_n_tokens(self._vocabulary) * ctypes.sizeof(ctypes.c_float)
        return ctypes.string_at(llama_cpp.llama_get_logits_ith(self._context, row), size)

    def answer(
        self, conversations: Sequence[Conversation], decoding: Decoding
    ) -> Generator[tuple[int, Completion]]:
        """Yield the place of each conversation and its completion, as soon as it is finished.

        A conversation that is finished makes room for the next. Needs an open context with enough
        tokens.
        """
        llama_cpp.llama_memory_clear(self._memory, _KEEP_DATA)
        waiting = deque(enumerate(conversations))
        running: list[_Slot] = []
        try:
            while waiting or running:
                while waiting and len(running) < self._slots:
                    place, conversation = waiting.popleft()
                    sampler = _sampler(decoding, conversation.seed)
                    running.append(_Slot(place, conversation, len(running), sampler))
                    self._begin(running[-1], running[:-1], decoding)
                yield from self._part_with_finished(running)
                if running:
                    self._step(running, decoding)
                    yield from self._part_with_finished(running)
        finally:
            for slot in running:
                llama_cpp.llama_sampler_free(slot.sampler)

    def _begin(self, slot: _Slot, neighbours: Sequence[_Slot], decoding: Decoding) -> None:
        self._read_prompt(slot, neighbours)
        self._write_token(slot, -1, decoding)
        slot.first_token_seconds = slot.latency_seconds
        slot.seconds = slot.latency_seconds

    def _part_with_finished(self, running: list[_Slot]) -> Iterator[tuple[int, Completion]]:
        """Take the finished slots out of `running` and yield what they wrote."""
        finished = [slot for slot in running if slot.finish_reason is not None]
        if not finished:
            return
        running[:] = self._compact(running)
        for slot in finished:
            llama_cpp.llama_sampler_free(slot.sampler)
        for slot in finished:
            yield slot.place, self._completion(slot)

    @property
    def _memory(self) -> Any:
        return llama_cpp.llama_get_memory(self._context)

    def _write_token(self, slot: _Slot, row: int, decoding: Decoding) -> None:
        """Draw the slot's next token from an output row of the last step (-1 is its last one)."""
        token = int(llama_cpp.llama_sampler_sample(slot.sampler, self._context, row))
        slot.latency_seconds = time.perf_counter() - slot.started
        if self.ends_answer(token):
            slot.finish_reason = "stop"
            return
        slot.written.append(token)
        if len(slot.written) >= decoding.max_tokens:
            slot.finish_reason = "length"
        elif is_stuck(slot.written):
            slot.finish_reason = "repetition"

    def _read_prompt(self, slot: _Slot, neighbours: Sequence[_Slot]) -> None:
        """Fill the slot's cache with its prompt; its first blocks may be a neighbour's."""
        tokens = slot.conversation.tokens
        ends = block_ends(len(tokens))
        start, neighbour = max(
            (
                (shared_start(tokens, other.conversation.tokens), -other.sequence)
                for other in neighbours
            ),
            default=(0, 0),
        )
        if start and self._shares_beginnings:
            self._copy(-neighbour, slot.sequence, start)
        else:
            start = 0
        for end in ends:
            if end > start:
                last = end == len(tokens)
                self._decode(
                    [
                        (tokens[position], position, slot.sequence, last and position == end - 1)
                        for position in range(start, end)
                    ]
                )
                start = end

    @property
    def _shares_beginnings(self) -> bool:
        """Tell whether a sequence can be cut back to a beginning: no recurrent state can."""
        return not (
            llama_cpp.llama_model_is_recurrent(self._model)
            or llama_cpp.llama_model_is_hybrid(self._model)
        )

    def _copy(self, source: int, target: int, length: int) -> None:
        # Sequences with cells of their own are copied whole or not at all.
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, _EVERYTHING, _EVERYTHING)
        llama_cpp.llama_memory_seq_rm(self._memory, target, length, _EVERYTHING)

    def _forget(self, sequence: int) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, _EVERYTHING, _EVERYTHING)

    def _compact(self, slots: Sequence[_Slot]) -> list[_Slot]:
        """Return the slots that go on, after giving them the sequences from 0 without a gap.

        llama.cpp decodes only neighbouring sequences together: a gap would cost a second pass
        through the whole model.
        """
        running = [slot for slot in slots if slot.finish_reason is None]
        taken = {slot.sequence for slot in running}
        for slot in slots:
            if slot.finish_reason is not None:
                self._forget(slot.sequence)
        gaps = (sequence for sequence in range(len(running)) if sequence not in taken)
        for slot in running:
            if slot.sequence >= len(running):
                gap = next(gaps)
                llama_cpp.llama_memory_seq_cp(
                    self._memory, slot.sequence, gap, _EVERYTHING, _EVERYTHING
                )
                self._forget(slot.sequence)
                slot.sequence = gap
        return sorted(running, key=lambda slot: slot.sequence)

    def _step(self, running: Sequence[_Slot], decoding: Decoding) -> None:
        """Read the last token of every slot and write its next one."""
        start = time.perf_counter()
        rows = [(slot.written[-1], slot.position, slot.sequence, True) for slot in running]
        wanted = len(rows) if self._rows_round_alike else _filled_up(len(rows))
        padding = range(len(rows), wanted)
        self._decode(rows + [(rows[0][0], 0, sequence, False) for sequence in padding])
        for sequence in padding:
            self._forget(sequence)
        # The output row of a slot is its place in `running`.
        for row, slot in enumerate(running):
            self._write_token(slot, row, decoding)
        seconds = time.perf_counter() - start
        for slot in running:
            slot.seconds += seconds / len(running)

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Read tokens, each with its position, sequence and whether its output is wanted."""
        batch = self._batch
        for index, (token, position, sequence, output) in enumerate(rows):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = output
        batch.n_tokens = len(rows)
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise QiPipelineError(
                f"llama.cpp could not decode {len(rows)} tokens (status {status}); ask for fewer "
                "slots, or check the model file"
            )

    def _completion(self, slot: _Slot) -> Completion:
        return Completion(
            text=self.text_of(slot.written),
            tokens=len(slot.written),
            finish_reason=slot.finish_reason or "length",
            first_token_seconds=slot.first_token_seconds,
            latency_seconds=slot.latency_seconds,
            seconds=slot.seconds,
        )

    def text_of(self, tokens: Sequence[int]) -> str:
        """Return the text of an answer's tokens; special tokens have none.

        A character may lie across tokens: bytes are joined before they are read as text. One that
        the end cuts off, or that the model wrote wrong, becomes U+FFFD.
        """
        return b"".join(map(self._piece, tokens)).decode("utf-8", errors="replace")

    def _piece(self, token: int) -> bytes:
        room = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(room)
            size = llama_cpp.llama_token_to_piece(
                self._vocabulary,
                token,
                buffer,
                room,
                0,
                False,  # noqa: FBT003 (C)
            )
            if size >= 0:
                return buffer.raw[:size]
            room = -size


def _filled_up(rows: int) -> int:
    """Return how many rows a step of `rows` gets where rows do not round alike."""
    return max(_FEWEST_ROWS, -(-rows // _TILE) * _TILE)


def block_ends(length: int) -> tuple[int, ...]:
    """Return where the blocks of a prompt of `length` tokens end."""
    return (*range(_BLOCK, length, _BLOCK), length)


def shared_start(tokens: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens of a prompt can be copied from another one: equal whole blocks.

    The last block is always read, because the answer's first token follows from it.
    """
    pairs = zip(tokens, other, strict=False)
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(same, len(tokens) - 1) // _BLOCK * _BLOCK


def _sampler(decoding: Decoding, seed: int) -> Any:
    """Return a sampler of its own for one answer, in llama.cpp's order: top-p, then temperature."""
    if decoding.temperature <= 0:
        return llama_cpp.llama_sampler_init_greedy()
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    for sampler in (
        llama_cpp.llama_sampler_init_top_p(decoding.top_p, 1),
        llama_cpp.llama_sampler_init_temp(decoding.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ):
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    return chain


_ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR in ggml.h; the binding's own comment is out of date


def _print_errors(level: int, text: bytes, _data: object) -> None:
    if level == _ERROR_LEVEL:
        sys.stderr.write(text.decode("utf-8", errors="replace"))
        sys.stderr.flush()


_log_errors = llama_cpp.llama_log_callback(_print_errors)
"""Kept by the module: llama.cpp calls it for as long as the process lives."""
