"""What a history teaches about mending: `python -m benchmarks.fixes SOURCE [--revision REVISION]`.

Mines violation → fix pairs with an empty cache and again with a full one. Prints pairs per commit
and per rule, what could not be verified, and both times. npm packages are fetched during the first
run, so its time depends on the network.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from qi_pipeline.datasets.fix_mining import Mined, Miner
from qi_pipeline.library.profile import load_profile
from qi_pipeline.settings import Settings
from qi_pipeline.source.location import Location, locate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--revision", default="HEAD")
    options = parser.parse_args()
    profile, settings = load_profile(), Settings()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch)
        location = locate(options.source, options.revision, cache / "mirrors")
        miner = Miner(
            profile, settings.toolchain_dir, cache, lambda line: print(line, file=sys.stderr)
        )
        mined, first = _timed(miner, location)
        mined, second = _timed(miner, location)
    print(f"machine     {platform.machine()}, Python {platform.python_version()}")
    print(f"history     {options.source} at {location.commit[:12]}")
    print(f"pairs       {len(mined.pairs)}")
    for commit, count in Counter(pair.commit[:7] for pair in mined.pairs).most_common():
        print(f"  {commit}   {count:3d}")
    rules = Counter(rule for pair in mined.pairs for rule in pair.rules)
    print("rules       " + ", ".join(f"{rule} {count}" for rule, count in rules.most_common()))
    for line in mined.unverified:
        print(f"unverified  {line}")
    print(f"seconds     {first:.1f} with an empty cache, {second:.1f} with a full one")


def _timed(miner: Miner, location: Location) -> tuple[Mined, float]:
    started = time.perf_counter()
    mined = miner.mine(location)
    return mined, time.perf_counter() - started


if __name__ == "__main__":
    main()
