from qi_pipeline.evolution.records import Rename
from qi_pipeline_tests.evolution.planted import APP, APP_PATH, LIBRARY, RESULT, SOURCE, Planted


def renames(planted: Planted) -> list[tuple[str, str]]:
    return [
        (item.before, item.after) for state in planted.evolve().states for item in state.renames
    ]


def test_a_renamed_symbol_is_one_symbol(planted: Planted) -> None:
    planted.commit({**LIBRARY, APP_PATH: APP})
    for path, text in ((SOURCE, RESULT), (APP_PATH, APP)):
        planted.commit({path: text.replace("map", "transform")})
    first, second, third = planted.steps()
    assert second.state.renames == (
        Rename(before="@qi/base:map", after="@qi/base:transform", similarity=1.0),
    )
    # Under one name from the first commit on; in between the app calls what is gone.
    uses = [step.calls["@qi/base:transform", "app"] for step in (first, second, third)]
    assert uses == [1, 0, 1]
    assert [step.calls["@qi/base:map", "app"] for step in (first, second, third)] == [0, 0, 0]
    assert second.state.usage.files[APP_PATH].unknown == ("@qi/base:map",)
    assert first.exports == second.exports == third.exports


def test_a_symbol_renamed_twice_keeps_one_history(planted: Planted) -> None:
    for name in ("map", "transform", "convert"):
        planted.commit(
            {
                **LIBRARY,
                SOURCE: RESULT.replace("map", name),
                APP_PATH: APP.replace("map", name),
            }
        )
    assert [step.calls["@qi/base:convert", "app"] for step in planted.steps()] == [1, 1, 1]


def test_renames_by_different_commits_all_reach_back_to_the_first(planted: Planted) -> None:
    planted.commit(LIBRARY)
    once = RESULT.replace("map", "transform")
    planted.commit({SOURCE: once})
    planted.commit({SOURCE: once.replace("unwrapOr", "orDefault")})
    first, *_, last = planted.steps()
    assert first.exports == last.exports


def test_small_edits_beside_the_rename_do_not_hide_it(planted: Planted) -> None:
    planted.commit(LIBRARY)
    edited = RESULT.replace("map", "transform").replace("value: T) => U", "value: T) => U /* f */")
    planted.commit(
        {SOURCE: edited.replace("success(fn(result.value))", "success(fn(result.value, 0))")}
    )
    assert renames(planted) == [("@qi/base:map", "@qi/base:transform")]


def test_a_move_to_another_file_is_no_rename(planted: Planted) -> None:
    planted.commit({**LIBRARY, APP_PATH: APP})
    index = 'export * from "./core.js";\n'
    planted.remove(SOURCE)
    planted.commit({"lib/base/src/index.ts": index, "lib/base/src/core.ts": RESULT})
    first, second = planted.steps()
    assert renames(planted) == []
    assert first.uses == second.uses


def test_another_symbol_in_its_place_is_no_rename(planted: Planted) -> None:
    planted.commit(LIBRARY)
    start = RESULT.index("export function map")
    end = RESULT.index("export const unwrapOr")
    # It begins as map does and is nearer to it than to anything that stayed.
    other = """export function each<T, U>(fn: (value: T) => U, values: readonly T[]): U[] {
  return values.map((value) => fn(value)).slice();
}
"""
    planted.commit({SOURCE: RESULT[:start] + other + RESULT[end:]})
    assert renames(planted) == []


def factories(*names: str) -> str:
    return RESULT + "".join(
        f"""
export const {name}Error = (message: string, context: object = {{}}): QiError => {{
  const stack = new Error(message).stack ?? "";
  return {{ code: "{name}", message, context, stack, at: new Date().toISOString() }} as QiError;
}};
"""
        for name in names
    )


def test_a_new_sibling_does_not_continue_the_one_that_left(planted: Planted) -> None:
    planted.commit({**LIBRARY, SOURCE: factories("disk", "queue")})
    # As near to the one that stays as to the one that left: resemblance proves nothing here.
    planted.commit({SOURCE: factories("cache", "queue")})
    assert renames(planted) == []


def test_a_renamed_sibling_is_nearer_to_itself(planted: Planted) -> None:
    planted.commit(LIBRARY)
    planted.commit({SOURCE: RESULT.replace("networkError", "connectionError")})
    assert renames(planted) == [("@qi/base:networkError", "@qi/base:connectionError")]


def test_exports_that_only_come_or_only_go_are_no_renames(planted: Planted) -> None:
    planted.commit(LIBRARY)
    more = RESULT + "export const copy = <T>(fallback: T, result: Result<T>): T => fallback;\n"
    planted.commit({SOURCE: more})
    planted.commit({SOURCE: RESULT})
    assert renames(planted) == []
