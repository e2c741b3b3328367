"""How exactly extraction finds the library's calls, judged by another compiler.

Run: python -m benchmarks.calls SOURCE [--revision REVISION] [--without-checker]
The truth comes from the TypeScript 5.9 checker's classic API (truth/truth.mjs), which shares no
code with extraction: every call in code, and in each document block that parses, completed with
imports of whatever the block does not declare itself. Prints recall and precision for each form
and source kind, then every miss and every extra.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qi_pipeline.artefacts import build_directory, content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.documents import CodeBlock, markdown_blocks, notebook_cells
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.settings import Settings
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.members import CheckedMembers
from qi_pipeline.validation.workspace import (
    find_entries,
    import_paths,
    install_requirements,
    npm_requirements,
)

_TRUTH = Path(__file__).with_name("truth")
_CODE = frozenset({"app", "implementation", "test"})
_ANY = "all"


@dataclass(frozen=True)
class Place:
    """Where a call stands: `file#cell=N` inside a notebook; 1-based."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Site:
    """One call as one side sees it."""

    place: Place
    source_kind: str
    form: str
    names: frozenset[str]
    """`package:symbol`, or what it may be called where an export has several names."""


@dataclass(frozen=True)
class Program:
    """The sources laid out for the classic compiler."""

    root: Path
    files: list[str]
    blocks: dict[str, tuple[SnapshotFile, CodeBlock]]
    """Path of a block's file to where the block comes from."""
    kinds: Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL of the library's git repository")
    parser.add_argument("--revision", default="HEAD")
    parser.add_argument("--profile", default="qicore", help="profile name or path")
    parser.add_argument(
        "--without-checker", action="store_true", help="leave open what syntax does not decide"
    )
    options = parser.parse_args()
    profile, settings = load_profile(options.profile), Settings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        snapshot = take_snapshot(
            options.source, options.revision, profile, folder / "snapshots", folder / "mirrors"
        )
        requirements = npm_requirements(snapshot, profile, find_entries(snapshot, profile))
        modules = install_requirements(requirements, settings.cache_dir) / "node_modules"
        oracle = CheckedMembers(profile, settings.toolchain_dir, node_modules=modules)
        extraction = extract_patterns(
            snapshot, profile, oracle=None if options.without_checker else oracle
        )
        found = [
            Site(
                Place(item.file, item.call.line, item.call.column),
                item.source_kind,
                item.call.form,
                frozenset({f"{item.call.package}:{item.call.symbol}"}),
            )
            for item in extraction.calls
        ]
        program = lay_out(snapshot, folder / "program", modules)
        truth = list(true_sites(program, snapshot, profile, settings.cache_dir))
        print(f"commit {snapshot.commit[:12]}: {len(program.files)} files, ", end="")
        print(f"{len(program.blocks)} document blocks, {len(truth)} calls in truth")
        print(f"left undecided by extraction: {extraction.undecided}\n")
        report(truth, found, snapshot)


# ── Truth ────────────────────────────────────────────────────────────────────────────────────────


def lay_out(snapshot: Snapshot, root: Path, node_modules: Path) -> Program:
    """Write the snapshot's code and the blocks of its documents below `root`."""
    root.mkdir()
    (root / "node_modules").symlink_to(node_modules, target_is_directory=True)
    files: list[str] = []
    blocks: dict[str, tuple[SnapshotFile, CodeBlock]] = {}
    for file in snapshot.files:
        if file.kind in _CODE and file.path.endswith(".ts"):
            files.append(file.path)
            _write(root / file.path, snapshot.read_text(file))
        elif file.kind not in (*_CODE, "manifest"):
            for number, block in enumerate(_blocks(snapshot, file)):
                path = f"{file.path}/block-{number}.ts"
                blocks[path] = file, block
                _write(root / path, block.text)
    kinds = {file.path: file.kind for file in snapshot.files}
    return Program(root, files, blocks, kinds)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def _blocks(snapshot: Snapshot, file: SnapshotFile) -> list[CodeBlock]:
    text = snapshot.read_text(file)
    return notebook_cells(text) if file.kind == "notebook" else markdown_blocks(text)


def true_sites(
    program: Program, snapshot: Snapshot, profile: Profile, cache_dir: Path
) -> Iterator[Site]:
    """Yield every library call that the classic checker sees."""
    entries = find_entries(snapshot, profile)
    paths = import_paths(program.root, profile, entries, set(program.files))
    request = {
        "root": program.root.as_posix(),
        "files": [*program.files, *program.blocks],
        "blocks": list(program.blocks),
        "packages": {name: entry.as_posix() for name, entry in entries.items()},
        "paths": {**_local_paths(program, snapshot, profile), **paths},
        "types": ["node"] if (program.root / "node_modules/@types/node").is_dir() else [],
    }
    asked = program.root.with_suffix(".json")
    asked.write_text(json.dumps(request), encoding="utf-8")
    answer = _run_truth(asked, cache_dir)
    print(f"blocks that do not parse: {len(answer['unparsed'])}")
    for call in answer["calls"]:
        kind, place = _located(program, call)
        yield Site(place, kind, call["form"], frozenset(call["names"]))


def _local_paths(program: Program, snapshot: Snapshot, profile: Profile) -> dict[str, list[str]]:
    """Return import paths of the repository's own packages that the profile does not know."""
    found: dict[str, list[str]] = {}
    for file in snapshot.files:
        if PurePosixPath(file.path).name == "package.json":
            entry = (PurePosixPath(file.path).parent / "src" / "index.ts").as_posix()
            name = str(json.loads(snapshot.read_text(file)).get("name", ""))
            if name.startswith(profile.compile.local_prefixes) and entry in program.files:
                found[name] = [(program.root / entry).as_posix()]
    return found


def _run_truth(request: Path, cache_dir: Path) -> dict[str, Any]:
    """Run truth.mjs on `request`, installing its compiler once."""
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(_TRUTH.iterdir())}
    installed = build_directory(cache_dir / "truth" / content_hash(sources), _install)
    done = subprocess.run(
        ["node", installed / "truth.mjs", request], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise QiPipelineError(f"{installed / 'truth.mjs'} failed: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    if not isinstance(answer, dict):
        raise QiPipelineError("truth.mjs printed no object")
    return answer


def _install(folder: Path) -> None:
    for path in _TRUTH.iterdir():
        shutil.copy(path, folder)
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        ["npm", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise QiPipelineError(f"npm could not install TypeScript: {done.stderr.strip()}")


def _located(program: Program, call: Mapping[str, Any]) -> tuple[str, Place]:
    """Return the kind and the place of a call in the repository."""
    path, line, column = call["file"], call["line"], call["column"]
    if path not in program.blocks:
        return program.kinds[path], Place(path, line, column)
    file, block = program.blocks[path]
    margin = block.margins[line - 1] if block.margins else 0
    name = file.path if block.cell is None else f"{file.path}#cell={block.cell}"
    return file.kind, Place(name, block.first_line + line - 1, column + margin)


# ── Comparison ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Comparison:
    """What two lists of calls have in common, and what only one has."""

    matched: list[tuple[Site, Site]]
    missed: list[Site]
    extra: list[Site]


def compare(truth: Iterable[Site], found: Iterable[Site]) -> Comparison:
    """Match each true call with one that was found at its place, in its form, by one of its names.

    Calls of a chain (`a.b().c()`) begin at one place and differ by name.
    """
    at: dict[tuple[Place, str], list[Site]] = {}
    for site in found:
        at.setdefault((site.place, site.form), []).append(site)
    matched: list[tuple[Site, Site]] = []
    missed: list[Site] = []
    for site in truth:
        here = at.get((site.place, site.form), [])
        same = next((other for other in here if other.names & site.names), None)
        if same is None:
            missed.append(site)
        else:
            here.remove(same)
            matched.append((site, same))
    return Comparison(matched, missed, [site for sites in at.values() for site in sites])


def report(truth: list[Site], found: list[Site], snapshot: Snapshot) -> None:
    """Print the table, then every miss and every extra."""
    compared = compare(truth, found)
    print(f"{'form':16} {'source':15} {'truth':>6} {'found':>6} {'recall':>8} {'precision':>10}")
    for form, kind in _rows([*truth, *found]):
        hits = sum(1 for site, _ in compared.matched if _belongs(site, form, kind))
        true = sum(1 for site in truth if _belongs(site, form, kind))
        named = sum(1 for site in found if _belongs(site, form, kind))
        recall, precision = (f"{hits / n:.4f}" if n else "-" for n in (true, named))
        print(f"{form:16} {kind:15} {true:6} {named:6} {recall:>8} {precision:>10}")
    lines = _source_lines(snapshot)
    for title, sites in (("missed", compared.missed), ("extra", compared.extra)):
        print(f"\n{title}: {len(sites)}")
        for site in sorted(sites, key=lambda one: (one.place.file, one.place.line)):
            names = " or ".join(sorted(site.names))
            print(f"  {site.place.file}:{site.place.line}:{site.place.column} {site.form} {names}")
            print(f"      {lines(site.place)}")


def _rows(sites: Iterable[Site]) -> list[tuple[str, str]]:
    counted = Counter((site.form, site.source_kind) for site in sites)
    forms = sorted({form for form, _ in counted})
    return sorted(counted) + [(form, _ANY) for form in forms] + [(_ANY, _ANY)]


def _belongs(site: Site, form: str, kind: str) -> bool:
    return form in (_ANY, site.form) and kind in (_ANY, site.source_kind)


def _source_lines(snapshot: Snapshot) -> Callable[[Place], str]:
    files = {file.path: file for file in snapshot.files}

    def line(place: Place) -> str:
        path, _, cell = place.file.partition("#cell=")
        text = snapshot.read_text(files[path])
        if cell:
            blocks = {block.cell: block for block in notebook_cells(text)}
            text = blocks[int(cell)].text
        return text.split("\n")[place.line - 1].strip()[:120]

    return line


if __name__ == "__main__":
    main()
