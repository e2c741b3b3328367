import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import qi_pipeline
from qi_pipeline.evolution import cache
from qi_pipeline.evolution.cache import DECIDING, EvolutionCache, code_hash, conditions
from qi_pipeline.evolution.records import TreeUsage
from qi_pipeline_tests.evolution.planted import PROFILE, TOOLCHAIN

PACKAGE = Path(qi_pipeline.__file__).parent


def test_every_package_that_takes_part_decides() -> None:
    program = (
        "import sys, qi_pipeline.evolution.evolve\n"
        "print(*{m.split('.')[1] for m in sys.modules if m.startswith('qi_pipeline.')})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    packages = {name for name in done.stdout.split() if (PACKAGE / name).is_dir()}
    assert packages == set(DECIDING)


@pytest.mark.parametrize("module", ["library/profile.py", "source/tree.py", "evolution/usage.py"])
def test_new_code_is_a_new_condition(tmp_path: Path, module: str) -> None:
    for package in DECIDING:
        shutil.copytree(PACKAGE / package, tmp_path / package)
    assert code_hash(tmp_path) == code_hash()
    code_hash.cache_clear()
    with (tmp_path / module).open("a") as stream:
        stream.write("# changed\n")
    assert code_hash(tmp_path) != code_hash()


@pytest.mark.parametrize("parser", ["tree-sitter", "tree-sitter-typescript"])
def test_another_parser_is_another_condition(monkeypatch: pytest.MonkeyPatch, parser: str) -> None:
    before = conditions(PROFILE, TOOLCHAIN)
    monkeypatch.setattr(cache, "version", lambda name: "0" if name == parser else version(name))
    assert conditions(PROFILE, TOOLCHAIN) != before


def test_the_entries_unused_for_longest_go(tmp_path: Path) -> None:
    first = EvolutionCache(tmp_path)
    keys = [first.key(number) for number in range(4)]
    for age, key in enumerate(reversed(keys)):
        first.put(key, TreeUsage(unjudged="x" * 100))
        (path,) = tmp_path.glob(f"??/{key}.json")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    size = path.stat().st_size
    assert EvolutionCache(tmp_path).get(keys[0], TreeUsage) is not None
    # The oldest was used last, so that the three others compete for one place.
    later = EvolutionCache(tmp_path, max_bytes=2 * size)
    later.prune()
    assert [later.get(key, TreeUsage) is not None for key in keys] == [True, False, False, True]


def test_what_a_run_used_stays_however_much_it_is(tmp_path: Path) -> None:
    one = EvolutionCache(tmp_path, max_bytes=0)
    key = one.key("tree")
    one.put(key, TreeUsage())
    one.prune()
    assert one.get(key, TreeUsage) == TreeUsage()
