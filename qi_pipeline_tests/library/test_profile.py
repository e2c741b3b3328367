import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library import profile as profile_module
from qi_pipeline.library.profile import FileKind, Profile, load_profile, matches_glob

BUNDLED = Path(profile_module.__file__).with_name("profile.toml")


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile()


@pytest.mark.parametrize(
    ("path", "glob", "expected"),
    [
        ("a.ts", "**/*.ts", True),
        ("x/y/a.ts", "**/*.ts", True),
        ("x/a.tsx", "**/*.ts", False),
        ("lib/src/a.ts", "**/lib/src/**/*.ts", True),
        ("lib/src/x/y/a.ts", "**/lib/src/**/*.ts", True),
        ("mylib/src/a.ts", "**/lib/src/**/*.ts", False),
        ("lib/base/src/a.ts", "**/lib/*/src/**/*.ts", True),
        ("lib/a/b/src/a.ts", "**/lib/*/src/**/*.ts", False),
        ("x/dist/a/b", "**/dist/**", True),
        ("dist", "**/dist/**", False),
        ("axts", "*.ts", False),
        ("a.ts\n", "*.ts", False),
        ("[a].ts", "[a].ts", True),
        ("a.ts", "[a].ts", False),
    ],
)
def test_a_glob_matches_the_whole_path(path: str, glob: str, expected: bool) -> None:
    assert matches_glob(path, glob) is expected


names = st.text("abz.-_+()[]", min_size=1, max_size=6)


@given(st.lists(names, min_size=1, max_size=4))
def test_a_path_without_stars_matches_itself_below_any_folder(parts: list[str]) -> None:
    path = "/".join(parts)
    assert matches_glob(path, path)
    assert matches_glob(f"some/folder/{path}", f"**/{path}")
    assert matches_glob(path, "/".join("*" for _ in parts))
    assert not matches_glob(path, "/".join("*" for _ in [*parts, ""]))


@pytest.mark.parametrize("prefix", ["", "typescript/"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/base/result.ts", "implementation"),
        ("src/core/cache.ts", "implementation"),
        ("src/index.ts", "implementation"),
        ("lib/src/base/result.ts", "implementation"),
        ("packages/base/src/result.ts", "implementation"),
        ("lib/core/src/cache/memory.ts", "implementation"),
        ("lib/core/src/cache/memory.test.ts", "test"),
        ("lib/tests/base/result.ts", "test"),
        ("tests/base/result.spec.ts", "test"),
        ("app/demo/src/main.ts", "app"),
        ("apps/demo/src/main.ts", "app"),
        ("docs/tutorial/one.md", "tutorial"),
        ("docs/tutorials/deep/one.md", "tutorial"),
        ("docs/api/base.md", "api_doc"),
        ("tour.ipynb", "notebook"),
        ("package.json", "manifest"),
        ("lib/package.json", "manifest"),
        ("packages/core/package.json", "manifest"),
        ("README.md", None),
        ("docs/impl/plan.md", None),
        ("vitest.config.ts", None),
        ("lib/base/dist/index.ts", None),
        ("lib/base/src/types.d.ts", None),
        ("node_modules/zod/package.json", None),
        ("lib/base/node_modules/zod/src/index.test.ts", None),
    ],
)
def test_every_layout_has_its_kind(
    profile: Profile, path: str, kind: str | None, prefix: str
) -> None:
    assert profile.kind_of(prefix + path) == kind


@given(st.text())
def test_any_path_has_a_known_kind_or_none(path: str) -> None:
    kind = load_profile().kind_of(path)
    assert kind is None or (kind in get_args(FileKind) and kind != "ignored")


@pytest.mark.parametrize(
    ("specifier", "package"),
    [
        ("@qi/base", "@qi/base"),
        ("@qi/base/result", "@qi/base"),
        ("@qi/qicore-foundation/core", "@qi/core"),
        ("@qi/basement", None),
        ("@qi", None),
        ("zod", None),
    ],
)
def test_specifiers_and_their_sub_paths_mean_a_package(
    profile: Profile, specifier: str, package: str | None
) -> None:
    found = profile.package_of_specifier(specifier)
    assert (found.name if found else None) == package


def test_a_symbol_is_evidence_of_one_pattern_type(profile: Profile) -> None:
    assert profile.type_of_symbol["@qi/base:success"] == "result_creation"
    assert profile.type_of_symbol["@qi/core:loggerError"] == "logger_integration"
    assert profile.type_of_symbol["@qi/base:loggerError"] == "error_handling"
    listed = [s for packages in profile.types.values() for p in packages.items() for s in p[1]]
    assert len(profile.type_of_symbol) == len(listed), "a symbol is listed under two types"


def test_types_and_conventions_speak_of_packages_and_symbols_that_exist(profile: Profile) -> None:
    packages = {package.name for package in profile.packages}
    assert {name for types in profile.types.values() for name in types} <= packages
    symbols = {name.split(":")[1] for name in profile.type_of_symbol}
    assert set(profile.conventions.combinators) <= symbols
    assert set(profile.conventions.category_arguments) <= symbols
    assert set(profile.interchangeable) <= packages
    for package, groups in profile.interchangeable.items():
        names = [name for group in groups for name in group]
        assert len(names) == len(set(names)), "a function is in two groups"
        assert {f"{package}:{name}" for name in names} <= set(profile.type_of_symbol)


def test_a_profile_is_frozen(profile: Profile) -> None:
    with pytest.raises(ValidationError):
        profile.name = "other"  # type: ignore[misc]


def test_a_profile_may_be_given_by_path(tmp_path: Path, profile: Profile) -> None:
    copy = tmp_path / "mine.toml"
    copy.write_bytes(BUNDLED.read_bytes())
    assert load_profile(str(copy)) == profile


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    for missing in ("qicoer", str(tmp_path)):
        with pytest.raises(QiPipelineError, match=f"no library profile at '{missing}'; give 'qi"):
            load_profile(missing)


@pytest.mark.parametrize("content", [b"name = ", b"name = '\xff'"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(QiPipelineError, match=r"broken\.toml is not valid TOML"):
        load_profile(str(path))


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('name = "qicore"', 'title = "qicore"', "name: Field required"),
        ('name = "qicore"', 'name = "qicore"\nextra = 1', "extra: Extra inputs"),
        ('kind = "tutorial"', 'kind = "tutorail"', r"sources\.\d+\.kind: Input should be"),
        ('globs = ["**/*.ipynb"]', 'glob = ["**/*.ipynb"]', r"sources\.\d+\.globs: Field required"),
        ("map = 1", 'map = "last"', r"conventions\.combinators\.map: "),
    ],
)
def test_a_wrong_field_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    text = BUNDLED.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(QiPipelineError, match=rf"wrong\.toml is not a library profile: .*{where}"):
        load_profile(str(path))


def test_every_rule_has_a_wording(profile: Profile) -> None:
    raw: dict[str, Any] = tomllib.loads(BUNDLED.read_text())
    assert set(profile.rules) == set(raw["rules"])
    for rule in profile.rules.values():
        assert rule.summary
        assert rule.message.format(name="x", known="y")
