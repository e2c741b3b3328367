"""From the sample library's git history to an evaluated model, with the commands a person types."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from qi_pipeline.settings import ARMS
from qi_pipeline_tests.e2e.conftest import TASKS, Terminal, terminal_in

pytestmark = pytest.mark.slow

Run = subprocess.CompletedProcess[str]


def handle(terminal: Terminal, asset: str) -> dict[str, object]:
    loaded = json.loads((terminal.data / "assets" / f"{asset}.json").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def folder_of(terminal: Terminal, asset: str) -> Path:
    return Path(str(handle(terminal, asset)["directory"]))


def test_a_whole_run_ends_with_what_a_person_wants_to_know(
    whole_run: Run, terminal: Terminal
) -> None:
    assert whole_run.returncode == 0, whole_run.stdout + whole_run.stderr
    out = whole_run.stdout
    for heading in ("Learned from", "Patterns", "Scores", "Release", "Report", "GGUF", "Next"):
        assert heading in out
    assert str(handle(terminal, "repo_snapshot")["commit"])[:12] in out


def test_every_artefact_is_real(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    datasets = folder_of(terminal, "training_datasets")
    for name in ("qi-patterns.jsonl", "qi-patterns-alpaca.json", "qi-conversations.json"):
        assert (datasets / name).stat().st_size > 10_000
    model = folder_of(terminal, "gguf_model")
    assert (model / "qi-expert.gguf").read_bytes()[:4] == b"GGUF"
    assert "FROM ./qi-expert.gguf" in (model / "Modelfile").read_text("utf-8")
    report = json.loads((folder_of(terminal, "evaluation_report") / "report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == list(ARMS)
    assert all(len(arm["results"]) == TASKS for arm in report["arms"])


def test_nothing_half_written_is_left(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    assert not list(terminal.data.rglob(".*.partial-*"))


def test_the_run_is_in_the_instance_that_the_ui_shows(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    with dg.DagsterInstance.from_config(terminal.environment["DAGSTER_HOME"]) as instance:
        assert instance.get_runs_count() >= 1
        event = instance.get_latest_materialization_event(dg.AssetKey("training_datasets"))
        assert event is not None
        assert event.asset_materialization is not None
        tags = event.asset_materialization.tags or {}
        assert tags["dagster/data_version"] == handle(terminal, "training_datasets")["data_version"]


def test_a_second_run_does_nothing_and_says_so(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    before = {path: path.stat().st_mtime_ns for path in (terminal.data / "models").rglob("*")}
    again = terminal.qi("run")
    assert again.returncode == 0, again.stderr
    assert "Nothing to do" in again.stdout
    after = {path: path.stat().st_mtime_ns for path in (terminal.data / "models").rglob("*")}
    assert after == before


def test_the_index_answers_in_the_terminal(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    found = terminal.qi("search", "handle a missing value", "-k", "3", "--json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)) == 3
    basic = terminal.qi("search", "map a result", "-k", "2", "--category", "basic", "--json")
    assert {hit["category"] for hit in json.loads(basic.stdout)} == {"basic"}


def test_the_history_and_the_review_queue_answer_in_the_terminal(
    whole_run: Run, terminal: Terminal
) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    evolution = terminal.qi("evolution", "--top", "3")
    assert evolution.returncode == 0, evolution.stderr
    assert "Most used" in evolution.stdout
    assert str(folder_of(terminal, "pattern_evolution")) in evolution.stdout
    queue = terminal.qi("review", "list", "--json")
    assert queue.returncode == 0, queue.stderr
    for row in json.loads(queue.stdout):
        assert terminal.qi("review", "show", row["id"]).returncode == 0
    unknown = terminal.qi("review", "accept", "0000")
    assert unknown.returncode == 2
    assert "0000" in unknown.stderr


def test_check_gives_any_file_its_verdict(
    whole_run: Run, terminal: Terminal, tmp_path: Path
) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    good, bad = tmp_path / "good.ts", tmp_path / "bad.ts"
    good.write_text('import { success } from "@qi/base";\nexport const one = success(1);\n')
    bad.write_text(
        'import { success } from "@qi/base";\n'
        "const r = success(1);\n"
        'export const one = r.tag === "success" ? r.value : nothing;\n'
    )
    assert terminal.qi("check", str(good)).returncode == 0
    checked = terminal.qi("check", str(good), str(bad), "--source", "sample", "--json")
    assert checked.returncode == 1
    verdicts = json.loads(checked.stdout)
    assert verdicts[0]["compiles"]
    assert verdicts[0]["rules"] == []
    assert verdicts[0]["symbols"] == ["@qi/base:success"]
    assert not verdicts[1]["compiles"]
    assert {rule["id"] for rule in verdicts[1]["rules"]} == {"R1", "R2"}
    assert {rule["line"] for rule in verdicts[1]["rules"]} == {3}


def test_single_stages_reuse_what_the_run_made(whole_run: Run, terminal: Terminal) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    adapter = handle(terminal, "lora_adapter")["directory"]
    model = handle(terminal, "gguf_model")["directory"]
    for command, directory in (
        ("patterns", handle(terminal, "patterns")["directory"]),
        ("validate", handle(terminal, "validated_patterns")["directory"]),
        ("datasets", handle(terminal, "training_datasets")["directory"]),
        ("train", adapter),
        ("export", model),
    ):
        done = terminal.qi(command)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["directory"] == directory
    indexed = json.loads(terminal.qi("index").stdout)
    assert (indexed["added"], indexed["updated"], indexed["removed"]) == (0, 0, 0)


def test_the_model_on_trial_is_known_promoted_and_taken_back(
    whole_run: Run, terminal: Terminal
) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    tuned = handle(terminal, "gguf_model")["data_version"]
    before = json.loads(terminal.qi("status").stdout)
    assert before["live"] is None
    assert before["canary"]["model_hash"] == tuned
    again = terminal.qi("release")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["released"]
    assert json.loads(terminal.qi("status").stdout) == before
    assert json.loads(terminal.qi("promote").stdout)["live"]["model_hash"] == tuned
    back = json.loads(terminal.qi("rollback", "--to", "base").stdout)
    assert back["live"]["model_hash"] == before["base"]["model_hash"] != tuned
    nothing = terminal.qi("rollback")
    assert nothing.returncode == 2
    assert "to go back to" in nothing.stderr


def test_any_model_can_be_measured_on_any_suite(
    whole_run: Run, terminal: Terminal, tmp_path: Path
) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    model = str(folder_of(terminal, "gguf_model") / "qi-expert.gguf")
    tasks = terminal.environment["QI_TASKS"]
    measured = terminal.qi("evaluate", "--model", model, "--tasks", tasks, "--out", str(tmp_path))
    assert measured.returncode == 0, measured.stderr
    assert f"{TASKS} tasks" in measured.stdout
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    whole = json.loads((folder_of(terminal, "evaluation_report") / "report.json").read_text())
    tuned = next(arm for arm in whole["arms"] if arm["name"] == "tuned")
    assert report["arms"][0]["overall"] == tuned["overall"]


def test_presets_are_listed_and_the_sample_can_be_written_out(
    terminal: Terminal, tmp_path: Path
) -> None:
    assert "embedded" in terminal.qi("presets").stdout
    written = terminal.qi("sample", str(tmp_path / "sample"))
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "sample" / ".git").is_dir()
    assert terminal.qi("sample", str(tmp_path / "sample")).returncode == 2


def test_calls_writes_one_object_a_line(whole_run: Run, terminal: Terminal, tmp_path: Path) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    out = tmp_path / "calls.jsonl"
    assert terminal.qi("calls", "sample", "--out", str(out)).returncode == 0
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    fields = {"file", "line", "column", "symbol", "package", "form", "source_kind"}
    assert len(rows) > 100
    assert all(set(row) == fields for row in rows)
    forms = {"direct", "new", "static_member", "instance_member"}
    assert forms == {row["form"] for row in rows}


MILESTONES = {
    "while verdicts are written": "validated/.*.partial-*",
    "while the adapter is trained": "adapters/.*.partial-*",
    "while the model is exported": "models/.*.partial-*",
    "while answers are generated": "cache/answers/*.jsonl",
}
LAST_WRITTEN = {
    "patterns": "extraction.json",
    "validated": "validated_patterns.jsonl",
    "datasets": "summary.json",
    "adapters": "training.json",
    "models": "export.json",
    "evaluations": "report.html",
}


def kill_at(killed: Terminal, milestone: str) -> None:
    """Start a run and kill its main process, and nothing else, once `milestone` is there."""
    process = subprocess.Popen(
        killed.command("run"),
        env={**os.environ, **killed.environment},
        cwd=killed.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(killed.data.glob(milestone)):
        time.sleep(0.02)
    assert process.poll() is None, f"the run ended before {milestone} was seen"
    process.kill()
    process.wait()


def test_a_run_killed_anywhere_finishes_the_next_time(
    whole_run: Run, tmp_path: Path, terminal: Terminal
) -> None:
    assert whole_run.returncode == 0, whole_run.stderr
    killed = terminal_in(tmp_path)
    # What is the same for every run is taken along: that saves minutes.
    for name in ("base-models", "npm", "embeddings", "library-tests", "self-tests"):
        shutil.copytree(terminal.data / "cache" / name, killed.data / "cache" / name, symlinks=True)
    for milestone in MILESTONES.values():
        kill_at(killed, milestone)
        for stage, last in LAST_WRITTEN.items():
            for folder in (killed.data / stage).glob("[!.]*/"):
                assert (folder / last).is_file(), f"{folder} is visible and not whole"
    finished = killed.qi("run")
    assert finished.returncode == 0, finished.stderr
    assert "Scores" in finished.stdout
    assert not list(killed.data.glob("*/.*.partial-*"))
    for asset in ("training_datasets", "gguf_model"):
        assert handle(killed, asset)["data_version"] == handle(terminal, asset)["data_version"]
