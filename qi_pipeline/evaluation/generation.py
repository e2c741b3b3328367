"""Ask a model every prompt of a suite, once.

Flows in: a GGUF file, prompts and options. Flows out: one `Answer` per prompt, read from a cache
that an interrupted run leaves usable. The model itself runs in `generation_process`, a process of
its own: a broken model file can abort it, and its memory is gone when it ends. Scoring does not
belong here.
"""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import content_hash, file_hash, read_jsonl, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.settings import PROJECT_ROOT

logger = logging.getLogger(__name__)

_ANSWERS_FILE = "answers.jsonl"
_STDERR_LINES_SHOWN = 12


class GenerationOptions(BaseModel):
    """How answers are made; decoding is greedy (temperature 0)."""

    model_config = ConfigDict(frozen=True)

    max_tokens: int = 384
    """Most tokens of one answer."""
    n_ctx: int = 2048
    """Context window in tokens: system prompt, prompt and answer."""
    seed: int = 0
    threads: int | None = None
    """CPU threads; None means all cores. Changes the speed, never the answers' cache key."""

    def decoding(self) -> dict[str, int]:
        """Return the options that decide what is answered."""
        return {"max_tokens": self.max_tokens, "n_ctx": self.n_ctx, "seed": self.seed}


class Answer(BaseModel):
    """What a model wrote for one prompt."""

    model_config = ConfigDict(frozen=True)

    id: str
    answer: str
    tokens: int
    """Tokens generated."""
    seconds: float
    """Wall time from prompt to last token, reading the prompt included."""
    first_token_seconds: float
    """Wall time from prompt to first token."""
    finish_reason: str
    """`stop`: the model ended its answer; `length`: it was cut off."""
    threads: int


class GenerationSpec(BaseModel):
    """What the generation process is told, as JSON."""

    model_config = ConfigDict(frozen=True)

    model: Path
    answers: Path
    """JSON Lines file of `Answer` rows; those already there are kept."""
    system_prompt: str
    prompts: dict[str, str]
    """Prompt by task id, asked in this order."""
    options: GenerationOptions


def llama_version() -> str:
    """Return the version of the llama.cpp binding that generates."""
    return version("llama-cpp-python")


def model_hash(model: Path) -> str:
    """Return the SHA-256 of a model file; QiPipelineError when there is no such file."""
    if not model.is_file():
        raise QiPipelineError(f"no model file at {model}; expected a GGUF file")
    return file_hash(model)


def generation_key(
    model_digest: str, prompts: Mapping[str, str], system_prompt: str, options: GenerationOptions
) -> str:
    """Return the hash of everything that decides the answers (a task's tests do not)."""
    return content_hash(
        {
            "model": model_digest,
            "prompts": dict(prompts),
            "system_prompt": system_prompt,
            "decoding": options.decoding(),
            "llama_cpp": llama_version(),
        }
    )


def generate_answers(
    model: Path,
    prompts: Mapping[str, str],
    system_prompt: str,
    options: GenerationOptions,
    cache_dir: Path,
    show: Callable[[str], None] = logger.info,
) -> dict[str, Answer]:
    """Return the model's answer to each prompt, by id and in the prompts' order.

    Each answer's progress line goes to `show`. Answers are kept under
    `cache_dir/answers/<generation key>`; only missing ones are generated.
    Raises QiPipelineError when the model file is missing, cannot be loaded, has no chat template,
    or its context window is too small for a prompt.
    """
    key = generation_key(model_hash(model), prompts, system_prompt, options)
    directory = cache_dir.resolve() / "answers" / key
    spec = GenerationSpec(
        model=model.resolve(),
        answers=directory / _ANSWERS_FILE,
        system_prompt=system_prompt,
        prompts=dict(prompts),
        options=options,
    )
    if prompts.keys() - read_answers(spec.answers).keys():
        # Not write_json, which sorts keys: the prompts are asked in the suite's order.
        spec_path = write_text(directory / "spec.json", spec.model_dump_json())
        _run_process(spec_path, model, show)
    answers = read_answers(spec.answers)
    return {task_id: answers[task_id] for task_id in prompts}


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the answers of a file by id; a last line that a killed process cut off is left out."""
    if not path.is_file():
        return {}
    text = path.read_bytes()
    if text and not text.endswith(b"\n"):
        # A process may be writing this very line: the file is left alone, its copy is read.
        with tempfile.TemporaryDirectory() as scratch:
            whole = Path(scratch) / path.name
            whole.write_bytes(text[: text.rfind(b"\n") + 1])
            return _parse_answers(whole)
    return _parse_answers(path)


def _parse_answers(path: Path) -> dict[str, Answer]:
    return {row["id"]: Answer.model_validate(row) for row in read_jsonl(path)}


def _run_process(spec_path: Path, model: Path, show: Callable[[str], None]) -> None:
    command = [sys.executable, "-m", "qi_pipeline.evaluation.generation_process", str(spec_path)]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(
            command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                show(line.rstrip())
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            tail = "\n".join(complaints.read().splitlines()[-_STDERR_LINES_SHOWN:])
            raise QiPipelineError(
                f"generation with {model} ended with status {process.returncode}; finished answers "
                f"are kept and the next run goes on from there: {tail}"
            )
