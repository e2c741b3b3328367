# ruff: noqa: E501 - TypeScript in tables reads best one case a line
from collections import Counter

import pytest

from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.checker import Checker

pytestmark = pytest.mark.real


def apps_of(snapshot: Snapshot) -> dict[str, str]:
    return {file.path: snapshot.read_text(file) for file in snapshot.files if file.kind == "app"}


def test_applications_that_stand_alone_compile(
    real_checker: Checker, real_snapshot: Snapshot
) -> None:
    apps = apps_of(real_snapshot)
    alone = {
        path: text
        for path, text in apps.items()
        if "from './" not in text and 'from "./' not in text and "@qi/amsg" not in text
    }
    verdicts = real_checker.check_modules(alone)
    assert len(alone) >= 5
    assert {path: v.diagnostics for path, v in verdicts.items() if not v.compiles} == {}
    used = {symbol for verdict in verdicts.values() for symbol in verdict.symbols}
    assert {"@qi/base:match", "@qi/base:success", "@qi/core:createLogger"} <= used


def test_rules_find_result_reads_and_spare_loggers(
    real_checker: Checker, real_snapshot: Snapshot
) -> None:
    verdicts = real_checker.check_modules(apps_of(real_snapshot))
    found = Counter(violation.id for v in verdicts.values() for violation in v.rules)
    assert found["R1"] > 5
    assert found["R2"] > 5
    spared = real_checker.check_module(
        'import { createLogger } from "@qi/core";\nimport { match } from "@qi/base";\n'
        'match((l) => l.error("x"), (e) => console.error(e.message), createLogger({ level: "info" }));\n'
    )
    assert spared.compiles
    assert spared.rules == ()
    assert spared.symbols == ("@qi/base:match", "@qi/core:createLogger")


def test_every_exported_function_is_reported_under_its_name(real_checker: Checker) -> None:
    facts = real_checker._opened()
    assert len(facts.exports["@qi/base"]) == 63
    assert len(facts.exports["@qi/core"]) == 50


UNIT = """\
import { fromAsyncTryCatch, match, flatMapAsync, success, networkError, type QiError, type Result } from "@qi/base";
import { ConfigBuilder, createLogger } from "@qi/core";

export interface User { readonly id: number; readonly name: string }

export const fetchUser = async (id: number): Promise<Result<User, QiError>> =>
  fromAsyncTryCatch(
    async () => (await (await fetch(`https://example.test/users/${id}`)).json()) as User,
    (error) => networkError("cannot fetch the user", { id, error: String(error) }),
  );

export const greet = async (id: number): Promise<Result<string, QiError>> =>
  flatMapAsync(async (user: User) => success(`hello ${user.name}`), await fetchUser(id));

export const run = async (id: number): Promise<void> => {
  const greeting = await greet(id);
  match(
    (logger) => match((text: string) => logger.info(text), (error: QiError) => logger.error(error.message), greeting),
    (error) => console.error(error.message),
    createLogger({ level: "info" }),
  );
  ConfigBuilder.fromObject({ id }).build();
};
"""


def test_six_hundred_modules_comply_in_one_batch(real_checker: Checker) -> None:
    verdicts = real_checker.check_modules({str(n): f"{UNIT}// {n}\n" for n in range(600)})
    assert [v.diagnostics for v in verdicts.values() if not v.complies] == []
