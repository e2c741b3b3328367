"""Ask a model every question of an evaluation, once.

Flows in: a GGUF file or an endpoint, requests and options. Flows out: one `Answer` per request,
read from a cache that an interrupted run leaves usable, and soon after it is finished, so that a
caller scores some while the next are generated. A model file runs in
`generation_process`, a process of its own: a broken file can abort it, and its memory is gone when
it ends. An endpoint is asked by `endpoint`. Scoring does not belong here.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import content_hash, file_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import Origin, Question, read_answers
from qi_pipeline.evaluation.endpoint import Endpoint, ask_endpoint
from qi_pipeline.evaluation.records import Answer, GenerationOptions, Request
from qi_pipeline.processes import OPENMP_WAITING
from qi_pipeline.settings import PROJECT_ROOT

logger = logging.getLogger(__name__)

_STDERR_LINES_SHOWN = 12


@dataclass(frozen=True)
class LocalModel:
    """A GGUF file that this machine runs."""

    path: Path


Model = LocalModel | Endpoint


class GenerationSpec(BaseModel):
    """What the generation process is told, as JSON."""

    model_config = ConfigDict(frozen=True)

    model: Path
    answers: Path
    """The file that answers are appended to."""
    questions: tuple[Question, ...]
    """Asked in this order."""
    total: int
    """Questions with those that have an answer already; for the progress lines."""
    options: GenerationOptions


def llama_version() -> str:
    """Return the version of the llama.cpp binding that generates."""
    return version("llama-cpp-python")


def model_digest(model: Model) -> str:
    """Return what names a model: its file's SHA-256, or the hash of an endpoint's URL and model.

    Raises QiPipelineError when there is no such file. What an endpoint serves under a name may
    change without a trace here: clear the cache then.
    """
    if isinstance(model, Endpoint):
        return content_hash({"url": model.url, "model": model.model})
    if not model.path.is_file():
        raise QiPipelineError(f"no model file at {model.path}; expected a GGUF file")
    return file_hash(model.path)


def engine_of(model: Model) -> str:
    """Return what generates: `llama.cpp 0.3.36` (the version of its binding) or the host."""
    if isinstance(model, Endpoint):
        return model.host
    return f"llama.cpp {llama_version()}"


def generate_answers(
    model: Model,
    requests: Sequence[Request],
    options: GenerationOptions,
    cache_dir: Path,
    show: Callable[[str], None] = logger.info,
) -> Iterator[Answer]:
    """Yield the model's answer to every request once: cached ones first, then as they come.

    Requests with the same messages and sample are asked once; each gets the answer, with the
    figures of the one generation. Cached answers come in the requests' order, the others as they
    are finished, `options.slots` at a time. Each is kept under `cache_dir/answers`; a run that was
    interrupted goes on with what is missing. A local model's answers do not depend on what is
    under way beside them (see `batched_model`), their times do.

    Further ones are generated while the caller looks at these; a caller that stops early ends the
    generation. Progress goes to `show`.
    Raises QiPipelineError when the model file is missing, cannot be loaded, has no chat template or
    one that refuses a conversation, when a conversation does not fit the context window, when
    another process is writing the same answers, and when an endpoint fails.
    """
    if options.slots < 1:
        raise QiPipelineError(f"{options.slots} slots cannot answer; ask for at least 1")
    origin = Origin(model_digest(model), engine_of(model), options)
    questions: dict[str, Question] = {}
    asked: dict[str, list[Request]] = {}
    for request in requests:
        question = origin.question(request)
        questions.setdefault(question.key, question)
        asked.setdefault(question.key, []).append(request)
    # Checked above, at the call; generated below, when the first answer is asked for.
    return _answers(model, questions, asked, options, origin.file(cache_dir), show)


def _answers(
    model: Model,
    questions: Mapping[str, Question],
    asked: Mapping[str, Sequence[Request]],
    options: GenerationOptions,
    path: Path,
    show: Callable[[str], None],
) -> Iterator[Answer]:
    found, position = read_answers(path)
    cached = [key for key in questions if key in found]
    waiting = {key: question for key, question in questions.items() if key not in found}
    if cached and waiting:
        show(f"{len(cached)} of {len(questions)} answers kept, {len(waiting)} to generate")
    for key in cached:
        yield from _for_each(asked[key], found[key])
    if not waiting:
        return
    spec = GenerationSpec(
        model=model.path.resolve() if isinstance(model, LocalModel) else Path(),
        answers=path,
        questions=tuple(waiting.values()),
        total=len(questions),
        options=options,
    )
    progress_lines = (
        _run_process(spec)
        if isinstance(model, LocalModel)
        else ask_endpoint(model, spec.questions, options, path, len(questions))
    )
    # Closed with this generator, so that a caller who stops early ends the generation.
    with closing(progress_lines):
        # One more look at the end: another process may have written what this one then found.
        for line in chain(progress_lines, [None]):
            if line is not None:
                show(line)
            found, position = read_answers(path, position)
            for key in [key for key in waiting if key in found]:
                del waiting[key]
                yield from _for_each(asked[key], found[key])
    if waiting:
        raise QiPipelineError(
            f"{path} lacks {len(waiting)} answers that were generated; was it changed meanwhile?"
        )


def _for_each(requests: Sequence[Request], answer: Answer) -> Iterator[Answer]:
    for request in requests:
        yield answer.model_copy(update={"task_id": request.task_id, "sample": request.sample})


def _run_process(spec: GenerationSpec) -> Generator[str]:
    """Run the generation process; yield a line whenever more answers are on the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="qi-generation-") as folder,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
    ):
        # Not write_json, which sorts keys and indents; this is read once.
        spec_path = write_text(Path(folder) / "spec.json", spec.model_dump_json())
        command = [sys.executable, "-m", __package__ + ".generation_process", str(spec_path)]
        with subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            # Whoever set a policy keeps it.
            env={**OPENMP_WAITING, **os.environ},
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        ) as process:
            try:
                for line in process.stdout or ():
                    yield line.rstrip()
            except BaseException:
                # Also when the caller wants no more: it closes this generator.
                process.kill()
                raise
        if process.returncode != 0:
            complaints.seek(0)
            tail = "\n".join(complaints.read().splitlines()[-_STDERR_LINES_SHOWN:])
            raise QiPipelineError(
                f"generation with {spec.model} ended with status {process.returncode}; finished "
                f"answers are kept and the next run goes on from there: {tail}"
            )
