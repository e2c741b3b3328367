"""The sample library itself: it compiles at every commit and its own tests pass."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from qi_pipeline.sample.history import COMMITS, TREE_ROOT, Tree, states

NODE_MODULES = Path(__file__).parents[2] / "toolchain" / "node_modules"
STATES: dict[str, Tree] = {commit.slug: tree for commit, tree in states()}
HEAD = STATES[COMMITS[-1].slug]


def check_out(tree: Tree, folder: Path) -> Path:
    for path, text in tree.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return folder


def run_tool(folder: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(NODE_MODULES / ".bin" / tool), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("slug", STATES)
def test_every_commit_type_checks(slug: str, tmp_path: Path) -> None:
    checked = run_tool(check_out(STATES[slug], tmp_path), "tsc", "--noEmit", "--project", ".")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("slug", ["core-config", COMMITS[-1].slug])
def test_the_tests_pass_in_both_layouts(slug: str, tmp_path: Path) -> None:
    folder = check_out(STATES[slug], tmp_path)
    report = tmp_path / "report.json"
    tested = run_tool(
        folder,
        "vitest",
        "run",
        "--pool=forks",
        "--no-file-parallelism",
        "--reporter=json",
        f"--outputFile={report}",
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    outcome = json.loads(report.read_text())
    assert outcome["numFailedTests"] == 0
    assert outcome["numPassedTests"] >= 60


def test_a_type_error_would_be_noticed(tmp_path: Path) -> None:
    broken = {**HEAD, "app/basic-result/src/broken.ts": 'export const n: number = "text";\n'}
    checked = run_tool(check_out(broken, tmp_path), "tsc", "--noEmit", "--project", ".")
    assert checked.returncode != 0
    assert "broken.ts" in checked.stdout


def exported_names(package: str) -> set[str]:
    index = HEAD[f"lib/{package}/src/index.ts"]
    lists = re.findall(r"^export \{(.*?)\}", index, re.DOTALL | re.MULTILINE)
    entries = (entry.strip() for names in lists for entry in names.split(","))
    return {entry.split(" as ")[-1] for entry in entries if entry}


def learning_text() -> str:
    shown = [
        text
        for path, text in HEAD.items()
        if (path.startswith("app/") and path.endswith(".ts")) or path.startswith("docs/")
    ]
    return re.sub(r'import [^;"]*? from "[^"]*";', "", "\n".join(shown))


@pytest.mark.parametrize("package", ["base", "core"])
def test_every_exported_value_is_shown_at_least_twice(package: str) -> None:
    text = learning_text()
    rare = {name for name in exported_names(package) if len(re.findall(rf"\b{name}\b", text)) < 2}
    assert rare == set()


def test_every_unit_of_the_apps_says_what_it_does() -> None:
    silent = []
    units = 0
    for path, text in HEAD.items():
        if not re.fullmatch(r"app/[^/]+/src/\w+\.ts", path):
            continue
        for unit in re.finditer(r"^export (?:const|interface|type) (\w+)", text, re.MULTILINE):
            units += 1
            if not text[: unit.start()].rstrip("\n").endswith("*/"):
                silent.append(f"{path}: {unit[1]}")
    assert silent == []
    assert units >= 140


def type_check_blocks(folder: Path) -> dict[str, bool]:
    """Put every TypeScript block of the tutorials into a file of its own and check it."""
    blocks = {
        f"blocks/{Path(path).stem}-{number}.ts": block
        for path, text in HEAD.items()
        if path.startswith("docs/tutorial/") and path.endswith(".md")
        for number, block in enumerate(re.findall(r"```typescript\n(.*?)```", text, re.DOTALL))
    }
    config = HEAD["tsconfig.json"].replace('"lib", "app"', '"blocks"')
    check_out({**HEAD, **blocks, "tsconfig.json": config}, folder)
    output = run_tool(folder, "tsc", "--noEmit", "--project", ".").stdout
    return {path: f"{path}(" not in output for path in blocks}


def test_most_tutorial_blocks_compile_and_some_are_stale(tmp_path: Path) -> None:
    verdicts = type_check_blocks(tmp_path)
    stale = sorted(path for path, compiles in verdicts.items() if not compiles)
    assert len(verdicts) >= 40
    assert stale == [
        "blocks/02-composition-8.ts",
        "blocks/04-async-7.ts",
        "blocks/05-services-6.ts",
        "blocks/05-services-7.ts",
    ]


def test_the_notebook_is_not_taken_for_python() -> None:
    notebook = json.loads((TREE_ROOT / "docs/tutorial/nb/01-basics.ipynb").read_text())
    assert notebook["metadata"]["language_info"]["name"] == "typescript"
    assert sum(cell["cell_type"] == "code" for cell in notebook["cells"]) >= 3
