"""The process that holds the model: `python -m qi_pipeline.evaluation.generation_process SPEC`.

Flows in: the path of a `GenerationSpec` as JSON. Flows out: one `Answer` per question, appended to
the spec's answers file a wave at a time, and a progress line per wave on standard output once the
wave is on the disk. Exit status 2 with a message on standard error when the input is to blame.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import (
    Question,
    answers_to_append,
    append_answers,
    progress,
    read_answers,
    share_of_wall,
    waves,
)
from qi_pipeline.evaluation.generation import GenerationSpec
from qi_pipeline.evaluation.records import Answer
from qi_pipeline.processes import end_with_parent

if TYPE_CHECKING:
    from qi_pipeline.evaluation.batched_model import BatchedModel, Completion


def generate(spec: GenerationSpec) -> None:
    """Generate every answer of the spec that its answers file lacks."""
    with answers_to_append(spec.answers) as stream:
        # Another process may have finished some between the parent's look and this lock.
        kept = read_answers(spec.answers)[0]
        questions = [question for question in spec.questions if question.key not in kept]
        if not questions:
            return
        from qi_pipeline.evaluation.batched_model import BatchedModel  # noqa: PLC0415 - heavy

        finished = spec.total - len(questions)
        with BatchedModel(spec.model, spec.options.threads or os.cpu_count() or 1) as model:
            tokens = _fitting_tokens(model, questions, spec)
            longest = max(map(len, tokens.values()))
            slots = min(spec.options.slots, len(questions))
            model.open_context(slots, longest + spec.options.max_tokens)
            for wave in waves(questions, spec.options.slots):
                start = time.perf_counter()
                answers = _answer(model, wave, tokens, spec)
                append_answers(stream, answers)
                finished += len(wave)
                tokens_written = sum(answer.tokens for answer in answers.values())
                wall_seconds = time.perf_counter() - start
                _say(progress(tokens_written, finished, spec.total, wall_seconds))


def _fitting_tokens(
    model: "BatchedModel", questions: Sequence[Question], spec: GenerationSpec
) -> dict[str, tuple[int, ...]]:
    """Return every conversation in tokens; QiPipelineError when one leaves no room to answer."""
    found: dict[str, tuple[int, ...]] = {}
    for question in questions:
        try:
            tokens = model.tokenize(question.messages)
        except Exception as error:
            # A chat template is a program of the model's author: it may raise anything.
            raise QiPipelineError(
                f"task {question.task_id}: the chat template of {spec.model} refuses the "
                f"conversation: {error}"
            ) from error
        needed = len(tokens) + spec.options.max_tokens
        if needed > spec.options.n_ctx:
            raise QiPipelineError(
                f"task {question.task_id}: {len(tokens)} tokens of prompt and "
                f"{spec.options.max_tokens} of answer do not fit a context window of "
                f"{spec.options.n_ctx}; shorten the prompt or raise n_ctx to {needed}"
            )
        if needed > model.trained_tokens:
            raise QiPipelineError(
                f"task {question.task_id}: {len(tokens)} tokens of prompt and "
                f"{spec.options.max_tokens} of answer are more than the {model.trained_tokens} "
                f"that {spec.model} was trained for; shorten the prompt or lower max_tokens"
            )
        found[question.key] = tokens
    return found


def _answer(
    model: "BatchedModel",
    wave: Sequence[Question],
    tokens: Mapping[str, tuple[int, ...]],
    spec: GenerationSpec,
) -> dict[str, Answer]:
    from qi_pipeline.evaluation.batched_model import Conversation, Decoding  # noqa: PLC0415 - heavy

    start = time.perf_counter()
    completions = model.answer(
        [Conversation(tokens[question.key], question.seed) for question in wave],
        Decoding(spec.options.max_tokens, spec.options.temperature, spec.options.top_p),
    )
    wall_seconds = time.perf_counter() - start
    written = sum(completion.tokens for completion in completions)

    def share(completion: "Completion") -> float:
        return share_of_wall(completion.tokens, written, len(wave), wall_seconds)

    return {
        question.key: Answer(
            task_id=question.task_id,
            sample=question.sample,
            answer=completion.text,
            tokens=completion.tokens,
            prompt_tokens=len(tokens[question.key]),
            seconds=share(completion),
            latency_seconds=completion.latency_seconds,
            first_token_seconds=completion.first_token_seconds,
            finish_reason=completion.finish_reason,
            slots=len(wave),
        )
        for question, completion in zip(wave, completions, strict=True)
    }


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run the process; return its exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: generation_process SPEC.json\n")
        return 2
    end_with_parent()
    try:
        generate(GenerationSpec.model_validate_json(Path(arguments[0]).read_bytes()))
    except QiPipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
