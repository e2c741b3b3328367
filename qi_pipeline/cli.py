"""`qi`: every stage from a terminal, and whole runs with a summary.

Single stages share every content-named folder with the Dagster assets, so what one of them made
the other reuses. What a stage does belongs to `stages`; running whole jobs belongs to `launch`.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from qi_pipeline import review_cli
from qi_pipeline.artefacts import write_json, write_jsonl
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.processes import silence_library_notices
from qi_pipeline.settings import Settings
from qi_pipeline.stages import Pipeline

if TYPE_CHECKING:
    from qi_pipeline.evaluation.generation import Model

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a TypeScript library's git history to a local model that writes its idiom.",
)
app.add_typer(review_cli.app, name="review")

Source = Annotated[
    str | None,
    typer.Option("--source", help="Path or git URL; `sample` is the bundled library."),
]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit.")]
PresetName = Annotated[
    str | None, typer.Option("--preset", help="Training preset; see `qi presets`.")
]


def _pipeline(**choices: str | None) -> Pipeline:
    chosen = {name: value for name, value in choices.items() if value is not None}
    return Pipeline(Settings().model_copy(update=chosen), _note)


def _note(line: str) -> None:
    print(f"  {line}", file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


@app.command()
def run(
    source: Source = None,
    revision: Revision = None,
    preset: PresetName = None,
    base_model: Annotated[
        str | None, typer.Option(help="GGUF file, Hugging Face folder or hub id.")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="q8_0, q4_k_m or f16.")] = None,
    job: Annotated[
        str, typer.Option(help="full_refresh, refresh_data or train_and_evaluate.")
    ] = "full_refresh",
) -> None:
    """Run a whole Dagster job here and now, then say what came of it."""
    from qi_pipeline.launch import launch

    print(launch(job, source, revision, preset, base_model, quantization))


@app.command()
def snapshot(source: Source = None, revision: Revision = None) -> None:
    """Copy one commit's relevant files; print what was taken."""
    _print_json(_pipeline(source=source, revision=revision).repo_snapshot().figures)


@app.command()
def patterns(source: Source = None, revision: Revision = None) -> None:
    """Extract patterns; print counts and where they lie."""
    pipeline = _pipeline(source=source, revision=revision)
    outcome = pipeline.patterns(pipeline.repo_snapshot().handle)
    _print_json({"directory": str(outcome.handle.directory), **outcome.figures})


@app.command()
def calls(
    source: Annotated[str, typer.Argument(help="Path or git URL; `sample` is the bundled one.")],
    out: Annotated[Path, typer.Option("--out", help="JSON Lines file to write.")],
    revision: Revision = None,
) -> None:
    """Write every resolved call of the library's symbols, one JSON object a line.

    `line` and `column` are 1-based and point at the callee; inside a notebook the file is
    `path#cell=N` and the line counts within the cell.
    """
    pipeline = _pipeline(source=source, revision=revision)
    extraction = pipeline.extract(pipeline.repo_snapshot().handle)
    write_jsonl(out, (call.record() for call in extraction.calls))
    for item in extraction.unreadable:
        _note(f"not read: {item.file}:{item.line}: {item.reason}")
    print(f"{len(extraction.calls)} calls written to {out}")


@app.command()
def validate(source: Source = None, revision: Revision = None) -> None:
    """Check every pattern with the compiler and the conventions; print counts and reasons."""
    pipeline = _pipeline(source=source, revision=revision)
    taken = pipeline.repo_snapshot().handle
    outcome = pipeline.validated_patterns(taken, pipeline.patterns(taken).handle)
    _print_json({"directory": str(outcome.handle.directory), **outcome.figures})


@app.command()
def evolution(
    source: Source = None,
    revision: Revision = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Lines in each list.")] = 10,
) -> None:
    """Say how the use of the library changed over its history, and what a maintainer should do."""
    from qi_pipeline.evolution.text import render_evolution

    pipeline = _pipeline(source=source, revision=revision)
    outcome = pipeline.pattern_evolution(pipeline.repo_snapshot().handle)
    print(render_evolution(outcome.handle.read(), top))
    print(f"\ntables and plot: {outcome.handle.directory}")


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="TypeScript files.")],
    source: Source = None,
    revision: Revision = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """Give any TypeScript file the verdict that patterns and answers get.

    Exits with status 1 when a file does not compile or breaks a rule.
    """
    texts = {str(path): _read_module(path) for path in files}
    pipeline = _pipeline(source=source, revision=revision)
    with pipeline.checker(pipeline.repo_snapshot().handle) as checker:
        verdicts = checker.check_modules(texts)
    records = [{"file": name, **verdicts[name].model_dump(mode="json")} for name in texts]
    if as_json:
        _print_json(records)
    else:
        for name in texts:
            print(f"{name}: {'complies' if verdicts[name].complies else 'does not comply'}")
            for found in verdicts[name].diagnostics:
                print(f"  {found.line}:{found.column} TS{found.code} {found.message}")
            for broken in verdicts[name].rules:
                print(f"  {broken.line} {broken.id} {broken.message}")
    if not all(verdict.complies for verdict in verdicts.values()):
        raise typer.Exit(1)


def _read_module(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise QiPipelineError(f"cannot read {path}: {error.strerror}") from error


@app.command()
def datasets(source: Source = None, revision: Revision = None) -> None:
    """Write the training datasets; print what is in them and where they lie."""
    pipeline, taken, validated = _validated(source, revision)
    outcome = pipeline.training_datasets(taken, validated)
    _print_json({"directory": str(outcome.handle.directory), **outcome.figures})


@app.command()
def index(source: Source = None, revision: Revision = None) -> None:
    """Bring the Chroma index in line with the kept patterns."""
    pipeline, _, validated = _validated(source, revision)
    _print_json(pipeline.pattern_index(validated).figures)


def _validated(source: str | None, revision: str | None) -> tuple[Pipeline, Any, Any]:
    pipeline = _pipeline(source=source, revision=revision)
    taken = pipeline.repo_snapshot().handle
    found = pipeline.patterns(taken).handle
    return pipeline, taken, pipeline.validated_patterns(taken, found).handle


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many patterns.")] = 5,
    category: Annotated[
        str | None, typer.Option(help="basic, intermediate, advanced or expert.")
    ] = None,
    pattern_type: Annotated[str | None, typer.Option("--type", help="A pattern type.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array on stdout.")] = False,
) -> None:
    """Find the patterns nearest in meaning."""
    from qi_pipeline.retrieval.index import PatternIndex

    index = PatternIndex(_pipeline().index_location())
    hits = index.search(query, k, category=category, pattern_type=pattern_type)
    if as_json:
        _print_json([asdict(hit) for hit in hits])
        return
    for hit in hits:
        print(f"{hit.score:.3f}  {hit.type}  {hit.category}  {hit.source_file}")
        print(f"       {hit.instruction}")
        print("\n".join(f"       {line}" for line in hit.code.rstrip().splitlines()) + "\n")


@app.command()
def train(source: Source = None, revision: Revision = None, preset: PresetName = None) -> None:
    """Train an adapter on the source's datasets; print its record."""
    outcome = _trained(_pipeline(source=source, revision=revision, preset=preset))[2]
    _print_json({"directory": str(outcome.handle.directory), **outcome.figures})


def _trained(pipeline: Pipeline) -> tuple[Pipeline, Any, Any]:
    pipeline.require_usable()
    taken = pipeline.repo_snapshot().handle
    validated = pipeline.validated_patterns(taken, pipeline.patterns(taken).handle).handle
    return (
        pipeline,
        taken,
        pipeline.lora_adapter(pipeline.training_datasets(taken, validated).handle),
    )


@app.command()
def export(
    source: Source = None,
    revision: Revision = None,
    preset: PresetName = None,
    quantization: Annotated[str | None, typer.Option(help="q8_0, q4_k_m or f16.")] = None,
) -> None:
    """Merge, convert and quantize the trained model; print where it lies."""
    pipeline, _, adapter = _trained(
        _pipeline(source=source, revision=revision, preset=preset, quantization=quantization)
    )
    outcome = pipeline.gguf_model(adapter.handle)
    _print_json({"directory": str(outcome.handle.directory), **outcome.figures})


@app.command()
def evaluate(  # noqa: PLR0917 - typer reads options from parameters
    model: Annotated[Path | None, typer.Option("--model", help="GGUF file.")] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Base URL of an OpenAI API, ending in /v1.")
    ] = None,
    endpoint_model: Annotated[
        str | None, typer.Option("--endpoint-model", help="The model's name there.")
    ] = None,
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Another arm: patterns of the index shown.")
    ] = False,
    verification: Annotated[
        bool, typer.Option("--verification", help="Another arm: best of several, then repaired.")
    ] = False,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Answers per task.")] = 1,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0)] = 0.0,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    tasks: Annotated[
        Path | None,
        typer.Option(
            "--tasks", help="Task suite (JSON Lines); default: QI_TASKS or the bundled one."
        ),
    ] = None,
    source: Source = None,
    revision: Revision = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report.")] = None,
) -> None:
    """Measure any GGUF model, or any model behind an OpenAI API; print the scores.

    The plain arm always runs; `--retrieval` needs an index (`qi index`). An API key is read from
    QI_ENDPOINT_API_KEY.
    """
    from qi_pipeline.evaluation.report import render_markdown, write_report

    pipeline = _on_tasks(tasks, _pipeline(source=source, revision=revision))
    pipeline.suite()
    chosen = _model(model, endpoint, endpoint_model, pipeline)
    report = pipeline.evaluate(
        chosen,
        retrieval=retrieval,
        verification=verification,
        samples=samples,
        temperature=temperature,
        seed=seed,
    )
    print(render_markdown(report))
    if out is not None:
        print(f"report: {write_report(report, out)}")


def _on_tasks(tasks: Path | None, pipeline: Pipeline) -> Pipeline:
    if tasks is None:
        return pipeline
    settings = pipeline.settings.model_copy(update={"tasks": tasks.absolute()})
    return replace(pipeline, settings=settings)


def _model(
    file: Path | None, endpoint: str | None, name: str | None, pipeline: Pipeline
) -> "Model":
    from qi_pipeline.evaluation.endpoint import Endpoint
    from qi_pipeline.evaluation.generation import LocalModel

    if file is not None and endpoint is None:
        return LocalModel(file)
    if file is None and endpoint is not None and name is not None:
        return Endpoint(endpoint, name, pipeline.settings.endpoint_api_key or "none")
    raise QiPipelineError(
        "name one model: --model FILE.gguf, or --endpoint URL with --endpoint-model NAME"
    )


@app.command()
def suite(
    tasks: Annotated[
        Path | None,
        typer.Option(
            "--tasks", help="Task suite (JSON Lines); default: QI_TASKS or the bundled one."
        ),
    ] = None,
    source: Source = None,
    revision: Revision = None,
    out: Annotated[Path | None, typer.Option("--json", help="JSON file to write.")] = None,
) -> None:
    """Say what a task suite is worth: references, and the mutants of them that its tests kill."""
    from qi_pipeline.evaluation.suite_check import render_suite_check

    pipeline = _on_tasks(tasks, _pipeline(source=source, revision=revision))
    loaded = pipeline.suite()
    check = pipeline.check_suite(pipeline.repo_snapshot().handle, loaded)
    if out is not None:
        write_json(out, check.model_dump(mode="json"))
    print(render_suite_check(check))
    if check.references_passing < len(check.tasks):
        raise typer.Exit(1)


@app.command()
def selftest(source: Source = None, revision: Revision = None) -> None:
    """Put answers whose worth is known through the instrument; exit with 1 when it misjudges."""
    pipeline = _pipeline(source=source, revision=revision)
    taken = pipeline.repo_snapshot().handle
    with pipeline.judge(taken) as judge:
        found = pipeline.self_test(taken, judge)
    _print_json(found.model_dump(mode="json"))
    _note(found.describe())
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def score(
    solutions: Annotated[
        Path, typer.Option("--solutions", help="JSON Lines: {id, code} or {id, answer}.")
    ],
    tasks: Annotated[
        Path | None,
        typer.Option(
            "--tasks", help="Task suite (JSON Lines); default: QI_TASKS or the bundled one."
        ),
    ] = None,
    source: Source = None,
    revision: Revision = None,
    out: Annotated[Path | None, typer.Option("--json", help="JSON file to write.")] = None,
) -> None:
    """Score given answers without a model: compiler, rules, and tests in the sandbox.

    `code` is judged as it is; from `answer`, a model's whole reply, the code is taken first.
    """
    from qi_pipeline.evaluation.solutions import load_solutions, render_solutions, score_solutions

    pipeline = _on_tasks(tasks, _pipeline(source=source, revision=revision))
    loaded = pipeline.suite()
    given = load_solutions(solutions, loaded)
    with pipeline.judge(pipeline.repo_snapshot().handle) as judge:
        report = score_solutions(loaded, given, judge)
    if out is not None:
        write_json(out, report.model_dump(mode="json"))
    print(render_solutions(report))


@app.command()
def release(source: Source = None, revision: Revision = None, preset: PresetName = None) -> None:
    """Evaluate the trained model and let it in when the gate says so; say why or why not."""
    pipeline, taken, adapter = _trained(_pipeline(source=source, revision=revision, preset=preset))
    validated = pipeline.validated_patterns(taken, pipeline.patterns(taken).handle).handle
    evaluation = pipeline.evaluation_report(
        taken,
        pipeline.gguf_model(adapter.handle).handle,
        pipeline.pattern_index(validated).handle,
        pipeline.training_datasets(taken, validated).handle,
    )
    _print_json(pipeline.model_release(evaluation.handle).figures)


@app.command()
def promote() -> None:
    """Make the model that is on trial live; the one before it stays as fallback."""
    _print_json(_pipeline().promote().model_dump(mode="json"))


@app.command()
def rollback(
    to: Annotated[str, typer.Option("--to", help="previous (or off trial), or base.")] = "previous",
) -> None:
    """Take a model back: off trial, or back to the previous live model, or to the base model."""
    from qi_pipeline.release import Target

    if to not in get_args(Target):
        raise QiPipelineError(f"unknown target {to!r}; known: {', '.join(get_args(Target))}")
    _print_json(_pipeline().roll_back(cast("Target", to)).model_dump(mode="json"))


@app.command()
def status() -> None:
    """Say which model is live, which is on trial, which was held back, and why."""
    _print_json(_pipeline().current_release().model_dump(mode="json"))


@app.command()
def presets() -> None:
    """List the training presets."""
    from qi_pipeline.training.presets import load_presets

    for name, preset in load_presets().items():
        print(f"{name:<12} {preset.description}; measures {', '.join(preset.evaluation_arms)}")


@app.command()
def sample(
    destination: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> None:
    """Write the bundled sample library as a git repository of your own."""
    from qi_pipeline.sample.repository import build_sample_repository

    print(f"{destination}: HEAD is {build_sample_repository(destination)}")


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Print the pipeline's own errors as one line and exit with status 2."""
    try:
        yield
    except QiPipelineError as error:
        print(f"qi: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # A file that cannot be read or written is the machine's matter, and the message names it.
        print(f"qi: {error}", file=sys.stderr)
        sys.exit(2)


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="  %(message)s")
    silence_library_notices()
    with _readable_errors():
        command: Callable[[], None] = app
        command()
