"""The process that holds the model: `python -m qi_pipeline.evaluation.generation_process SPEC`.

Flows in: the path of a `GenerationSpec` as JSON. Flows out: one `Answer` per line, appended to the
spec's answers file and flushed as soon as it is finished, and a progress line per answer on
standard output. Exit status 2 with a message on standard error when the input is to blame.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.generation import (
    Answer,
    GenerationOptions,
    GenerationSpec,
    read_answers,
)
from qi_pipeline.processes import end_with_parent

if TYPE_CHECKING:
    from llama_cpp import CreateChatCompletionResponse, Llama

_EMBEDDED_TEMPLATE = "tokenizer.chat_template"


class _Model:
    """A loaded model that notes when it samples its first token."""

    def __init__(self, path: Path, options: GenerationOptions) -> None:
        self.options = options
        self.threads = options.threads or os.cpu_count() or 1
        self.first_token_at: float | None = None
        self._llama = self._load(path)

    def _load(self, path: Path) -> "Llama":
        from llama_cpp import Llama  # noqa: PLC0415

        note = self._note_token

        class TimedLlama(Llama):
            def sample(self, *arguments: Any, **named: Any) -> Any:
                token = super().sample(*arguments, **named)
                note()
                return token

        try:
            llama = TimedLlama(
                str(path),
                n_ctx=self.options.n_ctx,
                n_threads=self.threads,
                n_threads_batch=self.threads,
                seed=self.options.seed,
                # Named, because llama-cpp-python otherwise replaces templates it thinks it knows.
                chat_format="chat_template.default",
                verbose=False,
            )
        except (ValueError, OSError) as error:
            raise QiPipelineError(
                f"cannot load {path}: {error}; expected a complete GGUF model file"
            ) from error
        if _EMBEDDED_TEMPLATE not in llama.metadata:
            raise QiPipelineError(
                f"{path} has no {_EMBEDDED_TEMPLATE}; export it with its tokenizer's chat template"
            )
        return llama

    def _note_token(self) -> None:
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()

    def answer(self, task_id: str, system_prompt: str, prompt: str) -> Answer:
        """Return the greedy answer to one prompt."""
        # Without the reset the previous prompt's cached prefix would be reused: the time to the
        # first token would then depend on which task came before, and a resumed run would differ.
        cast("Any", self._llama).reset()
        self.first_token_at = None
        start = time.perf_counter()
        response = self._complete(task_id, system_prompt, prompt)
        end = time.perf_counter()
        choice = response["choices"][0]
        return Answer(
            id=task_id,
            answer=choice["message"]["content"] or "",
            tokens=response["usage"]["completion_tokens"],
            seconds=end - start,
            first_token_seconds=(self.first_token_at or end) - start,
            finish_reason=choice["finish_reason"] or "stop",
            threads=self.threads,
        )

    def _complete(
        self, task_id: str, system_prompt: str, prompt: str
    ) -> "CreateChatCompletionResponse":
        try:
            response = self._llama.create_chat_completion(
                [
                    {"role": "system", "content": system_prompt},
                    {"role": "user", "content": prompt},
                ],
                temperature=0.0,
                seed=self.options.seed,
                max_tokens=self.options.max_tokens,
            )
        except ValueError as error:
            raise QiPipelineError(
                f"task {task_id}: {error}; shorten the prompt or raise n_ctx "
                f"(now {self.options.n_ctx})"
            ) from error
        return cast("CreateChatCompletionResponse", response)


@contextmanager
def _owned(path: Path) -> Iterator[IO[str]]:
    """Open the answers file for appending, alone, without a line that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise QiPipelineError(
                f"another process is writing {path}; wait for it to end and run again"
            ) from error
        complete = path.read_bytes().rfind(b"\n") + 1
        stream.truncate(complete)
        yield stream


def generate(spec: GenerationSpec) -> None:
    """Generate every answer of the spec that its answers file lacks."""
    with _owned(spec.answers) as stream:
        finished = read_answers(spec.answers)
        open_ids = [task_id for task_id in spec.prompts if task_id not in finished]
        if not open_ids:
            return
        _say(f"{len(finished)} of {len(spec.prompts)} answers kept, {len(open_ids)} to generate")
        model = _Model(spec.model, spec.options)
        for number, task_id in enumerate(open_ids, start=len(finished) + 1):
            answer = model.answer(task_id, spec.system_prompt, spec.prompts[task_id])
            stream.write(answer.model_dump_json() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
            _say(
                f"{number}/{len(spec.prompts)} {task_id}: {answer.tokens} tokens in "
                f"{answer.seconds:.1f} s ({answer.finish_reason})"
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
