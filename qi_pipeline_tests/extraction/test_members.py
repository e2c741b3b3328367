# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Which member calls syntax decides, and which it leaves to a type checker."""

import pytest

from qi_pipeline.extraction.members import CallResolver, FileCalls
from qi_pipeline_tests.extraction.planted import APP, exports
from qi_pipeline_tests.extraction.typed_library import TYPED_LIBRARY

IMPORTS = """
import { success, map, match, matchAsync, unwrapOr, type Result } from "@qi/base";
import { Logger, Config, ConfigBuilder, MemoryCache, RedisCache, createLogger, shared } from "@qi/core";
import { createCache, createMemoryCache, type ICache, type LoggerConfig, type Box, type Target } from "@qi/core";
import type * as core from "@qi/core";
import { readFileSync } from "node:fs";
"""


def resolved(
    text: str, files: dict[str, str] | None = None, path: str = APP, imports: str = IMPORTS
) -> FileCalls:
    library = exports({**TYPED_LIBRARY, **(files or {}), path: imports + text})
    return CallResolver(library).resolve(library.modules[path], path)


def members(text: str, files: dict[str, str] | None = None, imports: str = IMPORTS) -> list[str]:
    """Return the instance members that syntax alone finds, in order; nothing may be left open."""
    found = resolved(text, files, imports=imports)
    assert found.questions == ()
    return [call.symbol for call in found.calls if call.form == "instance_member"]


def asked(text: str, files: dict[str, str] | None = None) -> list[str]:
    """Return the names of the members that a type checker is asked about; none may be decided."""
    found = resolved(text, files)
    assert [call for call in found.calls if call.form == "instance_member"] == []
    source = (IMPORTS + text).encode()
    return [source[q.name_byte :].split(b"(")[0].decode() for q in found.questions]


INFO = ["Logger.info"]
DECIDED = [
    # annotations
    ("function f(logger: Logger) { logger.info(''); }", INFO),
    ("function f(logger?: Logger) { logger?.info(''); logger!.info(''); }", INFO * 2),
    ("const f = (logger: Logger | null | undefined) => logger?.info('');", INFO),
    ("const f = (l: Logger) => { (l).info(''); l['info'](''); };", INFO * 2),
    ("declare const logger: Logger; logger.info('');", INFO),
    ("let logger: core.Logger; logger.info('');", INFO),
    ("const f = (logger: Target) => logger.info('');", INFO),
    ("type Own = Logger; const f = (logger: Own) => logger.info('');", INFO),
    ("const f = (config: LoggerConfig) => config.onWrite?.('');", ["LoggerConfig.onWrite"]),
    ("const f = (box: Box<string>) => box.open();", ["Box.open"]),
    ("function f({ logger }: Deps) { logger.info(''); } interface Deps { logger: Logger }", INFO),
    ("interface Deps { logger: Logger } const f = (deps: Deps) => deps.logger.info('');", INFO),
    ("const logger = x as Logger; logger.info('');", INFO),
    # constructors and factories
    ("new Logger({ level: '' }).info('');", INFO),
    ("const logger = new Logger({ level: '' }); logger.info('');", INFO),
    ("let logger = new Logger({ level: '' }); function f() { logger.info(''); }", INFO),
    ("const cache = createMemoryCache(); cache.has('');", ["MemoryCache.has"]),
    ("shared.has('');", ["MemoryCache.has"]),
    ("createMemoryCache().has('');", ["MemoryCache.has"]),
    ("const make = (): Logger => x; make().info('');", INFO),
    ("const make = async (): Promise<Logger> => x; (await make()).info('');", INFO),
    ("const make = async <T>(): Promise<Logger> => x; const l = await make<string>(); l.info('');", INFO),
    ("const logger = unwrapOr(new Logger(c), createLogger(c)); logger.info('');", INFO),
    # chains
    ("ConfigBuilder.fromObject({}).merge(other).build();", ["ConfigBuilder.merge", "ConfigBuilder.build"]),
    ("const b = ConfigBuilder.fromObject({}).set(''); b.set('').build();", ["ConfigBuilder.set"] * 2 + ["ConfigBuilder.build"]),
    ("new Logger(c).child({}).child({}).info('');", ["Logger.child"] * 2 + INFO),
    ("ConfigBuilder.fromObject({}).logger.info('');", INFO),
    # fields
    ("class Service { constructor(private readonly logger: Logger) {} run() { this.logger.info(''); } }", INFO),
    ("class Service { logger: Logger; run() { [1].forEach(() => this.logger.info('')); } }", INFO),
    ("class Service { private cache = createMemoryCache(); run() { this.cache.has(''); } }", ["MemoryCache.has"]),
    ("class Service { #logger: Logger; run() { this.#logger.info(''); } }", INFO),
    ("class Service { get logger(): Logger { return x; } run() { this.logger.info(''); } }", INFO),
    ("class Service { make(): Logger { return x; } run() { this.make().info(''); } }", INFO),
    ("class Service { logger: Logger; } const service = new Service(); service.logger.info('');", INFO),
    ("class Own extends Logger { run() { this.info(''); } }", INFO),
    # callback parameters
    ("match((logger) => logger.info(''), (e) => x, createLogger(c));", INFO),
    ("match(logger => logger.info(''), e => x, createLogger(c));", INFO),
    ("match(function (logger) { logger.info(''); }, (e) => x, createLogger(c));", INFO),
    ("match((v) => x, (e) => x, map((logger) => logger.info(''), createLogger(c)));", INFO),
    ("const r: Result<Logger> = x; match((logger) => logger.info(''), (e) => x, r);", INFO),
    ("matchAsync(async (cache) => cache.has(''), async (e) => x, createCache());", ["ICache.has"]),
    ("const r = await createCache(); match((cache) => cache.has(''), (e) => x, r);", ["ICache.has"]),
    ("match((b) => b.build(), (e) => x, await ConfigBuilder.fromFile(''));", ["ConfigBuilder.build"]),
    ("createMemoryCache().each((logger, key) => logger.info(key));", ["MemoryCache.each", "Logger.info"]),
    ("const f = (p: Promise<Logger>) => p.then((logger) => logger.info(''));", INFO),
    # inheritance: the type that declares the member counts
    ("const f = (cache: ICache) => cache.has('');", ["ICache.has"]),
    ("const f = (cache: RedisCache) => { cache.has(''); cache.close(); };", ["MemoryCache.has", "RedisCache.close"]),
    ("class Own extends MemoryCache {} new Own().has('');", ["MemoryCache.has"]),
    ("interface Own extends ICache {} const f = (own: Own) => own.has('');", ["ICache.has"]),
]  # fmt: skip
NO_MEMBER = [
    "console.info(''); console.error('');",
    "const m = new Map<string, string>(); m.get(''); m.has('');",
    "const s: Set<Logger> = x; s.has(y);",
    "[1, 2].info(''); 'text'.get(0); `x`.has('');",
    "const logger = { info: (m: string) => {} }; logger.info('');",
    "class Own { info(m: string) {} run() { this.info(''); } }",
    "class Own { info(m: string) {} } new Own().info('');",
    "class Own extends Logger { info(m: string) {} run() { this.info(''); } }",
    "interface Own { info(m: string): void } const f = (own: Own) => own.info('');",
    "readFileSync.get(1);",
    "const f = (logger: any) => logger.info('');",
    "const f = (logger: string[]) => logger.get('');",
    "function f(cache: MemoryCache) { cache.clear(); } ",
    "declare const cache: MemoryCache; cache.data.get('');",
    "process.info.get('');",
]
ASKED = [
    ("function f(logger) { logger.info(''); }", ["info"]),
    (
        "const f = (logger: unknown) => { if (logger instanceof Logger) logger.info(''); };",
        ["info"],
    ),
    ("const f = (cache: MemoryCache | RedisCache) => cache.has('');", ["has"]),
    (
        "const f = (cache: ICache) => { if (cache instanceof RedisCache) cache.close(); };",
        ["close"],
    ),
    ("function f<T extends Logger>(logger: T) { logger.info(''); }", ["info"]),
    ("const f = (box: Box<Logger>) => box.content.info('');", ["info"]),
    ("const f = (r: Result<Logger>) => { if (r.tag === 'success') r.value.info(''); };", ["info"]),
    ("const f = (c: Partial<LoggerConfig>) => c.onWrite?.('');", ["onWrite?."]),
    ("const f = (l: ReturnType<typeof make>) => l.info('');", ["info"]),
    ("const deps = { logger: x as Logger }; deps.logger.info('');", ["info"]),
    ("const loggers: Logger[] = x; loggers.forEach((l) => l.info(''));", ["info"]),
    ("const loggers: Logger[] = x; for (const l of loggers) l.info('');", ["info"]),
    ("const loggers: Logger[] = x; loggers[0].info('');", ["info"]),
    ("const make = () => x; make().info('');", ["info"]),
    ("const file = readFileSync(''); file.get(0);", ["get"]),
    ("const l = x ? a : b; l.info('');", ["info"]),
    ("import { logger } from './absent.js'; logger.info('');", ["info"]),
    ("import { logger } from '@qi/cli'; logger.info('');", ["info"]),
    ("try {} catch (logger) { logger.info(''); }", ["info"]),
    ("const f = (cache: ICache<string>) => cache.has('');", ["has"]),
    ("const f = (box: Box) => box.open();", ["open"]),
    (
        "class Own { make(): Logger; make(x: string): Set<string>; make(x?: string): any {} run() { this.make().info(''); } }",
        ["info"],
    ),
    (
        "class Own { logger: Logger; run() { return function () { this.logger.info(''); }; } }",
        ["info"],
    ),
    ("class Own { logger: Logger; static run() { this.logger.info(''); } }", ["info"]),
    ("const own = { logger: x, run() { this.logger.info(''); } };", ["info"]),
    (
        "function f() { interface Logger { info(m: string): void } const g = (l: Logger) => l.info(''); }",
        ["info"],
    ),
    (
        "interface Own extends Partial<LoggerConfig>, ICache {} const f = (own: Own) => own.has('');",
        ["has"],
    ),
    ("class Own extends mixin(Logger) { run() { this.info(''); } }", ["info"]),
    ("class Own extends Logger { run() { super.info(''); } }", ["info"]),
]


@pytest.mark.parametrize(("text", "expected"), DECIDED)
def test_declarations_decide_which_member_is_called(text: str, expected: list[str]) -> None:
    assert members(text) == expected


@pytest.mark.parametrize("text", NO_MEMBER)
def test_what_is_certainly_no_member_is_neither_found_nor_asked(text: str) -> None:
    assert members(text) == []


@pytest.mark.parametrize(("text", "expected"), ASKED)
def test_what_declarations_do_not_say_is_asked_and_never_guessed(
    text: str, expected: list[str]
) -> None:
    assert asked(text) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("function f(logger: Own) { logger.info(''); }", []),
        ("function f() { const logger = new Own(); logger.info(''); }", []),
        ("{ const logger = new Own(); } logger.info('');", INFO),
        ("function f() { logger.info(''); var logger = new Own(); }", []),
        ("function f() { class Logger { info(m: string) {} } new Logger().info(''); }", None),
    ],
)
def test_the_innermost_declaration_decides(scope: str, expected: list[str] | None) -> None:
    text = f"class Own {{ info(m: string) {{}} }} declare const logger: Logger; {scope}"
    if expected is None:
        assert asked(text) == ["info"]
    else:
        assert members(text) == expected


def test_types_are_followed_through_the_files_of_an_app() -> None:
    files = {
        "app/demo/src/logging.ts": 'import { Logger } from "@qi/core";\n'
        "export const logger = new Logger({ level: '' });\n"
        "export const make = (): Logger => logger;\n"
        "export class Service { constructor(public logger: Logger) {} }\n",
        "app/demo/src/barrel.ts": 'export * from "./logging.js";',
    }
    text = (
        'import { logger, make, Service } from "./barrel.js";'
        "logger.info(''); make().info(''); new Service(logger).logger.info('');"
    )
    # Nothing in the file itself names the library.
    assert members(text, files, imports="") == INFO * 3


def test_files_that_nothing_leads_to_the_library_are_left_alone() -> None:
    files = {"app/demo/src/own.ts": "export const cache = make();"}
    text = 'import { cache } from "./own.js"; function f(x) { x.get(""); cache.get(""); }'
    assert resolved(text, files, imports="") == FileCalls((), ())


def test_the_library_calls_its_own_members() -> None:
    found = exports(TYPED_LIBRARY)
    path = "lib/core/src/core.ts"
    calls = CallResolver(found).resolve(found.modules[path], path)
    members_called = [c.symbol for c in calls.calls if c.form == "instance_member"]
    assert members_called == ["Logger.write", "Logger.info", "LoggerConfig.onWrite"]
    assert calls.questions == ()


def test_each_link_of_a_chain_is_asked_by_its_own_name() -> None:
    text = "function f(b) { b.merge(x).build(); }"
    found = resolved(text)
    start = len(IMPORTS) + text.index("b.merge")
    assert [(q.byte, q.name_byte - start) for q in found.questions] == [(start, 2), (start, 11)]


def test_a_chain_is_followed_once_however_long() -> None:
    links = 30
    text = "ConfigBuilder.fromObject({})" + ".set('')" * links + ";"
    assert members(text) == ["ConfigBuilder.set"] * links


def test_names_that_lead_in_circles_end() -> None:
    assert asked("const a = b; const b = a; a.info('');") == ["info"]
    assert asked("const f = () => f(); const a = a.child({}); a.info('');") == ["child", "info"]
    assert asked("type A = B; type B = A; declare const a: A; a.info('');") == ["info"]
    assert members("interface A extends B {} interface B extends A {} declare const a: A;") == []


def test_types_that_extend_each_other_end() -> None:
    assert asked(
        "interface A extends B {} interface B extends A {} declare const a: A; a.info('');"
    ) == ["info"]


def test_code_that_is_no_file_of_the_snapshot_is_resolved_too() -> None:
    library = exports(TYPED_LIBRARY)
    module = exports({**TYPED_LIBRARY, APP: IMPORTS + "new Logger(c).info('');"}).modules[APP]
    found = CallResolver(library).resolve(module, "docs/tutorial/guide.md")
    assert [call.symbol for call in found.calls] == ["Logger.info", "Logger"]
