"""A small planted library: three kinds of unit that read unlike each other, over six files."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qi_pipeline.extraction.pattern import Pattern, PatternMetadata, PatternType, UntypedPattern

FILES = ("users", "orders", "weather", "books", "flights", "recipes")

CACHE = """import {{ createMemoryCache }} from "@qi/core";
const cache = createMemoryCache<string>({{ maxSize: 10, defaultTtl: 60 }});
export const remember{name} = (key: string, value: string) => cache.set("{file}:" + key, value);
export const recall{name} = (key: string) => cache.get("{file}:" + key);
"""
LOGGER = """import {{ createLogger, match }} from "@qi/core";
export const log{name} = (message: string): void =>
  match((logger) => logger.info(message, {{ module: "{file}" }}), console.error,
    createLogger({{ level: "debug", name: "{file}", pretty: true }}));
"""
CONFIG = """import {{ ConfigBuilder }} from "@qi/core";
export const load{name}Settings = () =>
  ConfigBuilder.fromEnv("{upper}_").merge(ConfigBuilder.fromObject({{ port: 80, host: "h" }}))
    .validateWith(schema).build();
"""
KINDS: dict[PatternType, tuple[str, str, str]] = {
    "cache_patterns": (CACHE, "Remember {file} in a memory cache.", "@qi/core:createMemoryCache"),
    "logger_integration": (LOGGER, "Log what happens to {file}.", "@qi/core:createLogger"),
    "config_management": (CONFIG, "Read the settings of {file}.", "@qi/core:ConfigBuilder"),
}
ALIEN = (
    "Write a limerick about a gardener.",
    "-- SQL\nSELECT petals FROM tulips WHERE bloom = 'spring' GROUP BY soil HAVING COUNT(*) > 3;",
)


def unit(
    identity: str, instruction: str, implementation: str, file: str, symbols: Sequence[str] = ()
) -> UntypedPattern:
    return UntypedPattern(
        id=identity,
        instruction=instruction,
        implementation=implementation,
        complexity=1,
        category="basic",
        metadata=PatternMetadata(
            source_file=f"src/{file}.ts", line_range=(1, 4), dependencies=(), test_coverage=False
        ),
        symbols=tuple(symbols),
        commit="0" * 40,
        blob="0" * 40,
        container="f",
        source_kind="app",
    )


def planted_unit(kind: PatternType, file: str) -> UntypedPattern:
    code, instruction, symbol = KINDS[kind]
    names = {"file": file, "name": file.capitalize(), "upper": file.upper()}
    return unit(f"{kind}-{file}", instruction.format(**names), code.format(**names), file, [symbol])


def planted_library() -> list[Pattern]:
    """Return 18 typed units: every kind once in every file."""
    return [planted_unit(kind, file).typed(kind) for file in FILES for kind in KINDS]


def arithmetic_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return one unit vector per text that depends on the text alone, without a model."""
    seeds = [sum(ord(letter) * place for place, letter in enumerate(text, 1)) for text in texts]
    rows = np.array([np.random.default_rng(seed).normal(size=16) for seed in seeds])
    rows = rows.reshape(len(texts), 16)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
