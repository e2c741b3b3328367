"""Walk the history of a library, from its first commit to the given one.

Flows in: a repository, a commit, a profile, the compiler's folder and a cache. Flows out: an
`Evolution`, the raw series. The series follows the main line (first parents): a merged branch is
one step of it. Statistics and advice belong to `analysis`, files to `write`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evolution.cache import EvolutionCache, conditions
from qi_pipeline.evolution.records import Evolution, Rename, State, TreeUsage, Work
from qi_pipeline.evolution.renames import Renames, find_renames
from qi_pipeline.evolution.survey import Surveyor
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.history import (
    BlobReader,
    HistoryCommit,
    is_shallow,
    main_line,
    read_history,
)
from qi_pipeline.source.tree import tree_hash

Report = Callable[[str], None]


def _silent(_line: str) -> None:
    """Say nothing."""


def evolve(
    repository: Path,
    commit: str,
    profile: Profile,
    toolchain_dir: Path,
    cache_dir: Path,
    report: Report = _silent,
) -> Evolution:
    """Return how the use of the library changed up to `commit` (40 hex digits).

    `repository` is on this machine; `report` is told of progress, a line at a time. Raises
    QiPipelineError when no commit of the main line holds the library, and when the repository or
    the compiler fails.
    """
    cache = EvolutionCache(cache_dir / "evolution", *conditions(profile, toolchain_dir))
    seconds: dict[str, float] = {}
    with _timed(seconds, "history"):
        history = main_line(read_history(repository, commit, profile))
    with (
        BlobReader(repository) as reader,
        Surveyor(reader, profile, toolchain_dir, cache) as surveyor,
    ):
        with _timed(seconds, "survey"):
            usages = _surveyed(history, surveyor, report)
        with _timed(seconds, "renames"):
            renames = [
                _renames(before, after, usages, surveyor, cache)
                for before, after in pairwise(history)
            ]
    cache.prune()
    if not any(usage.exports for usage in usages.values()):
        wanted = ", ".join(glob for package in profile.packages for glob in package.entries)
        raise QiPipelineError(
            f"none of the {len(history)} commits up to {commit[:12]} holds the library "
            f"{profile.name!r} (looked for {wanted}); is this the right repository, revision and "
            "profile?"
        )
    return Evolution(
        states=tuple(
            State(
                commit=item.commit,
                committed_at=item.committed_at,
                subject=item.subject,
                changed=before is None or before.files != item.files,
                usage=usages[tree_hash(item.files)],
                renames=renamed,
            )
            for before, item, renamed in zip(
                [None, *history[:-1]], history, [(), *renames], strict=True
            )
        ),
        shallow=is_shallow(repository),
        work=Work(
            commits=len(history),
            blobs=len({file.blob for item in history for file in item.files}),
            states_surveyed=surveyor.states_surveyed,
            files_read=surveyor.files_read,
            modules_judged=surveyor.modules_judged,
            seconds=seconds,
        ),
    )


def _surveyed(
    history: list[HistoryCommit], surveyor: Surveyor, report: Report
) -> dict[str, TreeUsage]:
    """Return the usage of every distinct state, by tree hash."""
    usages: dict[str, TreeUsage] = {}
    for number, item in enumerate(history, start=1):
        key = tree_hash(item.files)
        if key not in usages:
            surveyed = surveyor.states_surveyed
            usages[key] = surveyor.survey(item.files)
            if surveyor.states_surveyed > surveyed:
                report(f"{number}/{len(history)} {item.commit[:7]} {item.subject}")
    return usages


def _renames(
    before: HistoryCommit,
    after: HistoryCommit,
    usages: dict[str, TreeUsage],
    surveyor: Surveyor,
    cache: EvolutionCache,
) -> tuple[Rename, ...]:
    hashes = tree_hash(before.files), tree_hash(after.files)
    old, new = (usages[found].exports.keys() for found in hashes)
    if not old - new or not new - old:
        return ()
    key = cache.key("renames", *hashes)
    known = cache.get(key, Renames)
    if known is None:
        known = find_renames(surveyor.tree(before.files), surveyor.tree(after.files))
        cache.put(key, known)
    return known.found


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
