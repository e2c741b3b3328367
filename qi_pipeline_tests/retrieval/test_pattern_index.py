"""The pattern index on the real Chroma: incremental, whole or refused, never of two models."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.recognition.embeddings import EMBEDDING_MODEL_ID
from qi_pipeline.retrieval import index
from qi_pipeline.retrieval.index import PatternIndex, build_index
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline_tests.datasets.conftest import build_row

MEANINGS = [
    ("Cache a user record for ten minutes.", "cache_patterns", "intermediate"),
    ("Parse a date and fail with a validation error.", "error_handling", "basic"),
    ("Log each request with a child logger.", "logger_integration", "basic"),
    ("Read the configuration from environment variables.", "config_management", "expert"),
]

# A build in a process of its own, with arithmetic in place of the model and a kill where asked.
BUILD_SCRIPT = """
import os, signal, sys
from qi_pipeline.retrieval import index
from qi_pipeline_tests.datasets.conftest import build_row
from qi_pipeline_tests.retrieval.test_pattern_index import arithmetic_vectors

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

index.embed_texts = arithmetic_vectors
folder, first, last, killed_in = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if killed_in:
    setattr(index, killed_in, die)
index.build_index([build_row(number) for number in range(first, last)], folder)
"""


def arithmetic_vectors(texts: list[str], **_: object) -> NDArray[np.float32]:
    """Return one vector per text that depends on the text alone, without a model."""
    seeds = [sum(map(ord, text)) for text in texts]
    rows = [np.random.default_rng(seed).normal(size=384) for seed in seeds]
    return np.array(rows, dtype=np.float32).reshape(len(texts), 384)


def build_elsewhere(folder: Path, first: int, last: int, killed_in: str = "") -> int:
    command = [sys.executable, "-c", BUILD_SCRIPT, str(folder), str(first), str(last), killed_in]
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture
def without_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "embed_texts", arithmetic_vectors)


def meaningful_rows() -> list[ValidatedPattern]:
    return [
        build_row(number, instruction=instruction, type=kind, category=category)
        for number, (instruction, kind, category) in enumerate(MEANINGS)
    ]


def test_search_finds_by_meaning_and_returns_the_pattern_whole(tmp_path: Path) -> None:
    rows = meaningful_rows()
    build_index(rows, tmp_path / "chroma")
    hits = PatternIndex(tmp_path / "chroma").search("keep fetched users in memory", k=2)
    assert len(hits) == 2
    best = rows[0].pattern
    assert hits[0].id == best.id
    assert hits[0].code == best.implementation
    assert hits[0].instruction == best.instruction
    assert (hits[0].type, hits[0].category) == ("cache_patterns", "intermediate")
    assert hits[0].source_file == best.metadata.source_file
    assert 1 >= hits[0].score > hits[1].score


def test_a_document_is_most_similar_to_itself_with_score_one(tmp_path: Path) -> None:
    row = build_row(3, implementation="export const a = 1;")
    build_index([row, build_row(4)], tmp_path)
    query = f"{row.pattern.instruction}\n\n{row.pattern.implementation}"
    hit = PatternIndex(tmp_path).search(query, k=1)[0]
    assert hit.id == row.pattern.id
    assert hit.score == pytest.approx(1, abs=1e-4)


def test_restrictions_select_by_category_and_type(tmp_path: Path) -> None:
    build_index(meaningful_rows(), tmp_path)
    patterns = PatternIndex(tmp_path)
    assert {hit.category for hit in patterns.search("anything", 9, category="basic")} == {"basic"}
    assert len(patterns.search("anything", 9, category="basic")) == 2
    hits = patterns.search("anything", 9, category="basic", pattern_type="error_handling")
    assert [hit.type for hit in hits] == ["error_handling"]
    assert patterns.search("anything", 9, category="expert", pattern_type="error_handling") == []
    assert len(patterns.search("anything", k=100)) == len(MEANINGS)


@pytest.mark.usefixtures("without_model")
def test_a_second_build_writes_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []

    def recording(texts: list[str], **_: object) -> NDArray[np.float32]:
        embedded.extend(texts)
        return arithmetic_vectors(texts)

    monkeypatch.setattr(index, "embed_texts", recording)
    first = build_index([build_row(number) for number in range(5)], tmp_path)
    assert (first.count, first.added, first.updated, first.removed) == (5, 5, 0, 0)
    embedded.clear()
    changed = [build_row(1), build_row(2, instruction="Another one."), build_row(3), build_row(9)]
    second = build_index(changed, tmp_path)
    assert (second.count, second.added, second.updated, second.removed) == (4, 1, 1, 2)
    assert len(embedded) == 2
    assert second.data_version != first.data_version
    third = build_index(changed, tmp_path)
    assert (third.added, third.updated, third.removed) == (0, 0, 0)
    assert len(embedded) == 2
    assert third.data_version == second.data_version == PatternIndex(tmp_path).data_version()


@pytest.mark.usefixtures("without_model")
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, unique=True), min_size=1, max_size=3),
    st.integers(0, 1),
)
def test_the_index_depends_on_the_last_rows_alone(
    tmp_path_factory: pytest.TempPathFactory, builds: list[list[int]], wording: int
) -> None:
    def rows(numbers: list[int]) -> list[ValidatedPattern]:
        return [build_row(number, instruction=f"Do {number} {wording}") for number in numbers]

    grown, fresh = tmp_path_factory.mktemp("grown"), tmp_path_factory.mktemp("fresh")
    for numbers in builds:
        last = build_index(rows(numbers), grown)
    expected = build_index(rows(sorted(builds[-1])), fresh)
    assert (last.count, last.data_version) == (expected.count, expected.data_version)
    found = [{hit.id for hit in PatternIndex(folder).search("x", 20)} for folder in (grown, fresh)]
    assert found[0] == found[1] == {f"{number:016x}" for number in builds[-1]}


@pytest.mark.usefixtures("without_model")
def test_rejected_rows_are_not_indexed_and_none_kept_is_refused(tmp_path: Path) -> None:
    rejected = build_row(1, status="rejected", reasons=("R2",))
    assert build_index([build_row(0), rejected], tmp_path).count == 1
    with pytest.raises(QiPipelineError, match="no kept pattern to index; the index stays"):
        build_index([rejected], tmp_path)
    assert PatternIndex(tmp_path).count() == 1


@pytest.mark.usefixtures("without_model")
def test_a_missing_index_names_the_command_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"no pattern index at .*`qi index`"):
        PatternIndex(tmp_path / "none").search("x")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": " \n"}, "query is blank"),
        ({"query": "x", "k": 0}, "k is 0"),
        ({"query": "x", "category": "easy"}, "unknown category 'easy'; known: basic"),
        ({"query": "x", "pattern_type": "hooks"}, "unknown pattern type 'hooks'; known: result"),
    ],
)
def test_senseless_searches_are_refused(
    arguments: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(QiPipelineError, match=message):
        PatternIndex(tmp_path).search(**arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("without_model")
def test_vectors_of_two_models_are_never_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index([build_row(0)], tmp_path)
    monkeypatch.setattr(index, "EMBEDDING_MODEL_ID", "other-model@1")
    message = rf"{EMBEDDING_MODEL_ID}.*other-model@1.*delete the collection.*qi index"
    with pytest.raises(QiPipelineError, match=message):
        build_index([build_row(0), build_row(1)], tmp_path)
    with pytest.raises(QiPipelineError, match=message):
        PatternIndex(tmp_path).search("x")
    monkeypatch.undo()
    assert PatternIndex(tmp_path).count() == 1


@pytest.mark.usefixtures("without_model")
@pytest.mark.parametrize("killed_in", ["_refuse_other_model", "_write", "_check_written"])
def test_a_killed_build_is_seen_and_the_next_build_mends_it(killed_in: str, tmp_path: Path) -> None:
    before = build_index([build_row(number) for number in range(4)], tmp_path)
    assert build_elsewhere(tmp_path, 2, 8, killed_in) == -signal.SIGKILL
    if killed_in == "_check_written":
        with pytest.raises(QiPipelineError, match=r"unfinished: .* killed; wait, or run"):
            PatternIndex(tmp_path).search("x")
    else:
        assert PatternIndex(tmp_path).data_version() == before.data_version
        assert len(PatternIndex(tmp_path).search("x", 20)) == 4
    mended = build_index([build_row(number) for number in range(2, 8)], tmp_path)
    assert mended.count == 6
    assert {hit.id for hit in PatternIndex(tmp_path).search("x", 20)} == {
        f"{number:016x}" for number in range(2, 8)
    }


@pytest.mark.usefixtures("without_model")
def test_the_first_build_killed_leaves_an_index_that_says_so(tmp_path: Path) -> None:
    assert build_elsewhere(tmp_path, 0, 3, "_write") == -signal.SIGKILL
    with pytest.raises(QiPipelineError, match="unfinished"):
        PatternIndex(tmp_path).search("x")
    assert build_index([build_row(0)], tmp_path).count == 1


@pytest.mark.usefixtures("without_model")
def test_a_search_sees_what_another_process_built_meanwhile(tmp_path: Path) -> None:
    build_index([build_row(number) for number in range(4)], tmp_path)
    patterns = PatternIndex(tmp_path)
    assert len(patterns.search("x", 20)) == 4
    assert build_elsewhere(tmp_path, 3, 9) == 0
    assert {hit.id for hit in patterns.search("x", 20)} == {f"{n:016x}" for n in range(3, 9)}


@pytest.mark.usefixtures("without_model")
def test_threads_search_while_another_rebuilds_and_never_see_a_mixture(tmp_path: Path) -> None:
    halves = [range(20), range(20, 30)]
    whole = [{f"{number:016x}" for number in half} for half in halves]
    build_index([build_row(number) for number in halves[0]], tmp_path)
    seen: list[set[str]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        try:
            while not stop.is_set():
                seen.append({hit.id for hit in PatternIndex(tmp_path).search("x", 50)})
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(4):
        build_index([build_row(number) for number in halves[(turn + 1) % 2]], tmp_path)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert seen
    assert all(ids in whole for ids in seen)


REBUILD_SCRIPT = """
import sys
from qi_pipeline.retrieval import index
from qi_pipeline_tests.datasets.conftest import build_row
from qi_pipeline_tests.retrieval.test_pattern_index import arithmetic_vectors

index.embed_texts = arithmetic_vectors
for turn in range(6):
    numbers = range(20, 30) if turn % 2 else range(20)
    index.build_index([build_row(number) for number in numbers], sys.argv[1])
"""


@pytest.mark.usefixtures("without_model")
def test_a_search_during_another_process_s_build_is_whole_or_refused(tmp_path: Path) -> None:
    whole = [{f"{number:016x}" for number in half} for half in (range(20), range(20, 30))]
    build_index([build_row(number) for number in range(20)], tmp_path)
    builder = subprocess.Popen([sys.executable, "-c", REBUILD_SCRIPT, str(tmp_path)])
    answers = 0
    while builder.poll() is None:
        try:
            found = {hit.id for hit in PatternIndex(tmp_path).search("x", 50)}
        except QiPipelineError as error:
            assert "unfinished" in str(error) or "rebuilt" in str(error)  # noqa: PT017
        else:
            answers += 1
            assert found in whole
    assert builder.returncode == 0
    assert answers


@pytest.mark.usefixtures("without_model")
def test_rows_that_another_process_slips_in_stop_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = index._check_written

    def intruded(collection: Any, wanted: dict[str, index._Row]) -> None:
        collection.upsert(ids=["z"], embeddings=arithmetic_vectors(["z"]), documents=["z"])
        genuine(collection, wanted)

    monkeypatch.setattr(index, "_check_written", intruded)
    with pytest.raises(QiPipelineError, match="another process wrote"):
        build_index([build_row(0)], tmp_path)
    monkeypatch.setattr(index, "_check_written", genuine)
    assert build_index([build_row(0)], tmp_path).removed == 1


def test_importing_the_module_loads_no_heavy_library() -> None:
    code = (
        "import sys, qi_pipeline.retrieval.index\n"
        "print([name for name in ('torch', 'chromadb', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = shutil.which("chroma", path=Path(sys.executable).parent)
    assert program is not None
    process = subprocess.Popen(
        [program, "run", "--path", str(tmp_path / "server"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the Chroma server did not start")


@pytest.mark.usefixtures("without_model")
def test_a_server_holds_the_same_index_as_a_folder(server: str, tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="no pattern index at http"):
        PatternIndex(server).search("x")
    rows = [build_row(number) for number in range(6)]
    remote, local = build_index(rows, server), build_index(rows, tmp_path / "folder")
    assert remote == local
    assert build_index(rows[1:], server).removed == 1
    assert len(PatternIndex(server).search("x", 20)) == 5


@pytest.mark.usefixtures("without_model")
def test_a_server_that_does_not_answer_is_named_with_the_mend() -> None:
    with pytest.raises(QiPipelineError, match=r"http://127\.0\.0\.1:9: .*QI_CHROMA_URL"):
        PatternIndex("http://127.0.0.1:9").search("x")
