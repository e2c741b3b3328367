import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.generation import (
    GenerationOptions,
    GenerationSpec,
    generate_answers,
    generation_key,
    llama_version,
    read_answers,
)

OPTIONS = GenerationOptions(max_tokens=24, n_ctx=512, threads=1)
SYSTEM = "You write TypeScript."
PROMPTS = {
    "a": "Write a function that adds two numbers.",
    "b": "Write a function that returns the first element of a list.",
}


def spec_file(
    folder: Path, model: Path, prompts: dict[str, str], options: GenerationOptions
) -> Path:
    spec = GenerationSpec(
        model=model,
        answers=folder / "answers.jsonl",
        system_prompt=SYSTEM,
        prompts=prompts,
        options=options,
    )
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    return path


def start(spec: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "qi_pipeline.evaluation.generation_process", str(spec)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_answers_are_generated_once_and_do_not_depend_on_the_other_tasks(
    tmp_path: Path, small_model: Path
) -> None:
    first = generate_answers(small_model, PROMPTS, SYSTEM, OPTIONS, tmp_path / "one")
    assert list(first) == ["a", "b"]
    for answer in first.values():
        assert answer.answer.strip()
        assert 0 < answer.tokens <= 24
        assert 0 < answer.first_token_seconds < answer.seconds
        assert answer.finish_reason in {"stop", "length"}
        assert answer.threads == 1
    again = generate_answers(small_model, PROMPTS, SYSTEM, OPTIONS, tmp_path / "one")
    assert again == first
    alone = generate_answers(small_model, {"b": PROMPTS["b"]}, SYSTEM, OPTIONS, tmp_path / "two")
    assert alone["b"].answer == first["b"].answer


@pytest.mark.slow
def test_a_killed_process_leaves_its_finished_answers_and_the_next_goes_on(
    tmp_path: Path, small_model: Path
) -> None:
    # The second answer is long enough to be killed in its middle.
    prompts = {**PROMPTS, "b": "Count from one to five hundred in words, one number a line."}
    options = OPTIONS.model_copy(update={"max_tokens": 300})
    spec = spec_file(tmp_path, small_model, prompts, options)
    process = start(spec)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("1/2 a"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    answers = tmp_path / "answers.jsonl"
    kept = read_answers(answers)
    assert list(kept) == ["a"]

    answers.write_bytes(answers.read_bytes() + b'{"id": "b", "answer": "cut of')
    spec_file(tmp_path, small_model, prompts, OPTIONS)
    resumed = start(spec)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    assert "1 of 2 answers kept, 1 to generate" in output
    assert "2/2 b" in output
    assert "1/2 a" not in output
    finished = read_answers(answers)
    assert finished["a"] == kept["a"]
    assert list(finished) == ["a", "b"]
    assert len(answers.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.slow
def test_two_processes_never_write_the_same_answers(tmp_path: Path, small_model: Path) -> None:
    prompts = {"b": "Count from one to five hundred in words, one number a line."}
    options = OPTIONS.model_copy(update={"max_tokens": 300})
    spec = spec_file(tmp_path, small_model, prompts, options)
    first = start(spec)
    assert first.stdout is not None
    first.stdout.readline()
    second = start(spec)
    _, complaint = second.communicate(timeout=120)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert "another process is writing" in complaint


@pytest.mark.slow
def test_a_broken_model_file_is_named(tmp_path: Path, small_model: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(small_model.read_bytes()[:1_000_000])
    with pytest.raises(QiPipelineError, match=r"broken\.gguf.*expected a complete GGUF"):
        generate_answers(broken, PROMPTS, SYSTEM, OPTIONS, tmp_path)


@pytest.mark.slow
def test_a_prompt_that_does_not_fit_is_named(tmp_path: Path, small_model: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"task long: .*raise n_ctx"):
        generate_answers(small_model, {"long": "word " * 800}, SYSTEM, OPTIONS, tmp_path)


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"no model file at .*none\.gguf"):
        generate_answers(tmp_path / "none.gguf", PROMPTS, SYSTEM, OPTIONS, tmp_path)


def test_the_key_knows_everything_that_decides_an_answer() -> None:
    key = generation_key("m", PROMPTS, SYSTEM, OPTIONS)
    changed = [
        generation_key("n", PROMPTS, SYSTEM, OPTIONS),
        generation_key("m", {**PROMPTS, "a": "other"}, SYSTEM, OPTIONS),
        generation_key("m", PROMPTS, "other", OPTIONS),
        generation_key("m", PROMPTS, SYSTEM, OPTIONS.model_copy(update={"max_tokens": 25})),
        generation_key("m", PROMPTS, SYSTEM, OPTIONS.model_copy(update={"seed": 1})),
    ]
    assert key not in changed
    assert key == generation_key("m", PROMPTS, SYSTEM, OPTIONS.model_copy(update={"threads": 2}))


def test_a_cut_off_last_line_is_left_out_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    row = {
        "id": "a",
        "answer": "x",
        "tokens": 1,
        "seconds": 1.0,
        "first_token_seconds": 0.1,
        "finish_reason": "stop",
        "threads": 1,
    }
    path.write_text(json.dumps(row) + "\n" + json.dumps(row)[:20], encoding="utf-8")
    assert list(read_answers(path)) == ["a"]
    path.write_text("{\n", encoding="utf-8")
    with pytest.raises(QiPipelineError, match=r"answers\.jsonl:1 is not JSON"):
        read_answers(path)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, qi_pipeline.evaluation.arms, qi_pipeline.evaluation.report, "
        "qi_pipeline.evaluation.gate, qi_pipeline.evaluation.generation_process;"
        "print(sorted({'llama_cpp', 'sacrebleu', 'scipy', 'numpy', 'jinja2'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_binding_names_its_version() -> None:
    assert llama_version()
