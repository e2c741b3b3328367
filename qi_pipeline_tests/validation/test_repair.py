# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Repairs: what is changed in a text, and what is left alone. The diagnostics are the compiler's."""

import pytest

from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.names import LibraryNames
from qi_pipeline.validation.repair import Repair, complete_module, repair_module
from qi_pipeline.validation.workspace import LibraryWorkspace


@pytest.fixture(scope="session")
def names(library: LibraryWorkspace, profile: Profile) -> LibraryNames:
    return LibraryNames(library, profile)


BESIDE = "typescript/lib/base/src/more/more.ts"


def mended(
    checker: Checker,
    names: LibraryNames,
    text: str,
    *,
    is_document: bool = False,
    source_file: str = BESIDE,
) -> Repair | None:
    found = checker.check_module(text)
    assert not found.complies
    return repair_module(text, found, names, is_document=is_document, source_file=source_file)


def completed(checker: Checker, names: LibraryNames, text: str, *siblings: str) -> Repair | None:
    return complete_module(text, checker.check_module(text).diagnostics, names, siblings)


IMPORTS = [
    # a statement of the package is used, in its own quotes and without a semicolon
    ("import { map } from '@qi/base'\nexport const a = map((n: number) => n, success(1))\n",
     "import { map, success } from '@qi/base'\nexport const a = map((n: number) => n, success(1))\n",
     "import added: success from @qi/base"),
    # also when it names the package by another path
    ('import { map } from "@qi/qicore-foundation/base";\nexport const a = map((n: number) => n, success(1));\n',
     'import { map, success } from "@qi/qicore-foundation/base";\nexport const a = map((n: number) => n, success(1));\n',
     "import added: success from @qi/base"),
    # another package gets a statement of its own
    ('import { success } from "@qi/base";\nexport const a = success(configError("x"));\n',
     'import { success } from "@qi/base";\nimport { configError } from "@qi/core";\nexport const a = success(configError("x"));\n',
     "import added: configError from @qi/core"),
    # a value beside types makes each of them a type's import
    ('import type { Result } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     'import { type Result, success } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     "import added: success from @qi/base"),
    ('import { success } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     'import { success, type Result } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     "import added: Result from @qi/base"),
    # flavours
    ('import { Result as R, success } from "@qi/base";\nexport const a: R<number> = success(1);\n',
     'import { type Result as R, success } from "@qi/base";\nexport const a: R<number> = success(1);\n',
     "import made type-only: R"),
    ('import type { success } from "@qi/base";\nexport const a = success(1);\n',
     'import { success } from "@qi/base";\nexport const a = success(1);\n',
     "import made a value's: success"),
    # a class of which only the type is wanted
    ('import { ConfigBuilder } from "@qi/core";\nexport const a = (b: ConfigBuilder) => b.build();\n',
     'import type { ConfigBuilder } from "@qi/core";\nexport const a = (b: ConfigBuilder) => b.build();\n',
     "import made type-only: ConfigBuilder"),
    ("export const a = (b: ConfigBuilder) => b.build();\n",
     'import type { ConfigBuilder } from "@qi/core";\n\nexport const a = (b: ConfigBuilder) => b.build();\n',
     "import added: ConfigBuilder from @qi/core"),
    # the wrong package
    ('import { validationError, configError } from "@qi/core";\nexport const a = [validationError("x"), configError("y")];\n',
     'import { configError } from "@qi/core";\nimport { validationError } from "@qi/base";\nexport const a = [validationError("x"), configError("y")];\n',
     "import moved: validationError from @qi/core to @qi/base"),
    ('import { Result } from "@qi/core";\nimport { success } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     'import { success, type Result } from "@qi/base";\nexport const a: Result<number> = success(1);\n',
     "import moved: Result from @qi/core to @qi/base"),
    # a file that stood beside the extracted one
    ('import { success, isOk } from "../result.js";\nimport type { QiError } from "../error";\nexport const a = (e: QiError) => success(e);\n',
     'import { success, type QiError } from "@qi/base";\nexport const a = (e: QiError) => success(e);\n',
     "import moved: ../result.js to the library's packages"),
    # what is gone and unused
    ('import { isOk, success } from "@qi/base";\nexport const a = success(1);\n',
     'import { success } from "@qi/base";\nexport const a = success(1);\n',
     "unused import removed: isOk from @qi/base"),
    ('import express from "express";\nimport { success } from "@qi/base";\nexport const a = success(1);\n',
     'import { success } from "@qi/base";\nexport const a = success(1);\n',
     "unused import removed: express"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "change"), IMPORTS)
def test_imports_are_mended_and_then_comply(
    checker: Checker, names: LibraryNames, text: str, expected: str, change: str
) -> None:
    repair = mended(checker, names, text)
    assert repair is not None
    assert repair.text.lstrip() == expected
    assert change in repair.changes
    assert repair.doubts == ()
    assert checker.check_module(repair.text).complies


RELATIVE = [
    # a file of an app and of the library's, and a block of a document
    ("typescript/app/shop/src/main.ts", False, "./things", "create", True),
    ("typescript/app/shop/src/main.ts", False, "./error.js", "create", True),
    ("typescript/lib/base/src/more.ts", False, "./error.js", "create", False),
    ("typescript/lib/base/src/more.ts", False, "./index.js", "create", False),
    ("docs/tutorial/a.md", True, "./list-utils", "map", True),
    ("docs/tutorial/a.md", True, "./index", "map", True),
    ("docs/tutorial/a.md", True, "./error", "map", True),
    ("docs/tutorial/a.md", True, "./result", "map", False),
    ("docs/tutorial/a.md", True, "../src/result.js", "map", False),
]  # fmt: skip


@pytest.mark.parametrize(("source_file", "is_document", "specifier", "name", "doubted"), RELATIVE)
def test_what_a_file_beside_exports_is_the_librarys_only_where_the_file_is(
    checker: Checker,
    names: LibraryNames,
    source_file: str,
    is_document: bool,
    specifier: str,
    name: str,
    doubted: bool,
) -> None:
    text = f'import {{ {name} }} from "{specifier}";\nexport const a = {name};\n'
    repair = mended(checker, names, text, is_document=is_document, source_file=source_file)
    assert repair is not None
    assert repair.text == text.replace(specifier, "@qi/base")
    doubt = f"imports {name} from the library in place of {specifier}"
    assert repair.doubts == ((doubt,) if doubted else ())


def test_an_export_that_a_file_beside_names_differently_keeps_its_local_name(
    checker: Checker, names: LibraryNames
) -> None:
    text = 'import { validationError as v, type QiError } from "./error";\nexport const a = (): QiError => v("x");\n'
    repair = mended(checker, names, text, is_document=True)
    assert repair is not None
    assert repair.text == text.replace("./error", "@qi/base")
    assert repair.doubts == ()


UNKNOWN = [
    'import { isOk, success } from "@qi/base";\nexport const a = isOk(success(1));\n',
    'import express from "express";\nexport const a = express();\n',
    'import { helper } from "./helper.js";\nexport const a = helper();\n',
    "export const a: string = 1;\n",
    "export const a = load(1);\n",
]  # fmt: skip


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_the_library_does_not_know_is_left_alone(
    checker: Checker, names: LibraryNames, text: str
) -> None:
    assert mended(checker, names, text) is None


def test_places_count_characters_as_the_compiler_does(
    checker: Checker, names: LibraryNames
) -> None:
    text = '/* 😀é */ import { Result, success } from "@qi/base";\nexport const a: Result<string> = success("😀");\n'
    repair = mended(checker, names, text)
    assert repair is not None
    assert repair.text == text.replace("Result, success", "type Result, success")


def test_notebook_output_is_removed_from_documents_only(
    checker: Checker, names: LibraryNames
) -> None:
    shown = "await Deno.jupyter.display({}, { raw: true })\n"
    text = f'import {{ success }} from "@qi/base"\nconst a = success(1)\n{shown}console.log(a)\n'
    repair = mended(checker, names, text, is_document=True)
    assert repair is not None
    assert "Deno" not in repair.text
    assert "console.log(a)" in repair.text
    assert mended(checker, names, text) is None


def names_with(
    library: LibraryWorkspace, profile: Profile, package: str, *, before: str = "", after: str = ""
) -> LibraryNames:
    """Return the library's names as they are with something more in a package's entry file."""
    entry = library.entries[package]
    original = entry.read_text("utf-8")
    try:
        entry.write_text(f"{before}{original}{after}", encoding="utf-8")
        return LibraryNames(library, profile)
    finally:
        entry.write_text(original, encoding="utf-8")


def test_names_that_the_library_imports_from_elsewhere_are_imported_so(
    library: LibraryWorkspace, profile: Profile, checker: Checker
) -> None:
    foreign = 'import { z as schema } from "zod";\n'
    names = names_with(library, profile, "@qi/base", before=foreign)
    repair = mended(checker, names, "export const a = schema.object({});\n")
    assert repair is not None
    assert repair.text.startswith('import { z as schema } from "zod";\n')


# ── what a document's prose assumes ──────────────────────────────────────────────────────────────


def test_statements_that_wait_give_an_async_function_and_exports_stay_outside(
    checker: Checker, names: LibraryNames
) -> None:
    text = (
        'import { validationError } from "@qi/base";\n\n'
        "// How long to wait.\nexport const pause = 10;\n\n"
        "await Promise.resolve(pause);\nconst text = `a\n  b`; // two lines\nvalidationError(reason);\n"
    )
    repair = completed(checker, names, text)
    assert repair is not None
    assert repair.text == (
        'import { validationError } from "@qi/base";\n\n'
        "// How long to wait.\nexport const pause = 10;\n\n"
        "export async function validationErrorExample(reason: string) {\n"
        "  await Promise.resolve(pause);\n  const text = `a\n  b`; // two lines\n"
        "  validationError(reason);\n}\n"
    )
    assert repair.changes == ("parameter added: reason: string",)
    assert checker.check_module(repair.text).complies


def test_a_type_known_only_by_the_names_convention_is_for_a_person(
    checker: Checker, names: LibraryNames
) -> None:
    repair = completed(checker, names, "console.log(options.code);\n")
    assert repair is not None
    assert "usageExample(options: QiError)" in repair.text
    assert repair.doubts == ("assumes options, taken to be a QiError for its name",)


def test_a_parameter_whose_type_is_a_class_imports_the_type(
    library: LibraryWorkspace, profile: Profile, checker: Checker
) -> None:
    more = "export const built = (builder: ConfigBuilder): ConfigBuilder => builder;\n"
    names = names_with(library, profile, "@qi/core", after=more)
    text = 'import { built } from "@qi/core";\n\nbuilt(given);\n'
    repair = completed(checker, names, text)
    assert repair is not None
    assert repair.text.startswith('import { built, type ConfigBuilder } from "@qi/core";')


ASSUMED = [
    "console.log(reason);\n",  # nothing says its type
    'import { validationError } from "@qi/base";\nexport const a = () => validationError(reason);\n',  # exported code needs it
    'import { map, isSuccess } from "@qi/base";\nisSuccess(left);\nisSuccess(right);\n',  # two functions' type parameters
    "export const a = (u: Reason) => u;\n",  # a type
    # a function of the library's name, declared in the block, and one that is imported from elsewhere
    "const create = (a: unknown, b: unknown) => [a, b];\ncreate(reason, 1);\n",
    'import { validationError } from "other";\nvalidationError(reason);\n',
    'import { validationError } from "@qi/base";\n{ const validationError = (a: unknown) => a; validationError(reason); }\n',
]  # fmt: skip


@pytest.mark.parametrize("text", ASSUMED)
def test_nothing_is_invented(checker: Checker, names: LibraryNames, text: str) -> None:
    assert completed(checker, names, text) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('import { validationError as invalid } from "@qi/base";\n\ninvalid(reason);\n', "export function invalidExample(reason: string)"),
        ('import { validationError } from "@qi/base";\n\nconst map = (a: number) => a;\nmap(1);\nvalidationError(reason);\n', "export function validationErrorExample("),
        ('import { validationError } from "@qi/base";\n\nconst text = "one\\\ntwo";\ntype Lines = `a\nb`;\nvalidationError(reason);\n', '  const text = "one\\\ntwo";\n  type Lines = `a\nb`;\n'),
    ],
    ids=["imported under another name", "not named after the block's own", "literals over several lines"],
)  # fmt: skip
def test_the_function_around_statements(
    checker: Checker, names: LibraryNames, text: str, part: str
) -> None:
    repair = completed(checker, names, text)
    assert repair is not None
    assert part in repair.text


def test_what_a_taken_declaration_needs_stands_above_it(
    checker: Checker, names: LibraryNames
) -> None:
    # All three are missing; in the order of their names the first needs the last.
    sibling = "const third = 3\nconst second = [third]\nconst first = { second, third }\n"
    repair = completed(checker, names, "console.log(first, second, third);\n", sibling)
    assert repair is not None
    assert repair.text == (
        "const third = 3\n\nconst second = [third]\n\nconst first = { second, third }\n\n"
        "console.log(first, second, third);\n"
    )
    assert checker.check_module(repair.text).complies


def test_a_name_that_is_only_a_parameter_takes_nothing(
    checker: Checker, names: LibraryNames
) -> None:
    sibling = "const rate = 2\nconst table = { twice: (rate: number) => rate }\n"
    repair = completed(checker, names, "console.log(table);\n", sibling)
    assert repair is not None
    assert "const rate" not in repair.text


def test_a_value_of_another_block_is_taken_only_where_no_parameter_will_do(
    checker: Checker, names: LibraryNames
) -> None:
    sibling = 'import { success } from "@qi/base";\nconst outcome = success(1)\nconst table = { one: outcome }\n'
    by_parameter = completed(
        checker, names, 'import { isSuccess } from "@qi/base";\nisSuccess(outcome);\n', sibling
    )
    by_value = completed(checker, names, "console.log(table);\n", sibling)
    assert by_parameter is not None
    assert by_parameter.changes == ("parameter added: outcome: Result<T, E>",)
    assert by_parameter.doubts == ()
    assert by_value is not None
    assert by_value.text == (
        'import { success } from "@qi/base";\n\n'
        "const outcome = success(1)\n\nconst table = { one: outcome }\n\nconsole.log(table);\n"
    )
    assert by_value.doubts == (
        "takes the value of outcome from another block",
        "takes the value of table from another block",
    )


def test_the_nearest_block_and_its_last_version_are_taken(
    checker: Checker, names: LibraryNames
) -> None:
    near = "function half(n: number) { throw n }\nfunction half(n: number) { return n / 2 }\n"
    far = "function half(n: number) { return 0 }\n"
    repair = completed(checker, names, "console.log(half(1));\n", near, far)
    assert repair is not None
    assert repair.text.startswith("function half(n: number) { return n / 2 }")
    assert repair.doubts == ()
