"""What a verdict costs beside one `npx tsc` a snippet: `python -m benchmarks.compiler SOURCE`.

The snippets are the modules that extraction makes of the library's own code and documents, and
versions of them with one thing broken. The service must say of each what TypeScript 5.9 says, which
gets each snippet as a program of its own (through its API, in one process). `npx tsc` is timed, and
its exit status compared, on some of the snippets only: the cost of one is the cost of its start,
whatever the snippet. It knows nothing of conventions, so the service is timed twice: what it takes
to have each snippet compiled, as `npx tsc` does, and what a whole verdict takes, with admission,
resolved names and every convention rule. Snippets that the service refuses to compile at all (it
says why) are left out and counted.
"""

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tree_sitter import Node

from qi_pipeline.artefacts import build_directory, content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.settings import Settings
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.admission import admit
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.compiler import Compiler
from qi_pipeline.validation.project import PROBE, configuration, library_probe
from qi_pipeline.validation.questions import Questions
from qi_pipeline.validation.syntax import ParsedModule, arguments_of, parse_module, span_of
from qi_pipeline.validation.workspace import LibraryWorkspace, prepare_library

_TRUTH = Path(__file__).with_name("truth")
_VERDICTS = _TRUTH / "verdicts.mjs"
_TIMEOUT_S = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--snippets", type=int, default=300, help="unchanged modules")
    parser.add_argument("--broken", type=int, default=100, help="modules with one thing broken")
    parser.add_argument("--timed", type=int, default=20, help="snippets given to `npx tsc` each")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    chance = random.Random(options.seed)  # noqa: S311 - a sample, no secret
    classic = _install_classic(settings.cache_dir)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        library = prepare_library(snapshot, profile, settings.cache_dir)
        extraction = extract_patterns(snapshot, profile)
        units = [*extraction.patterns, *extraction.untyped]
        texts = sorted({row.implementation for row in units})
        admitted = [text for text in texts if admit(text)[0] is not None]
        unchanged = chance.sample(admitted, min(options.snippets, len(admitted)))
        wanted = options.broken + options.snippets - len(unchanged)
        broken = _broken_versions(admitted, wanted, set(admitted), chance)
        snippets = [*unchanged, *broken]
        project = _lay_out(folder / "project", snippets, library, profile)
        print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(
            f"{len(unchanged)} modules of {options.source} at {snapshot.commit[:12]} "
            f"({len(texts) - len(admitted)} of {len(texts)} refused), {len(broken)} broken versions"
        )
        with Checker(library, profile, settings.toolchain_dir) as checker:
            start = _seconds(lambda: checker.check_module("export {};"))
            batch, compiles = _time_batches(checker, snippets, options.runs)
            single = _time_single(checker, snippets)
        alone, compiled = _time_compiling(
            folder / "alone", snippets, library, profile, settings.toolchain_dir, options.runs
        )
        if compiled != compiles:
            raise QiPipelineError("compiled without admission and rules, verdicts differ")
        _compare(snippets, compiles, _classic_verdicts(classic, project, len(snippets)))
        print(f"service    {start:.2f} s to start with the library loaded")
        print(f"compiling  {1000 * alone:9.2f} ms a snippet (median of {options.runs} batches)")
        print(f"verdict    {1000 * batch:9.2f} ms a snippet (median of {options.runs} batches)")
        print(f"single     {1000 * single:9.2f} ms a verdict on one snippet alone")
        if options.timed:
            process = _time_processes(classic, project, compiles, options.timed, chance)
            print(
                f"npx tsc    {1000 * process:9.2f} ms a snippet "
                f"(median of {options.timed} processes, TypeScript 5.9)"
            )
            print(
                f"ratio      {process / alone:.0f} compiling, {process / batch:.0f} a verdict, "
                f"{process / single:.0f} a verdict on one alone"
            )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _time_batches(checker: Checker, snippets: Sequence[str], runs: int) -> tuple[float, list[bool]]:
    """Return the median seconds a snippet, and whether each compiles."""
    seconds: list[float] = []
    compiles: list[bool] = []
    for _ in range(runs):
        started = time.perf_counter()
        verdicts = checker.check_modules({str(n): text for n, text in enumerate(snippets)})
        seconds.append((time.perf_counter() - started) / len(snippets))
        compiles = [verdict.compiles for verdict in verdicts.values()]
    return statistics.median(seconds), compiles


def _time_compiling(
    folder: Path,
    snippets: Sequence[str],
    library: LibraryWorkspace,
    profile: Profile,
    toolchain_dir: Path,
    runs: int,
) -> tuple[float, list[bool]]:
    """Return the median seconds a snippet that compiling alone takes, and whether each compiles."""
    folder.mkdir()
    (folder / "node_modules").symlink_to(library.node_modules.resolve(), target_is_directory=True)
    include = ["modules/*/*.ts"]
    text = configuration(profile, library.paths, library.node_modules, include)
    (folder / "tsconfig.json").write_text(text, encoding="utf-8")
    (folder / PROBE).write_text(library_probe(profile, library.entries)[0], encoding="utf-8")
    seconds: list[float] = []
    compiles: list[bool] = []
    created: list[str] = []
    with Compiler(toolchain_dir, folder) as compiler:
        opening = {"openProjects": [(folder / "tsconfig.json").as_posix()]}
        (state,) = compiler.ask([("updateSnapshot", opening)], _TIMEOUT_S)
        for run in range(runs):
            started = time.perf_counter()
            deleted, created = created, []
            for number, snippet in enumerate(snippets):
                file = folder / "modules" / str(number) / f"{run}.ts"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(snippet.encode())
                created.append(file.as_posix())
            changes = {"fileChanges": {"created": created, "deleted": deleted}}
            previous = state["snapshot"]
            (state,) = compiler.ask([("updateSnapshot", changes)], _TIMEOUT_S)
            compiler.ask([("release", {"snapshot": previous})], _TIMEOUT_S)
            project = state["projects"][0]["id"]
            questions = Questions(compiler, state["snapshot"], project, _TIMEOUT_S)
            syntactic = questions.diagnostics("getSyntacticDiagnostics", created)
            semantic = questions.diagnostics("getSemanticDiagnostics", created)
            compiles = [not (a or b) for a, b in zip(syntactic, semantic, strict=True)]
            for path in created:
                Path(path).unlink()
            seconds.append((time.perf_counter() - started) / len(snippets))
    return statistics.median(seconds), compiles


def _time_single(checker: Checker, snippets: Sequence[str]) -> float:
    started = time.perf_counter()
    for text in snippets:
        checker.check_module(text)
    return (time.perf_counter() - started) / len(snippets)


def _broken_versions(
    texts: Sequence[str], wanted: int, taken: set[str], chance: random.Random
) -> list[str]:
    """Return modules with one thing changed that the compiler may or may not mind."""
    broken: list[str] = []
    for attempt in range(20 * wanted):
        if len(broken) == wanted:
            break
        text = _changed(texts[attempt % len(texts)], chance)
        if text not in taken and admit(text)[0] is not None:
            taken.add(text)
            broken.append(text)
    return broken


def _changed(text: str, chance: random.Random) -> str:
    """Rename one use, put a number for a text, or leave out one argument."""
    module = parse_module(text)
    changes = [
        *((node, module.text_of(node) + "2") for node in module.of_type("identifier")),
        *((node, "0") for node in module.of_type("string") if not _is_specifier(node)),
        *((call, _shortened(module, call)) for call in module.of_type("call_expression")),
    ]
    if not changes:
        return text
    node, replacement = chance.choice(changes)
    start, end = span_of(node)
    return module.slice(0, start) + replacement + module.slice(end, len(module.utf16) // 2)


def _is_specifier(node: Node) -> bool:
    return node.parent is not None and node.parent.type.endswith("_statement")


def _shortened(module: ParsedModule, call: Node) -> str:
    """Return a call without its last argument."""
    arguments = arguments_of(call)
    if not arguments:
        return f"{module.text_of(call)}(0)"
    start, end = span_of(call)
    before = span_of(arguments[-2])[1] if len(arguments) > 1 else span_of(arguments[-1])[0]
    return module.slice(start, before) + module.slice(span_of(arguments[-1])[1], end)


def _lay_out(
    project: Path, snippets: Sequence[str], library: LibraryWorkspace, profile: Profile
) -> Path:
    """Write each snippet with a configuration of its own; return the project's folder."""
    project.mkdir()
    (project / "node_modules").symlink_to(library.node_modules.resolve(), target_is_directory=True)
    common = json.loads(configuration(profile, library.paths, library.node_modules, include=[]))
    del common["include"]
    for number, text in enumerate(snippets):
        file = project / str(number) / "snippet.ts"
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8", newline="")
        own = {**common, "files": [f"{number}/snippet.ts"]}
        (project / f"tsconfig.{number}.json").write_text(json.dumps(own), encoding="utf-8")
    return project


def _install_classic(cache_dir: Path) -> Path:
    """Return a folder whose node_modules hold the pinned TypeScript 5.9."""
    pins = [_TRUTH / "package.json", _TRUTH / "package-lock.json"]

    def install(folder: Path) -> None:
        for pin in pins:
            shutil.copy(pin, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

    key = content_hash([pin.read_text(encoding="utf-8") for pin in pins])
    return build_directory(cache_dir / "typescript-5.9" / key, install)


def _run(command: Iterable[object], folder: Path) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise QiPipelineError(f"{words[0]} failed in {folder}: {done.stderr.strip()}")
    return done.stdout


def _classic_verdicts(classic: Path, project: Path, count: int) -> list[list[int]]:
    """Return the error codes that TypeScript 5.9 finds in each snippet."""
    files = [(project / str(number) / "snippet.ts").as_posix() for number in range(count)]
    request = {
        "typescript": (classic / "node_modules" / "typescript").as_posix(),
        "configuration": (project / "tsconfig.0.json").as_posix(),
        "files": files,
    }
    (project / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = ["node", "--max-old-space-size=4096", _VERDICTS, project / "request.json"]
    answer: Mapping[str, list[int]] = json.loads(_run(command, project))
    return [answer[file] for file in files]


def _compare(
    snippets: Sequence[str], compiles: Sequence[bool], classic: Sequence[Sequence[int]]
) -> None:
    pairs = list(zip(snippets, compiles, classic, strict=True))
    differing = [pair for pair in pairs if pair[1] == bool(pair[2])]
    print(
        f"verdicts   {len(pairs) - len(differing)} of {len(pairs)} equal to TypeScript 5.9's; "
        f"{sum(compiles)} compile, {len(pairs) - sum(compiles)} do not"
    )
    for text, here, codes in differing:
        print(f"--- the service says {here}, TypeScript 5.9 finds {codes or 'nothing'}:\n{text}")


def _time_processes(
    classic: Path, project: Path, compiles: Sequence[bool], count: int, chance: random.Random
) -> float:
    """Return the median seconds of one `npx tsc`; its exit status must be the verdict."""
    seconds = []
    for number in chance.sample(range(len(compiles)), min(count, len(compiles))):
        configured = project / f"tsconfig.{number}.json"
        started = time.perf_counter()
        done = subprocess.run(
            ["npx", "--no-install", "tsc", "-p", configured],
            cwd=classic, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds.append(time.perf_counter() - started)
        if (done.returncode == 0) != compiles[number]:
            print(f"--- npx tsc differs on {configured.name}:\n{done.stdout}")
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
