"""Parity: findings made by hand, and the small real model with its adapter and exported file."""

import json
import math
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter, Keys
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmPlan, Setup, run_arm
from qi_pipeline.evaluation.generation import LocalModel
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.parity import (
    LIKELIHOOD_ALLOWED,
    PROBES,
    AdapterAnswer,
    Allowed,
    ParityFindings,
    ParitySpec,
    _score,
    check_parity,
    choose_probes,
    compare_models,
    judge_parity,
    make_probe,
)
from qi_pipeline.evaluation.parity_process import _until_its_end
from qi_pipeline.evaluation.records import ArmResult, GenerationOptions, ParityReport
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.export.gguf import MODEL_FILE, export_gguf
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.settings import Settings
from qi_pipeline_tests.evaluation import outcomes
from qi_pipeline_tests.evaluation.samples import make_arm, make_task
from qi_pipeline_tests.training import material

SUITE = load_tasks(bundled_suite())
ALLOWED = Allowed(likelihood=0.05, token=0.2)
INTACT = ParityFindings(
    template_differs=(),
    stops_missing=(),
    stops_added=(),
    negative_log_likelihood_adapter=1.0,
    negative_log_likelihood_gguf=1.04,
    token_difference=0.1,
    tokens=4000,
    answers=(),
)


def judged(
    *,
    of_adapter: Sequence[str] = ("cat",) * 16,
    of_file: Sequence[str] = ("cat",) * 16,
    **changes: Any,
) -> ParityReport:
    def results(given_outcomes: Sequence[str]) -> list[Any]:
        return [outcomes.result(n, outcomes.score(o)) for n, o in enumerate(given_outcomes)]

    findings = ParityFindings.model_validate({**INTACT.model_dump(), **changes})
    return judge_parity(findings, results(of_adapter), results(of_file), ALLOWED)


# ── The verdict ──────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_lost_little_may_stand_for_its_adapter() -> None:
    report = judged(of_file=["cat"] * 12 + ["ca"] * 4)

    assert report.holds
    assert report.reason == (
        "same prompts and stop tokens on 16 tasks, +0.0400 nats a token (0.1000 apart), scores not "
        "significantly lower"
    )
    assert (report.adapter.passes.count, report.gguf.passes.count) == (16, 12)
    assert (report.difference_allowed, report.token_difference_allowed) == (0.05, 0.2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"template_differs": ["a", "b"]}, "2 prompts are rendered differently"),
        ({"stops_missing": ["<|end|>", "\n"]}, "the file does not stop at '<|end|>', '\\n'"),
        ({"stops_added": [" the"]}, "the file stops at ' the'"),
        (
            {"negative_log_likelihood_gguf": 1.06},
            "the references cost the file +0.0600 nats a token, which is not within 0.05",
        ),
        (
            {"negative_log_likelihood_gguf": 0.9},
            "the references cost the file -0.1000 nats a token, which is not within 0.05",
        ),
        (
            {"negative_log_likelihood_gguf": math.nan},
            "the references cost the file +nan nats a token, which is not within 0.05",
        ),
        (
            {"token_difference": 0.25},
            "the likelihoods of single tokens are 0.2500 nats apart, which is more than 0.2",
        ),
    ],
)
def test_what_comes_apart_is_said(changes: Mapping[str, Any], reason: str) -> None:
    report = judged(**changes)

    assert not report.holds
    assert report.reason == reason


def test_template_and_stop_tokens_have_fields_of_their_own() -> None:
    assert judged().template_equal
    assert judged().stop_tokens_equal
    assert not judged(template_differs=["a"]).template_equal
    assert not judged(stops_missing=["a"]).stop_tokens_equal
    assert not judged(stops_added=["a"]).stop_tokens_equal


@pytest.mark.parametrize(("worse", "what"), [("ca", "pass"), ("at", "compile"), ("ct", "adhere")])
def test_scores_that_are_significantly_lower_are_said(worse: str, what: str) -> None:
    # Five lost and none won: p = 1/32.
    report = judged(of_file=[worse] * 5 + ["cat"] * 11)

    assert not report.holds
    assert f"the file's answers {what} less often (won 0, lost 5)" in report.reason


def test_as_many_lost_as_chance_takes_are_not_held_against_the_file() -> None:
    # Five lost and one won: p = 7/64.
    assert judged(of_adapter=[""] + ["cat"] * 15, of_file=["cat"] * 11 + [""] * 5).holds
    assert judged(of_adapter=[""] * 16).holds


def test_all_that_is_wrong_is_said() -> None:
    report = judged(template_differs=["a"], stops_missing=["b"], of_file=["ca"] * 16)

    assert report.reason.count("; ") == 2


def test_the_shares_of_a_failing_quantization_are_ordered() -> None:
    f16, q8_0, q4_k_m = (LIKELIHOOD_ALLOWED[name] for name in ("f16", "q8_0", "q4_k_m"))

    assert f16.likelihood < q8_0.likelihood < q4_k_m.likelihood
    assert f16.token < q8_0.token < q4_k_m.token


# ── The probes ───────────────────────────────────────────────────────────────────────────────────


def test_the_probes_of_the_bundled_suite_are_of_every_kind() -> None:
    chosen = choose_probes(SUITE)

    assert len(chosen) == PROBES
    assert chosen == choose_probes(SUITE)
    assert {task.category for task in chosen} == set(CATEGORIES)
    assert {task.pattern_type for task in chosen} == set(PATTERN_TYPES)


@given(st.integers(1, 300), st.integers(1, 40))
def test_every_stretch_of_the_suite_gives_one_probe(length: int, count: int) -> None:
    tasks = [make_task(str(number)) for number in range(length)]
    places = [int(task.id) for task in choose_probes(tasks, count)]

    assert len(places) == min(length, count)
    assert all(first < second for first, second in pairwise(places))
    if length > count:
        for stretch, place in enumerate(places):
            assert stretch * length // count <= place < (stretch + 1) * length // count


def test_a_probe_asks_what_a_plain_arm_asks() -> None:
    task = make_task("slot", reference="\nexport const one = 1;\n\n")

    asked = make_probe(task, "Write TypeScript.")

    assert [(message.role, message.content) for message in asked.messages] == [
        ("system", "Write TypeScript."),
        ("user", task.prompt),
    ]
    assert asked.reference == "```typescript\nexport const one = 1;\n```"
    assert [message.role for message in make_probe(task, "").messages] == ["user"]


def test_the_adapter_is_judged_by_the_same_instrument(judge: Judge) -> None:
    tasks = SUITE[:2]
    answers = [
        AdapterAnswer(id=tasks[1].id, answer="I cannot.", tokens=3, finish_reason="length"),
        AdapterAnswer(
            id=tasks[0].id,
            answer=f"Here:\n```typescript\n{tasks[0].reference}\n```",
            tokens=90,
            finish_reason="stop",
        ),
    ]

    good, bad = _score(tasks, answers, judge)

    assert (good.task_id, good.score.passes, good.answer.finish_reason) == (
        *(tasks[0].id, True, "stop"),
    )
    assert (bad.task_id, bad.score.passes, bad.answer.finish_reason) == (
        *(tasks[1].id, False, "length"),
    )


@pytest.mark.parametrize(
    ("tokens", "kept", "reason"),
    [
        ([5, 6, 7], 3, "length"),
        ([5, 6, 0, 0, 0], 2, "stop"),
        ([4] + [5, 6] * 200, 129, "repetition"),
        ([5] * 128 + [0, 0], 128, "repetition"),
    ],
)
def test_the_adapter_ends_its_answers_where_the_file_does(
    tokens: list[int], kept: int, reason: str
) -> None:
    assert _until_its_end(tokens, frozenset([0])) == (tokens[:kept], reason)


# ── What is missing or dies ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def specification(tmp_path: Path) -> ParitySpec:
    """Folders and a file that look right until they are read."""
    for folder, name in (("base", "config.json"), ("adapter", "adapter_config.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    (tmp_path / MODEL_FILE).write_bytes(b"GGUF")
    return ParitySpec(
        base_model_dir=tmp_path / "base",
        adapter_dir=tmp_path / "adapter",
        gguf=tmp_path / MODEL_FILE,
        probes=(make_probe(make_task(), ""),),
        max_tokens=8,
        threads=1,
    )


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("base/config.json", "base is not a Hugging Face model folder"),
        ("adapter/adapter_config.json", "adapter is not an adapter directory; train it again"),
        (MODEL_FILE, "qi-expert.gguf is not there; export it again"),
    ],
)
def test_what_is_missing_is_named(
    specification: ParitySpec, tmp_path: Path, missing: str, message: str
) -> None:
    (tmp_path / missing).unlink()

    with pytest.raises(QiPipelineError, match=message):
        compare_models(specification)


def test_a_quantization_that_was_never_measured_is_refused(
    specification: ParitySpec, judge: Judge
) -> None:
    with pytest.raises(QiPipelineError, match=r"'q2_k' .* export as one of f16, q8_0, q4_k_m"):
        check_parity(
            base_model_dir=specification.base_model_dir,
            adapter_dir=specification.adapter_dir,
            gguf=specification.gguf,
            quantization="q2_k",
            arm=make_arm("tuned", {"slot": ""}),
            tasks=[make_task()],
            judge=judge,
            threads=1,
        )


def test_a_process_that_is_killed_names_the_file(specification: ParitySpec) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        comparing = pool.submit(compare_models, specification)
        while not (running := parity_processes()) and not comparing.done():
            time.sleep(0.01)
        for process in running:
            os.kill(process, signal.SIGKILL)
        with pytest.raises(
            QiPipelineError, match=r"comparing .*qi-expert\.gguf .* status -9: it was killed"
        ):
            comparing.result()


def parity_processes() -> list[int]:
    """Return the ids of this process's children that compare models."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int((command.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"parity_process" in command.read_bytes():
                found.append(int(command.parent.name))
        except OSError:
            continue  # ended meanwhile
    return found


# ── The small real model ─────────────────────────────────────────────────────────────────────────

TASKS = choose_probes(SUITE, 6)
SYSTEM_PROMPT = "You write TypeScript."
OPTIONS = GenerationOptions(max_tokens=24, n_ctx=1024, slots=4, threads=material.THREADS)
UNKNOWN_END = "<|unheard_of|>"


def export(base: Path, adapter: Path | None, destination: Path) -> Path:
    export_gguf(
        base,
        adapter,
        destination,
        "q8_0",
        Settings().converter_dir,
        system_prompt=SYSTEM_PROMPT,
        threads=material.THREADS,
    )
    return destination / MODEL_FILE


def rewritten(gguf: Path, target: Path, changes: Mapping[str, Any]) -> Path:
    """Write the file anew with other metadata of the same types; return its path."""
    reader = GGUFReader(gguf)
    architecture = reader.fields[Keys.General.ARCHITECTURE].contents()
    writer = GGUFWriter(target, arch=architecture, endianess=reader.endianess)
    details = {}
    for key, value in changes.items():
        kind = reader.fields[key].types[0]
        inner = reader.fields[key].types[-1] if kind == GGUFValueType.ARRAY else None
        details[key] = MetadataDetails(kind, value, sub_type=inner)
    copy_with_new_metadata(reader, writer, details, [])
    return target


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
    trained: material.TrainedAdapter,
    base_model_dir: Path,
) -> Path:
    """The adapter's own file."""
    folder = tmp_path_factory.mktemp("exported") / "export"
    return export(base_model_dir, trained.directory, folder)


@pytest.fixture(scope="module")
def arm(exported: Path, judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> ArmResult:
    """What the adapter's own file answers."""
    setup = Setup(
        judge=judge,
        library_hash="library",
        system_prompt=SYSTEM_PROMPT,
        options=OPTIONS,
        cache_dir=tmp_path_factory.mktemp("answers"),
    )
    return run_arm(ArmPlan("tuned", LocalModel(exported)), TASKS, setup)


@pytest.fixture
def compare_file(
    trained: material.TrainedAdapter, base_model_dir: Path, arm: ArmResult, judge: Judge
) -> Any:
    """Compare a file with the adapter."""
    return partial(
        check_parity,
        base_model_dir=base_model_dir,
        adapter_dir=trained.directory,
        quantization="q8_0",
        arm=arm,
        tasks=TASKS,
        judge=judge,
        threads=material.THREADS,
    )


@pytest.mark.slow
def test_the_adapters_own_file_may_stand_for_it(compare_file: Any, exported: Path) -> None:
    report: ParityReport = compare_file(gguf=exported)

    assert report.holds, report.reason
    assert report.tasks == len(TASKS)
    assert report.tokens > 100 * len(TASKS)
    assert 0 < report.token_difference < report.token_difference_allowed
    assert 0.5 < report.negative_log_likelihood_adapter < 2.5


@pytest.mark.slow
def test_the_file_of_another_model_may_not(
    compare_file: Any, base_model_dir: Path, tmp_path: Path
) -> None:
    base = export(base_model_dir, None, tmp_path / "base")

    report: ParityReport = compare_file(gguf=base)

    assert not report.holds
    assert "nats apart, which is more" in report.reason
    assert report.template_equal
    assert report.stop_tokens_equal


@pytest.mark.slow
def test_a_file_with_another_chat_template_may_not(
    compare_file: Any, exported: Path, tokenizer: Any, tmp_path: Path
) -> None:
    # The question alone comes out the same: only after an answer do the two differ.
    template = tokenizer.chat_template
    changed = template.replace(
        "<|im_end|>' + '\n'", "<|im_end|>' + ('\n' if loop.index < 3 else '')"
    )
    assert changed != template, template
    file = rewritten(exported, tmp_path / MODEL_FILE, {Keys.Tokenizer.CHAT_TEMPLATE: changed})

    report: ParityReport = compare_file(gguf=file, tasks=TASKS[:2])

    assert not report.holds
    assert report.reason == "2 prompts are rendered differently"
    assert not report.template_equal


@pytest.mark.slow
def test_a_file_that_stops_within_an_answer_may_not(
    compare_file: Any, exported: Path, tokenizer: Any, tmp_path: Path
) -> None:
    (brace,) = tokenizer.encode("{", add_special_tokens=False)
    file = rewritten(exported, tmp_path / MODEL_FILE, {Keys.Tokenizer.EOS_ID: brace})

    report: ParityReport = compare_file(gguf=file, tasks=TASKS[:2])

    assert not report.holds
    assert report.reason == "the file stops at '{'"
    assert not report.stop_tokens_equal


@pytest.mark.slow
def test_a_file_that_does_not_know_the_end_of_an_answer_may_not(
    compare_file: Any, exported: Path, tokenizer: Any, tmp_path: Path
) -> None:
    reader = GGUFReader(exported)
    names = reader.fields[Keys.Tokenizer.LIST].contents()
    names[tokenizer.eos_token_id] = UNKNOWN_END
    template = tokenizer.chat_template.replace(tokenizer.eos_token, UNKNOWN_END)
    changes = {
        Keys.Tokenizer.LIST: names,
        Keys.Tokenizer.CHAT_TEMPLATE: template,
        Keys.Tokenizer.EOS_ID: tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }
    file = rewritten(exported, tmp_path / MODEL_FILE, changes)

    report: ParityReport = compare_file(gguf=file, tasks=TASKS[:2])

    assert not report.holds
    assert report.reason == (
        f"the file does not stop at '{tokenizer.eos_token}'; the file stops at '<|endoftext|>'"
    )
    assert report.template_equal


@pytest.mark.slow
def test_a_template_that_fails_names_the_file(
    compare_file: Any, exported: Path, tmp_path: Path
) -> None:
    template = "{{ raise_exception('no conversations today') }}"
    file = rewritten(exported, tmp_path / MODEL_FILE, {Keys.Tokenizer.CHAT_TEMPLATE: template})

    with pytest.raises(
        QiPipelineError, match=r"template of .*qi-expert\.gguf fails: no conversations today"
    ):
        compare_file(gguf=file)


@pytest.mark.slow
def test_a_broken_file_is_named(compare_file: Any, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(exported.read_bytes()[:50_000_000])

    with pytest.raises(QiPipelineError, match=r"cannot load .*broken\.gguf"):
        compare_file(gguf=file)


@pytest.mark.slow
def test_a_broken_adapter_is_named(
    compare_file: Any, exported: Path, trained: material.TrainedAdapter, tmp_path: Path
) -> None:
    broken = tmp_path / "broken-adapter"
    shutil.copytree(trained.directory, broken)
    (broken / "adapter_model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not json")

    with pytest.raises(QiPipelineError, match=r"cannot load .*broken-adapter"):
        compare_file(gguf=exported, adapter_dir=broken)


@pytest.mark.slow
def test_answers_depend_neither_on_neighbours_nor_on_the_models_own_settings(
    exported: Path, trained: material.TrainedAdapter, base_model_dir: Path, tmp_path: Path
) -> None:
    penalizing = tmp_path / "base"
    shutil.copytree(base_model_dir, penalizing)
    settings = json.loads((base_model_dir / "generation_config.json").read_text())
    (penalizing / "generation_config.json").write_text(
        json.dumps({**settings, "repetition_penalty": 5.0, "do_sample": True, "temperature": 2.0})
    )
    probes = sorted(
        (make_probe(task, SYSTEM_PROMPT) for task in TASKS),
        key=lambda probe: len(probe.messages[-1].content),
    )
    together = ParitySpec(
        base_model_dir=base_model_dir,
        adapter_dir=trained.directory,
        gguf=exported,
        probes=(probes[0], probes[-1]),
        max_tokens=24,
        threads=material.THREADS,
    )
    alone = together.model_copy(
        update={"base_model_dir": penalizing, "probes": (probes[0],), "max_tokens": 24}
    )

    first, _ = sorted(
        compare_models(together).answers, key=lambda answer: answer.id != probes[0].id
    )
    assert compare_models(alone).answers == (first,)
    assert first.answer.strip()
