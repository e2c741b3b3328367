import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answer_cache import Origin, read_answers
from qi_pipeline.evaluation.endpoint import Endpoint
from qi_pipeline.evaluation.generation import (
    GenerationSpec,
    LocalModel,
    engine_of,
    generate_answers,
    llama_version,
    model_digest,
)
from qi_pipeline.evaluation.records import Answer, GenerationOptions, Message, Request

OPTIONS = GenerationOptions(max_tokens=24, n_ctx=512, threads=1, slots=4)
SYSTEM = "You write TypeScript. " + "Errors are values: a function returns a Result. " * 12
PROMPTS = {
    "a": "Write a function that adds two numbers.",
    "b": "Write a function that returns the first element of a list.",
    "c": "Say hi.",
    "d": "What is a monad? " + "Answer in one sentence. " * 12,
    "e": "Write a type for a point in the plane.",
}
ENDLESS = "Count from one to five hundred in words, one number a line."


def request(task_id: str, prompt: str, *, sample: int = 0, system: str = SYSTEM) -> Request:
    return Request(
        task_id=task_id,
        sample=sample,
        messages=(
            Message(role="system", content=system),
            Message(role="user", content=prompt),
        ),
    )


def requests(prompts: dict[str, str] = PROMPTS) -> list[Request]:
    return [request(task_id, prompt) for task_id, prompt in prompts.items()]


def generate(
    model: Path, asked: Sequence[Request], options: GenerationOptions, cache: Path
) -> list[Answer]:
    return list(generate_answers(LocalModel(model), asked, options, cache, print))


def texts(answers: Sequence[Answer]) -> dict[tuple[str, int], str]:
    return {(answer.task_id, answer.sample): answer.answer for answer in answers}


def cache_file(model: Path, options: GenerationOptions, cache: Path) -> Path:
    local = LocalModel(model)
    return Origin(model_digest(local), engine_of(local), options).file(cache)


def start_process(
    model: Path, asked: Sequence[Request], options: GenerationOptions, cache: Path
) -> "subprocess.Popen[str]":
    """Start the generation process as `generate_answers` does, and leave it to the test."""
    local = LocalModel(model)
    origin = Origin(model_digest(local), engine_of(local), options)
    spec = GenerationSpec(
        model=model,
        answers=origin.file(cache),
        questions=tuple(map(origin.question, asked)),
        total=len(asked),
        options=options,
    )
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "spec.json"
    path.write_text(spec.model_dump_json(), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "qi_pipeline.evaluation.generation_process", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def greedy(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """The answers of four slots on one thread."""
    return generate(small_model, requests(), OPTIONS, tmp_path_factory.mktemp("greedy"))


@pytest.mark.slow
def test_every_answer_comes_with_its_figures(greedy: list[Answer]) -> None:
    assert [answer.task_id for answer in greedy] == list(PROMPTS)
    for answer in greedy:
        assert answer.answer.strip()
        assert 0 < answer.tokens <= OPTIONS.max_tokens
        assert answer.prompt_tokens > 100
        assert 0 < answer.first_token_seconds <= answer.latency_seconds
        assert (answer.finish_reason == "length") == (answer.tokens == OPTIONS.max_tokens)
    assert {answer.finish_reason for answer in greedy} == {"stop", "length"}
    assert {answer.slots for answer in greedy} == {4}


@pytest.mark.slow
def test_the_parts_of_the_time_add_up(tmp_path: Path, small_model: Path) -> None:
    """Also where one answer is under way for as long as several others together."""
    options = OPTIONS.model_copy(update={"slots": 2, "max_tokens": 60})
    prompts = (ENDLESS, "Say hi.", "Say yes.", "Say no.")
    asked = [request(prompt, prompt, system="Be brief.") for prompt in prompts]
    answers = generate(small_model, asked, options, tmp_path)
    longest = max(answer.latency_seconds for answer in answers)
    assert longest <= sum(answer.seconds for answer in answers)
    for answer in answers:
        assert 0 < answer.seconds < answer.latency_seconds
    assert sum(answer.latency_seconds for answer in answers) > longest + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{"slots": 1}, {"slots": 3}, {"slots": 5, "threads": 2}])
def test_an_answer_depends_neither_on_its_neighbours_nor_on_threads(
    tmp_path: Path, small_model: Path, greedy: list[Answer], changed: dict[str, int]
) -> None:
    options = OPTIONS.model_copy(update=changed)
    assert texts(generate(small_model, requests(), options, tmp_path)) == texts(greedy)


@pytest.fixture(scope="module")
def mixed_model(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as Q4_K_M, whose rows are rounded otherwise among many than alone."""
    import llama_cpp  # noqa: PLC0415 - heavy

    destination: Path = tmp_path_factory.mktemp("mixed") / "mixed.gguf"
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    parameters.allow_requantize = True
    status = llama_cpp.llama_model_quantize(
        str(small_model).encode(), str(destination).encode(), ctypes.byref(parameters)
    )
    assert status == 0
    return destination


@pytest.mark.slow
def test_neighbours_change_nothing_where_kernels_round_by_the_number_of_rows(
    tmp_path: Path, mixed_model: Path
) -> None:
    together = OPTIONS.model_copy(update={"slots": 9, "max_tokens": 40})
    apart = together.model_copy(update={"slots": 1})
    asked = [*requests(), *(request(name, name * 40) for name in "wxyz")]
    first = texts(generate(mixed_model, asked, together, tmp_path))
    assert texts(generate(mixed_model, asked, apart, tmp_path)) == first


@pytest.mark.slow
def test_the_binding_answers_alike_through_its_own_interface(
    small_model: Path, greedy: list[Answer]
) -> None:
    from llama_cpp import Llama  # noqa: PLC0415 - heavy

    llama = Llama(
        str(small_model),
        n_ctx=OPTIONS.n_ctx,
        n_threads=1,
        n_threads_batch=1,
        chat_format="chat_template.default",
        verbose=False,
    )
    for asked, answer in zip(requests(), greedy, strict=True):
        messages: Any = [message.model_dump() for message in asked.messages]
        response: Any = llama.create_chat_completion(
            messages,
            temperature=0.0,
            max_tokens=OPTIONS.max_tokens,
        )
        choice = response["choices"][0]
        assert choice["message"]["content"] == answer.answer
        assert choice["finish_reason"] == answer.finish_reason
        assert response["usage"]["prompt_tokens"] == answer.prompt_tokens
        assert response["usage"]["completion_tokens"] == answer.tokens


@pytest.mark.slow
def test_draws_follow_from_seed_conversation_and_sample_alone(
    tmp_path: Path, small_model: Path
) -> None:
    options = OPTIONS.model_copy(update={"temperature": 0.9, "max_tokens": 12})
    asked = [request(task, PROMPTS[task], sample=sample) for task in "ab" for sample in range(2)]
    first = texts(generate(small_model, asked, options, tmp_path / "first"))
    assert len(set(first.values())) == 4
    backwards = generate(small_model, asked[::-1], options, tmp_path / "backwards")
    assert texts(backwards) == first
    other = options.model_copy(update={"seed": 1})
    changed = texts(generate(small_model, asked, other, tmp_path / "other"))
    assert all(changed[key] != answer for key, answer in first.items())


@pytest.mark.slow
def test_what_was_answered_is_never_asked_again(tmp_path: Path, small_model: Path) -> None:
    shown: list[str] = []

    def ask(asked: Sequence[Request]) -> list[Answer]:
        shown.clear()
        return list(
            generate_answers(LocalModel(small_model), asked, OPTIONS, tmp_path, shown.append)
        )

    twice = [request("a", PROMPTS["a"]), request("b", PROMPTS["b"]), request("z", PROMPTS["a"])]
    first = ask(twice)
    assert [answer.task_id for answer in first] == ["a", "z", "b"]
    assert first[0] == first[1].model_copy(update={"task_id": "a"})
    assert len(shown) == 1
    assert shown[0].startswith("2/2 answers, ")
    assert shown[0].endswith(" tokens/s")

    again = ask(twice)
    assert texts(again) == texts(first)
    assert shown == []

    more = ask([request("e", PROMPTS["e"]), *twice])
    assert [answer.task_id for answer in more] == ["a", "z", "b", "e"]
    assert more[:3] == first
    assert shown[0] == "2 of 3 answers kept, 1 to generate"
    assert shown[1].startswith("3/3 answers, ")


@pytest.mark.slow
def test_a_killed_process_leaves_whole_answers_and_the_next_goes_on(
    tmp_path: Path, small_model: Path
) -> None:
    # One answer is long enough for the process to be killed in its middle.
    prompts = {"a": PROMPTS["a"], "b": PROMPTS["b"], "c": ENDLESS, "d": PROMPTS["d"], "e": "Hi."}
    asked = [request(task_id, prompt, system="Be brief.") for task_id, prompt in prompts.items()]
    options = OPTIONS.model_copy(update={"slots": 2, "max_tokens": 160})
    whole = generate(small_model, asked, options, tmp_path / "whole")

    process = start_process(small_model, asked, options, tmp_path / "cut")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("2/5 answers, ")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    answers = cache_file(small_model, options, tmp_path / "cut")
    kept, end = read_answers(answers)
    assert 2 <= len(kept) < 5
    assert end == answers.stat().st_size

    answers.write_bytes(answers.read_bytes() + b'{"key": "x", "answer": {"task_id": "c", "ans')
    shown: list[str] = []
    resumed = list(
        generate_answers(LocalModel(small_model), asked, options, tmp_path / "cut", shown.append)
    )
    by_task = {answer.task_id: answer for answer in resumed}
    assert [by_task[answer.task_id] for answer in kept.values()] == list(kept.values())
    assert texts(resumed) == texts(whole)
    assert shown[0] == f"{len(kept)} of 5 answers kept, {5 - len(kept)} to generate"
    assert shown[-1].startswith("5/5 answers, ")
    assert len(answers.read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.slow
def test_further_answers_are_generated_while_the_caller_is_busy(
    tmp_path: Path, small_model: Path
) -> None:
    options = OPTIONS.model_copy(update={"slots": 1, "max_tokens": 4})
    answers = generate_answers(LocalModel(small_model), requests(), options, tmp_path, print)
    next(answers)
    path = cache_file(small_model, options, tmp_path)
    deadline = time.monotonic() + 120
    while len(read_answers(path)[0]) < len(PROMPTS):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(list(answers)) == len(PROMPTS) - 1


@pytest.mark.slow
def test_a_caller_who_stops_early_ends_the_generation(tmp_path: Path, small_model: Path) -> None:
    options = OPTIONS.model_copy(update={"slots": 1, "max_tokens": 300})
    asked = [request("c", "Say hi.", system="Be brief."), request("long", ENDLESS)]
    answers = generate_answers(LocalModel(small_model), asked, options, tmp_path, print)
    assert next(answers).task_id == "c"
    path = cache_file(small_model, options, tmp_path)
    assert is_locked(path)
    assert isinstance(answers, Iterator)
    answers.close()  # type: ignore[attr-defined]
    assert not is_locked(path)
    assert len(read_answers(path)[0]) == 1


def is_locked(path: Path) -> bool:
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@pytest.mark.slow
def test_two_processes_never_write_the_same_answers(tmp_path: Path, small_model: Path) -> None:
    options = OPTIONS.model_copy(update={"max_tokens": 300, "slots": 1})
    asked = [request("c", "Say hi.", system="Be brief."), request("long", ENDLESS)]
    first = start_process(small_model, asked, options, tmp_path)
    assert first.stdout is not None
    first.stdout.readline()
    second = start_process(small_model, asked, options, tmp_path)
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
        generate(broken, requests(), OPTIONS, tmp_path)


def with_template(model: Path, template: str | None, destination: Path) -> Path:
    """Copy a model file with another chat template, or with none."""
    tool = shutil.which("gguf-new-metadata", path=str(Path(sys.executable).parent))
    assert tool is not None
    change = (
        ["--remove-metadata", "tokenizer.chat_template"]
        if template is None
        else ["--chat-template", template]
    )
    subprocess.run(
        [tool, "--force", *change, str(model), str(destination)], check=True, capture_output=True
    )
    return destination


@pytest.mark.slow
def test_a_model_without_a_chat_template_is_named(tmp_path: Path, small_model: Path) -> None:
    bare = with_template(small_model, None, tmp_path / "bare.gguf")
    with pytest.raises(QiPipelineError, match=r"bare\.gguf has no tokenizer\.chat_template"):
        generate(bare, requests(), OPTIONS, tmp_path)


@pytest.mark.slow
def test_a_template_that_refuses_a_conversation_is_named_with_its_words(
    tmp_path: Path, small_model: Path
) -> None:
    template = "{{ raise_exception('System role not supported') }}"
    picky = with_template(small_model, template, tmp_path / "picky.gguf")
    with pytest.raises(QiPipelineError, match=r"task a: .*picky.*System role not supported"):
        generate(picky, requests(), OPTIONS, tmp_path)


@pytest.mark.slow
def test_a_broken_template_is_named(tmp_path: Path, small_model: Path) -> None:
    broken = with_template(small_model, "{% for %}", tmp_path / "broken-template.gguf")
    with pytest.raises(
        QiPipelineError, match=r"broken-template\.gguf: its chat template is broken"
    ):
        generate(broken, requests(), OPTIONS, tmp_path)


@pytest.mark.slow
def test_the_template_alone_writes_special_tokens(tmp_path: Path, small_model: Path) -> None:
    from qi_pipeline.evaluation.batched_model import BatchedModel  # noqa: PLC0415 - heavy

    template = "{{ bos_token }}{{ messages[0]['content'] }}<|im_end|>"
    changed = with_template(small_model, template, tmp_path / "changed.gguf")
    with BatchedModel(changed, 1) as model:
        tokens = model.tokenize([Message(role="user", content="x")])
    assert len(tokens) == 3
    assert tokens[0] != tokens[1]


@pytest.mark.slow
def test_a_conversation_that_does_not_fit_is_named_before_anything_is_generated(
    tmp_path: Path, small_model: Path
) -> None:
    asked = [request("a", PROMPTS["a"]), request("long", "word " * 800)]
    with pytest.raises(QiPipelineError, match=r"task long: .*raise n_ctx to \d+"):
        generate(small_model, asked, OPTIONS, tmp_path)
    assert read_answers(cache_file(small_model, OPTIONS, tmp_path)) == ({}, 0)
    roomy = OPTIONS.model_copy(update={"n_ctx": 100_000})
    asked = [request("huge", "word " * 9_000)]
    with pytest.raises(QiPipelineError, match=r"task huge: .*was trained for"):
        generate(small_model, asked, roomy, tmp_path)


@pytest.mark.slow
def test_characters_across_tokens_are_read_whole(small_model: Path) -> None:
    from qi_pipeline.evaluation.batched_model import BatchedModel  # noqa: PLC0415 - heavy

    with BatchedModel(small_model, 1) as model:
        tokens = model.tokenize([Message(role="user", content="naïve 日本語 🎉")])
        assert "naïve 日本語 🎉" in model.text_of(tokens)
        assert any("\N{REPLACEMENT CHARACTER}" in model.text_of([token]) for token in tokens)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 300))
def test_prompts_share_only_whole_blocks_that_both_read(same: int, rest: int, other: int) -> None:
    from qi_pipeline.evaluation.batched_model import block_ends, shared_start  # noqa: PLC0415

    left = [0] * same + [1] * rest
    right = [0] * same + [2] * other
    start = shared_start(left, right)
    assert start <= same < len(left)
    assert start == 0 or {start} <= set(block_ends(len(left))) & set(block_ends(len(right)))
    assert same - start < 64
    # Of an equal prompt all is copied but the block that the answer's first token follows from.
    assert shared_start(left, left) == (0, *block_ends(len(left)))[-2]


def test_a_missing_model_file_is_named_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"no model file at .*none\.gguf"):
        generate_answers(LocalModel(tmp_path / "none.gguf"), requests(), OPTIONS, tmp_path)


def test_no_slots_are_refused(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"slots": 0})
    with pytest.raises(QiPipelineError, match="at least 1"):
        generate_answers(LocalModel(tmp_path), requests(), options, tmp_path)


def test_a_questions_key_knows_everything_that_decides_its_answer() -> None:
    asked = request("a", PROMPTS["a"])

    def key(origin: Origin, asked: Request = asked) -> str:
        return origin.question(asked).key

    origin = Origin("digest", "llama.cpp 1", OPTIONS)
    changes = {"max_tokens": 25, "seed": 1, "temperature": 0.5, "top_p": 0.5}
    others = [
        key(Origin("other", "llama.cpp 1", OPTIONS)),
        key(Origin("digest", "llama.cpp 2", OPTIONS)),
        key(origin, request("a", "other")),
        key(origin, request("a", PROMPTS["a"], system="other")),
        key(origin, request("a", PROMPTS["a"], sample=1)),
        *(
            key(Origin("digest", "llama.cpp 1", OPTIONS.model_copy(update={name: value})))
            for name, value in changes.items()
        ),
    ]
    assert len({key(origin), *others}) == len(others) + 1
    assert key(origin) == key(origin, request("another task", PROMPTS["a"]))
    more_threads = OPTIONS.model_copy(update={"threads": 2})
    assert key(origin) == key(Origin("digest", "llama.cpp 1", more_threads))


def test_a_seed_is_a_positive_32_bit_number_of_its_own() -> None:
    origin = Origin("digest", "llama.cpp 1", OPTIONS)
    seeds = [
        origin.question(request("a", prompt, sample=sample)).seed
        for prompt in PROMPTS.values()
        for sample in range(40)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    # Another model is asked with the same seed.
    other = Origin("other", "llama.cpp 1", OPTIONS)
    assert other.question(request("a", PROMPTS["a"])).seed == seeds[0]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"key": "x", "answer": 3}) + "\n", encoding="utf-8")
    with pytest.raises(QiPipelineError, match=r"answers\.jsonl: the line at byte 0 is not"):
        read_answers(path)


def test_digest_and_engine_name_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")
    assert len(model_digest(LocalModel(path))) == 64
    assert engine_of(LocalModel(path)) == f"llama.cpp {llama_version()}"
    endpoint = Endpoint("http://localhost:8080/v1", "m", api_key="secret")
    assert engine_of(endpoint) == "localhost:8080"
    assert model_digest(endpoint) == model_digest(Endpoint("http://localhost:8080/v1", "m"))
    assert model_digest(endpoint) != model_digest(Endpoint("http://localhost:8081/v1", "m"))
    assert model_digest(endpoint) != model_digest(Endpoint("http://localhost:8080/v1", "n"))
    assert "secret" not in repr(endpoint)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, qi_pipeline.evaluation.arms, qi_pipeline.evaluation.report, "
        "qi_pipeline.evaluation.gate, qi_pipeline.evaluation.generation_process, "
        "qi_pipeline.evaluation.endpoint;"
        "heavy = {'llama_cpp', 'openai', 'sacrebleu', 'scipy', 'numpy', 'jinja2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
