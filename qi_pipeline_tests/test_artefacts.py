"""Artefacts appear whole or not at all: under SIGKILL, a full disk and concurrent writers."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_pipeline import artefacts
from qi_pipeline.artefacts import (
    build_directory,
    content_hash,
    directory_hash,
    file_hash,
    read_jsonl,
    sweep_abandoned,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
)
from qi_pipeline.errors import QiPipelineError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)

# Replaces a file and builds a directory for ever, both of which show whether they are whole.
ENDLESS_WRITER = """
import sys
from pathlib import Path
from qi_pipeline.artefacts import build_directory, write_text

folder = Path(sys.argv[1])

def build(temporary):
    for number in range(20):
        (temporary / f"{number}.txt").write_text("x" * 5000)

turn = 0
while True:
    turn += 1
    write_text(folder / "file.txt", str(turn % 10) * 500_000)
    build_directory(folder / f"built{turn}", build)
    print(turn, flush=True)
"""

FULL_DISK_WRITER = """
import resource, signal, sys
from pathlib import Path
from qi_pipeline.artefacts import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_bytes(Path(sys.argv[1]), b"x" * 5000)
"""


def temporaries(folder: Path) -> list[Path]:
    return list(folder.glob(".*.partial-*"))


def shuffled_keys(value: Any, generator: random.Random) -> Any:
    """Return `value` with the keys of every dictionary in another order."""
    if isinstance(value, dict):
        names = list(value)
        generator.shuffle(names)
        return {name: shuffled_keys(value[name], generator) for name in names}
    if isinstance(value, list):
        return [shuffled_keys(item, generator) for item in value]
    return value


@settings(deadline=None)
@given(json_values, st.randoms(use_true_random=False))
def test_the_content_hash_ignores_the_order_of_keys(value: Any, generator: random.Random) -> None:
    assert content_hash(shuffled_keys(value, generator)) == content_hash(value)


@settings(deadline=None)
@given(json_values, json_values)
def test_hashes_are_equal_just_when_the_json_is(left: Any, right: Any) -> None:
    texts = {json.dumps(value, sort_keys=True) for value in (left, right)}
    assert len({content_hash(left), content_hash(right)}) == len(texts)


def test_the_content_hash_is_the_same_in_every_process_and_release() -> None:
    # Data versions in stored histories rely on this exact value.
    assert content_hash({"b": [1, None, "é"], "a": True}) == (
        "eaa728c5bbdde78b94c0dd181a4e2c4dfced6609a4ac9ba8bd019c9e5e5366a1"
    )


def test_a_directory_hash_covers_names_and_bytes_and_not_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.txt").write_text("a")
    original = directory_hash(tmp_path / "one")
    assert directory_hash(tmp_path / "two") == original
    (tmp_path / "two" / "sub" / "a.txt").write_text("b")
    assert directory_hash(tmp_path / "two") != original
    (tmp_path / "one" / "sub" / "a.txt").rename(tmp_path / "one" / "sub" / "b.txt")
    assert directory_hash(tmp_path / "one") != original


def test_a_file_hash_is_the_sha256_that_other_tools_print(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_hash(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223")


@settings(deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=3))
)
def test_json_lines_round_trip_with_any_line_separator_inside(
    rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert read_jsonl(write_jsonl(path, rows)) == rows


@pytest.mark.parametrize(("line", "problem"), [("{", "is not JSON"), ("[1]", "holds list")])
def test_a_bad_line_is_named_by_file_and_number(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"a": 1}}\n\n{line}\n')
    with pytest.raises(QiPipelineError, match=f"rows.jsonl:3 {problem}"):
        read_jsonl(path)


def test_files_are_replaced_whole_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    assert write_json(path, {"b": 1, "a": "é"}) == path
    assert path.read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    write_text(path, "other")
    assert path.read_text() == "other"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("moment", range(6))
def test_a_killed_writer_leaves_nothing_half_written(moment: int, tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "0" * 500_000)
    writer = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_WRITER, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(0.02 + 0.007 * moment)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    text = (tmp_path / "file.txt").read_text()
    assert len(text) == 500_000
    assert len(set(text)) == 1
    for built in tmp_path.glob("built*"):
        assert [path.stat().st_size for path in built.iterdir()] == [5000] * 20
    sweep_abandoned(tmp_path)
    assert not temporaries(tmp_path)


def test_what_a_killed_writer_left_is_swept_by_the_next_process(tmp_path: Path) -> None:
    died = (
        "import os, signal, sys; from pathlib import Path; from qi_pipeline import artefacts\n"
        "def die(folder):\n"
        "    (folder / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "artefacts.build_directory(Path(sys.argv[1]) / 'built', die)\n"
    )
    done = subprocess.run([sys.executable, "-c", died, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(temporaries(tmp_path)) == 1
    write_text(tmp_path / "file.txt", "x")
    assert not temporaries(tmp_path)
    assert not (tmp_path / "built").exists()


def abandoned_name(space: str, pid: int, process: str = "0" * 8) -> str:
    return f".file.partial-{space}-{pid}-{process}-00000000"


def test_a_living_writer_s_temporary_is_left_alone(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        assert sweep_abandoned(tmp_path) == 0
        (folder / "a").write_text("a")

    (tmp_path / abandoned_name(artefacts._process_space(), os.getppid())).write_text("x")
    build_directory(tmp_path / "built", build)
    assert (tmp_path / "built" / "a").is_file()
    assert len(temporaries(tmp_path)) == 1


def test_an_earlier_process_with_our_id_is_recognised_as_gone(tmp_path: Path) -> None:
    # In a container every main process has the id 1.
    (tmp_path / abandoned_name(artefacts._process_space(), os.getpid())).mkdir()
    assert sweep_abandoned(tmp_path) == 1


def test_another_machine_s_temporary_is_kept_for_a_day(tmp_path: Path) -> None:
    # On a shared volume the id of a living writer elsewhere means nothing here.
    path = tmp_path / abandoned_name("ffffffff", 2**22 + 1)
    path.write_text("x")
    assert sweep_abandoned(tmp_path) == 0
    yesterday = time.time() - 25 * 3600
    os.utime(path, (yesterday, yesterday))
    assert sweep_abandoned(tmp_path) == 1


def test_files_that_only_look_like_temporaries_are_left_alone(tmp_path: Path) -> None:
    for name in (".notes.partial-draft", ".a.partial-1-2-3", ".b.partial-", "x.partial-1-2-3-4"):
        (tmp_path / name).write_text("mine")
    assert sweep_abandoned(tmp_path) == 0


def test_many_sweepers_at_once_do_not_trip_over_each_other(tmp_path: Path) -> None:
    space = artefacts._process_space()
    for number in range(200):
        folder = tmp_path / f".f{number}.partial-{space}-{os.getpid()}-{'0' * 8}-0"
        folder.mkdir()
        (folder / "inner").write_text("x")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sweep_abandoned, [tmp_path] * 8))
    assert not temporaries(tmp_path)


def test_the_folder_is_searched_for_temporaries_once_in_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Path] = []
    monkeypatch.setattr(artefacts, "sweep_abandoned", swept.append)
    for number in range(5):
        write_text(tmp_path / f"{number}.txt", "x")
    assert swept == [tmp_path]


def test_an_existing_directory_is_returned_untouched(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "a").write_text("first")

    def never(_: Path) -> None:
        raise AssertionError("built again")

    assert build_directory(tmp_path / "built", never) == tmp_path / "built"
    assert (tmp_path / "built" / "a").read_text() == "first"


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failed_build_leaves_nothing_and_its_error_comes_through(
    error: BaseException, tmp_path: Path
) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        build_directory(tmp_path / "built", fail)
    assert list(tmp_path.iterdir()) == []


def _build_once(destination: Path) -> str:
    def build(folder: Path) -> None:
        for number in range(30):
            (folder / str(number)).write_text("same")

    build_directory(destination, build)
    return directory_hash(destination)


def test_concurrent_builders_all_get_the_one_whole_directory(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        hashes = list(pool.map(_build_once, [tmp_path / "built"] * 12))
    assert len(set(hashes)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["built"]


def test_a_builder_that_finishes_second_accepts_the_first_one_s_copy(tmp_path: Path) -> None:
    def overtaken(folder: Path) -> None:
        (folder / "a").write_text("second")
        (tmp_path / "built").mkdir()
        (tmp_path / "built" / "a").write_text("first")

    assert (build_directory(tmp_path / "built", overtaken) / "a").read_text() == "first"
    assert not temporaries(tmp_path)


def _writers(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "write_bytes": lambda: write_bytes(path, b"new"),
        "build_directory": lambda: build_directory(
            path.with_name("built"), lambda folder: void((folder / "a").write_bytes(b"new"))
        ),
    }


def void(_: object) -> None:
    """Drop a value where a callback must return none."""


@pytest.mark.parametrize("writer", ["write_bytes", "build_directory"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_artefact_and_keeps_what_was_there(
    writer: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "file.txt", "old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(data[:1])
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(QiPipelineError, match=r"no space left while writing .*QI_DATA_DIR"):
        _writers(path)[writer]()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_the_kernel_s_own_full_device_error_is_recognised() -> None:
    with (
        pytest.raises(QiPipelineError, match="no space left while writing"),
        artefacts.disk_space_errors_named(Path("artefact")),
        Path("/dev/full").open("wb", buffering=0) as stream,
    ):
        stream.write(b"x")


def test_a_write_cut_short_by_the_kernel_keeps_the_old_file(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "file", b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK_WRITER, str(path)], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"File too large" in done.stderr
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_other_errors_of_the_disk_come_through_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "file" / "below", "x")
