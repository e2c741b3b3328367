import pytest

from qi_pipeline.evolution.surface import Surfaces, relative_specifiers, surface_hash
from qi_pipeline.extraction.syntax import parse_module

TEXT = """
import { a } from './a.js'
export function f(x: number): string { return `${x}` }
export const g = (x: number): string => f(x)
export const h = (x: number) => f(x)
export class Box { get(): number { return 1 } private size = 1 }
export interface Pair { left: number; right: number }
"""


def changed(before: str, after: str) -> bool:
    assert before in TEXT
    return surface_hash(parse_module(TEXT)) != surface_hash(
        parse_module(TEXT.replace(before, after))
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{ return `${x}` }", "{ const y = x; return String(y) }"),
        ("string => f(x)", "string => f(x + 1)"),
        ("{ return 1 }", "{ return 2 }"),
        ("\nexport class", "\n// a comment\n\nexport   class"),
        ("'./a.js'\n", '"./a.js";\n'),
        ("right: number }", "right: number; }"),
        ("f(x: number)", "f(x: number,)"),
    ],
)
def test_what_others_cannot_see_changes_nothing(before: str, after: str) -> None:
    assert not changed(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(x: number): string", "f(x: number | null): string"),
        ("number): string => f", "number): unknown => f"),
        # Without a written return type the body decides the type.
        ("(x: number) => f(x)", "(x: number) => [f(x)]"),
        ("private size = 1", "private size = 'one'"),
        ("left: number", "left: string"),
        ("export interface", "interface"),
        ("'./a.js'", "'./b.js'"),
    ],
)
def test_what_others_see_changes_the_surface(before: str, after: str) -> None:
    assert changed(before, after)


def test_relative_imports_of_every_form_are_found() -> None:
    text = """
import "./effect.js";
import { a } from "./a.js";
export * from "../b.js";
const late = import("./late.js");
import { z } from "zod";
"""
    assert relative_specifiers(parse_module(text)) == (
        "../b.js",
        "./a.js",
        "./effect.js",
        "./late.js",
    )


def surfaces(prefix: str, hashes: dict[str, str]) -> Surfaces:
    return Surfaces(
        {f"{prefix}/{name}": value for name, value in hashes.items()},
        {
            f"{prefix}/index.ts": ("./a.js",),
            f"{prefix}/a.ts": ("./b.js", "./index.js"),
            f"{prefix}/b.ts": (),
            f"{prefix}/other.ts": ("./b.js", "./missing.js"),
        },
        {"@qi/base": f"{prefix}/index.ts"},
    )


HASHES = {"index.ts": "1", "a.ts": "2", "b.ts": "3", "other.ts": "4"}


def test_the_library_is_what_its_entry_is_built_on_wherever_it_lies() -> None:
    library = surfaces("src", HASHES).library
    assert surfaces("lib/base/src", HASHES).library == library
    assert surfaces("src", {**HASHES, "other.ts": "5"}).library == library
    assert surfaces("src", {**HASHES, "b.ts": "5"}).library != library


def test_a_file_is_built_on_its_imports_and_theirs_even_in_a_circle() -> None:
    found = surfaces("src", HASHES)
    assert found.below("src/index.ts") == ["src/a.ts", "src/b.ts"]
    assert found.of_imports("src/other.ts") == [["src/b.ts", "3"]]
