"""What a second run reads again, and that it finds the same as a first run would."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from qi_pipeline.extraction.cache import ExtractionCache
from qi_pipeline.extraction.extract import Counts, Extraction, extract_patterns
from qi_pipeline.extraction.members import MemberQuestion
from qi_pipeline.library.profile import Profile
from qi_pipeline_tests.extraction.planted import APP, DOC, LIBRARY, PROFILE, plant

SIBLING = "app/demo/src/util.ts"
TEST = "lib/tests/base/a.test.ts"
RESULT = "lib/base/src/result.ts"
FILES: dict[str, str] = {
    **LIBRARY,
    APP: (
        'import { success } from "@qi/base";\nimport { helper } from "./util.js";\n'
        "export const a = () => success(helper(1));\n"
    ),
    SIBLING: (
        'import { failure } from "@qi/base";\n'
        "export const helper = (n: number): number => n + 1;\n"
        "export const other = () => failure({ code: 'A', message: 'b' });\n"
    ),
    TEST: 'import { map } from "@qi/base";\nit("maps", () => { map((x) => x, r); });\n',
    DOC: "# A\n\n```ts\nconst a = success(1)\n```\n",
}


class Runs:
    """Runs over changing files with one cache."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache_folder = root / "cache"
        self.count = 0

    def __call__(
        self,
        files: Mapping[str, str] = FILES,
        *,
        profile: Profile = PROFILE,
        oracle: "Asked | None" = None,
        max_bytes: int = 1_000_000,
    ) -> Counts:
        """Return what a run reads anew; it must find what a run without a cache does."""
        self.count += 1
        snapshot = plant(self.root / f"snapshot-{self.count}", files)
        cache = ExtractionCache(self.cache_folder, max_bytes=max_bytes)
        found = extract_patterns(snapshot, profile, oracle=oracle, cache=cache)
        fresh = extract_patterns(snapshot, profile, oracle=Asked() if oracle else None)
        assert without_counts(found) == without_counts(fresh)
        return found.counts

    def entries(self) -> list[Path]:
        return sorted(self.cache_folder.glob("??/*.json"))


def without_counts(extraction: Extraction) -> Extraction:
    return replace(extraction, counts=Counts(0, 0, 0))


@pytest.fixture
def run(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def edited(path: str, old: str, new: str) -> dict[str, str]:
    assert old in FILES[path]
    return {**FILES, path: FILES[path].replace(old, new)}


def test_an_unchanged_snapshot_is_not_read_again(run: Runs) -> None:
    assert run() == Counts(reused=0, extracted=len(FILES), removed=0)
    assert run() == Counts(reused=len(FILES), extracted=0, removed=0)


@pytest.mark.parametrize("path", [APP, SIBLING, TEST, DOC, RESULT])
def test_a_comment_makes_one_file_be_read_again(path: str, run: Runs) -> None:
    run()
    changed = {**FILES, path: f"{FILES[path]}\n// note\n"}
    assert run(changed) == Counts(reused=len(FILES) - 1, extracted=1, removed=0)
    assert run(changed).extracted == 0
    assert run().extracted == 0


def test_a_unit_that_others_do_not_use_makes_one_file_be_read_again(run: Runs) -> None:
    run()
    assert run(edited(SIBLING, "code: 'A'", "code: 'C'")).extracted == 1


def test_an_inlined_helper_makes_its_users_be_read_again(run: Runs) -> None:
    run()
    assert run(edited(SIBLING, "n + 1", "n + 2")).extracted == 2


def test_the_body_of_a_library_function_concerns_its_own_file_alone(run: Runs) -> None:
    run()
    changed = edited(RESULT, "success(fn(result.value)) : result", "success(fn(result.value)) : r")
    assert run(changed).extracted == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("map<T, U>(fn: (value: T) => U", "map<T, U>(fn: (item: T) => U"),
        ("export function map", "function map"),
        ("interface QiError { code: string", "interface QiError { code: number"),
        # Without a return type the body is the signature.
        ('create("VALIDATION_ERROR", message)', 'create("OTHER", message)'),
    ],
)
def test_the_library_s_surface_concerns_every_file(old: str, new: str, run: Runs) -> None:
    run()
    assert run(edited(RESULT, old, new)) == Counts(reused=0, extracted=len(FILES), removed=0)


def test_deleted_and_renamed_files_are_gone(run: Runs) -> None:
    run()
    fewer = {path: text for path, text in FILES.items() if path != TEST}
    assert run(fewer) == Counts(reused=len(FILES) - 1, extracted=0, removed=1)
    moved = {**fewer, "docs/tutorial/other.md": fewer[DOC]}
    del moved[DOC]
    assert run(moved) == Counts(reused=len(FILES) - 2, extracted=1, removed=1)


def test_coverage_follows_the_tests_although_the_unit_is_reused(run: Runs) -> None:
    run()
    other = edited(TEST, "map", "flatMap")
    assert run(other).extracted == 1


def test_a_deleted_helper_makes_its_users_be_read_again(run: Runs) -> None:
    run()
    fewer = {path: text for path, text in FILES.items() if path != SIBLING}
    assert run(fewer) == Counts(reused=len(FILES) - 2, extracted=1, removed=1)


def test_a_new_file_that_an_import_means_from_now_on_is_noticed(run: Runs) -> None:
    folder = {path: text for path, text in FILES.items() if path != SIBLING}
    folder["app/demo/src/util/index.ts"] = FILES[SIBLING]
    elsewhere = {**folder, APP: folder[APP].replace("./util.js", "./util")}
    run(elsewhere)
    # `./util.ts` comes before `./util/index.ts`.
    assert run({**elsewhere, SIBLING: FILES[SIBLING]}).extracted == 2


def test_another_profile_reads_everything_again(run: Runs) -> None:
    run()
    other = PROFILE.model_copy(update={"graded_apps": {}})
    assert run(profile=other).extracted == len(FILES)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\0" * 50])
def test_damaged_entries_are_made_anew(damage: bytes, run: Runs) -> None:
    run()
    for entry in run.entries():
        entry.write_bytes(damage)
    assert run().extracted == len(FILES)
    assert run().reused == len(FILES)


def test_a_flipped_letter_is_noticed(run: Runs) -> None:
    run()
    for entry in run.entries():
        data = entry.read_bytes()
        entry.write_bytes(data.replace(b"success", b"succest"))
    assert run().extracted == sum(b"success" in entry.read_bytes() for entry in run.entries())


def test_a_damaged_list_of_the_last_files_counts_as_none(run: Runs) -> None:
    run()
    (run.cache_folder / "last-run.json").write_text("{")
    assert run() == Counts(reused=len(FILES), extracted=0, removed=0)


def test_entries_that_nobody_used_go_when_there_are_too_many(run: Runs) -> None:
    run()
    before = set(run.entries())
    run(edited(APP, "helper(1)", "helper(2)"), max_bytes=1)
    after = set(run.entries())
    assert len(after) == len(FILES)
    assert len(before - after) == 1


class Asked:
    """A type checker that knows one member by its place in the text, and what it was asked."""

    def __init__(self) -> None:
        self.files: list[list[str]] = []

    def resolve(
        self, texts: Mapping[str, str], questions: Mapping[str, Sequence[MemberQuestion]]
    ) -> Mapping[str, Mapping[int, tuple[str, str]]]:
        self.files.append(sorted(questions))
        for path, asked in questions.items():
            source = texts[path].encode()
            assert all(source.startswith((b"get", b"set"), q.name_byte) for q in asked)
        return {
            path: {q.name_byte: ("@qi/core", "MemoryCache.get") for q in asked}
            for path, asked in questions.items()
        }


def test_the_type_checker_is_asked_once_and_only_about_what_is_new(run: Runs) -> None:
    unclear = (
        'import { createMemoryCache } from "@qi/core";\n'
        "const caches = [createMemoryCache()].filter(Boolean);\n"
        "export const first = () => caches.map((cache) => cache.get('a'));\n"
    )
    document = f"# B\n\n```ts\n{unclear}```\n"
    files = {**FILES, APP: unclear, DOC: document}
    first = Asked()
    assert run(files, oracle=first).extracted == len(files)
    assert first.files == [[APP, f"{DOC}/block-0.ts"]]
    second = Asked()
    assert run(files, oracle=second).extracted == 0
    assert second.files == []
    third = Asked()
    assert run({**files, APP: f"{unclear}// note\n"}, oracle=third).extracted == 1
    assert third.files == [[APP]]


@pytest.mark.parametrize(
    "use",
    [
        'import made from "./make.js";\nexport const a = () => success(made());\n',
        "export const a = (m: ReturnType<typeof import('./make.js').default>) => success(m);\n",
        "export const a = async () => success((await import('./make.js')).default());\n",
        'import * as make from "./make.js";\nexport const a = () => success(make);\n',
    ],
)
@pytest.mark.parametrize(("changed", "read_again"), [("make", 2), ("deep", 3)])
def test_what_cannot_be_named_is_followed_by_its_text(
    use: str, changed: str, read_again: int, run: Runs
) -> None:
    path = f"app/demo/src/{changed}.ts"
    make = 'import { deep } from "./deep.js";\nexport default () => deep(1);\n'
    files = {
        **FILES,
        APP: f'import {{ success }} from "@qi/base";\n{use}',
        "app/demo/src/make.ts": make,
        "app/demo/src/deep.ts": "export const deep = (n: number) => n;\n",
    }
    run(files)
    assert run(files).extracted == 0
    edited = files[path].replace("1", "'a'").replace("=> n", "=> `${n}`")
    # The changed file itself, and those that lead to it.
    assert run({**files, path: edited}).extracted == read_again
