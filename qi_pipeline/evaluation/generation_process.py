"""The process that holds the model: `python -m qi_pipeline.evaluation.generation_process SPEC`.

Flows in: the path of a `GenerationSpec` as JSON. Flows out: one `Answer` per question, appended to
the spec's answers file as soon as it is finished, and now and then a line on standard output that
says how many are on the disk. Exit status 2 with a message on standard error when the input is to
blame.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import (
    Question,
    answers_to_append,
    append_answers,
    progress,
    read_answers,
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
        from qi_pipeline.evaluation.batched_model import (  # noqa: PLC0415 - heavy
            BatchedModel,
            Conversation,
            Decoding,
        )

        finished = kept_before = spec.total - len(questions)
        with BatchedModel(spec.model, spec.options.threads or os.cpu_count() or 1) as model:
            tokens = _fitting_tokens(model, questions, spec)
            longest = max(map(len, tokens.values()))
            slots = min(spec.options.slots, len(questions))
            model.open_context(slots, longest + spec.options.max_tokens)
            said, unsaid = time.perf_counter(), 0
            for place, completion in model.answer(
                [Conversation(tokens[question.key], question.seed) for question in questions],
                Decoding(spec.options.max_tokens, spec.options.temperature, spec.options.top_p),
            ):
                question = questions[place]
                answer = _answer(question, completion, len(tokens[question.key]), slots)
                append_answers(stream, {question.key: answer})
                finished += 1
                unsaid += completion.tokens
                if (finished - kept_before) % spec.options.slots == 0 or finished == spec.total:
                    now = time.perf_counter()
                    _say(progress(unsaid, finished, spec.total, now - said))
                    said, unsaid = now, 0


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


def _answer(question: Question, completion: "Completion", prompt_tokens: int, slots: int) -> Answer:
    return Answer(
        task_id=question.task_id,
        sample=question.sample,
        answer=completion.text,
        tokens=completion.tokens,
        prompt_tokens=prompt_tokens,
        seconds=completion.seconds,
        latency_seconds=completion.latency_seconds,
        first_token_seconds=completion.first_token_seconds,
        finish_reason=completion.finish_reason,
        slots=slots,
    )


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
