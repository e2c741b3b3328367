# ruff: noqa: E501 - TypeScript in tables reads best one case a line
from collections.abc import Mapping
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile, load_profile
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.workspace import (
    find_entries,
    install_requirements,
    npm_requirements,
    prepare_library,
)
from qi_pipeline_tests.validation.conftest import (
    BASE,
    CORE,
    ERROR,
    LIBRARY,
    RESULT,
    TOOLCHAIN,
    make_snapshot,
)

USE = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'


def requirements_of(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    snapshot, profile = make_snapshot(root, files), load_profile()
    return npm_requirements(snapshot, profile, find_entries(snapshot, profile))


def test_equal_content_is_one_workspace_and_changed_content_another(
    profile: Profile, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = prepare_library(make_snapshot(tmp_path / "a", LIBRARY), profile, cache)
    again = prepare_library(make_snapshot(tmp_path / "b", LIBRARY), profile, cache)
    changed = {**LIBRARY, "typescript/lib/base/src/error.ts": ERROR + "// changed\n"}
    other = prepare_library(make_snapshot(tmp_path / "c", changed), profile, cache)
    assert again == first
    assert other.root != first.root
    assert other.node_modules == first.node_modules
    assert (other.root / "node_modules").resolve() == first.node_modules


def test_only_implementation_files_are_copied(profile: Profile, tmp_path: Path) -> None:
    files = {
        **LIBRARY,
        "typescript/app/demo/src/index.ts": "export {};",
        "typescript/lib/tests/base/a.test.ts": "export {};",
    }
    workspace = prepare_library(make_snapshot(tmp_path / "a", files), profile, tmp_path / "cache")
    copied = {p.relative_to(workspace.root).as_posix() for p in workspace.root.rglob("*.*")}
    assert copied == {path for path in LIBRARY if path.endswith(".ts")}


OLD_LAYOUTS = {
    "packages": ("packages/base/src", "packages/core/src"),
    "lib/src": ("typescript/lib/src/base", "typescript/lib/src/core"),
    "src": ("typescript/src/base", "typescript/src/core"),
}


@pytest.mark.parametrize("layout", OLD_LAYOUTS)
def test_every_layout_of_the_history_compiles(
    profile: Profile, tmp_path: Path, layout: str
) -> None:
    base, core = OLD_LAYOUTS[layout]
    files = {
        f"{base}/index.ts": BASE, f"{base}/result.ts": RESULT, f"{base}/error.ts": ERROR,
        f"{core}/index.ts": CORE, "typescript/package.json": "{}",
    }  # fmt: skip
    workspace = prepare_library(make_snapshot(tmp_path / "a", files), profile, tmp_path / "cache")
    with Checker(workspace, profile, TOOLCHAIN) as checker:
        verdict = checker.check_module(USE)
    assert verdict.compiles
    assert verdict.symbols == ("@qi/base:success",)


def test_a_file_above_the_packages_answers_for_the_umbrella(
    profile: Profile, tmp_path: Path
) -> None:
    files = {
        "lib/src/index.ts": 'export * from "./base/index.js";\nexport * as core from "./core/index.js";',
        "lib/src/base/index.ts": BASE, "lib/src/base/result.ts": RESULT, "lib/src/base/error.ts": ERROR,
        "lib/src/core/index.ts": CORE,
    }  # fmt: skip
    workspace = prepare_library(make_snapshot(tmp_path / "a", files), profile, tmp_path / "cache")
    text = (
        'import { map, success } from "@qi/qicore-foundation"; map(success(1), (x: number) => x);'
    )
    with Checker(workspace, profile, TOOLCHAIN) as checker:
        verdict = checker.check_module(text)
    assert verdict.symbols == ("@qi/base:map", "@qi/base:success")
    assert [violation.id for violation in verdict.rules] == ["R4"]


def test_a_package_without_an_entry_is_absent(profile: Profile, tmp_path: Path) -> None:
    files = {path: text for path, text in LIBRARY.items() if "lib/core/" not in path}
    workspace = prepare_library(make_snapshot(tmp_path / "a", files), profile, tmp_path / "cache")
    assert list(workspace.entries) == ["@qi/base"]
    with Checker(workspace, profile, TOOLCHAIN) as checker:
        verdicts = checker.check_modules({"base": USE, "core": 'import "@qi/core";'})
    assert verdicts["base"].compiles
    assert [d.code for d in verdicts["core"].diagnostics] == [2882]


def test_a_snapshot_without_the_library_says_what_was_looked_for(
    profile: Profile, tmp_path: Path
) -> None:
    snapshot = make_snapshot(tmp_path / "a", {"typescript/lib/cli/src/index.ts": "export {};"})
    with pytest.raises(QiPipelineError, match=r"expected one of \*\*/lib/base/src/index\.ts"):
        prepare_library(snapshot, profile, tmp_path / "cache")


def test_requirements_are_the_registry_dependencies_of_the_nearest_manifests(
    tmp_path: Path,
) -> None:
    files = {
        **LIBRARY,
        "typescript/lib/core/package.json": '{"dependencies": {"zod": "^4.0.0", "@qi/base": "1.0.0", "a": "file:../a", "b": "workspace:*"}, "devDependencies": {"rimraf": "1"}}',
        "typescript/package.json": '{"dependencies": {"zod": "^3.0.0", "yaml": "^2.0.0"}, "devDependencies": {"@types/node": "^20.1.0", "rimraf": "5"}}',
        "typescript/lib/cli/package.json": '{"dependencies": {"commander": "1"}}',
    }  # fmt: skip
    found = requirements_of(tmp_path, files)
    assert (found["zod"], found["yaml"], found["@types/node"]) == ("^4.0.0", "^2.0.0", "^20.1.0")
    assert found.keys() == {"zod", "yaml", "@types/node"}


def test_a_test_runner_is_installed_only_where_a_manifest_asks_for_it(tmp_path: Path) -> None:
    manifest = '{"devDependencies": {"vitest": "^3.2.0"}}'
    declared = requirements_of(tmp_path, {**LIBRARY, "typescript/package.json": manifest})
    assert declared["vitest"] == "^3.2.0"


def test_one_manifest_above_an_old_layout_is_used(tmp_path: Path) -> None:
    files = {
        "typescript/lib/src/base/index.ts": BASE,
        "typescript/lib/package.json": '{"dependencies": {"pino": "^9.0.0"}}',
    }
    found = requirements_of(tmp_path, files)
    assert found["pino"] == "^9.0.0"
    assert found["@types/node"].startswith("20.")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_an_unreadable_manifest_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(QiPipelineError, match=r"typescript/package\.json"):
        requirements_of(tmp_path, {**LIBRARY, "typescript/package.json": text})


def test_a_failing_npm_names_the_requirement_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    with pytest.raises(QiPipelineError, match=r"(?s)zod@\^4\.0\.0.*ECONNREFUSED.*network"):
        install_requirements({"zod": "^4.0.0"}, tmp_path / "cache")
    assert list((tmp_path / "cache" / "npm").iterdir()) == []


def test_a_missing_npm_names_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QiPipelineError, match=r"install Node\.js"):
        install_requirements({"zod": "^4.0.0"}, tmp_path / "cache")


def test_no_script_of_a_package_runs(tmp_path: Path) -> None:
    package = tmp_path / "evil"
    package.mkdir()
    (package / "package.json").write_text(
        '{"name": "evil", "version": "1.0.0", "scripts": {"preinstall": "touch ran", "install": "touch ran", "postinstall": "touch ran"}}'
    )
    installed = install_requirements({"evil": f"file:{package}"}, tmp_path / "cache")
    assert (installed / "node_modules" / "evil").exists()
    assert not list(tmp_path.rglob("ran"))
