"""`qi review` on the sample library with a tutorial that leaves something to a person."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.review_cli import app
from qi_pipeline.sample.repository import build_sample_repository
from qi_pipeline.settings import Settings
from qi_pipeline.validation.review import read_decisions

TUTORIAL = """# Halves

```typescript
import { map } from "@qi/base";

export const halved = () => map((n: number) => n / 2, readNumber());
```
"""
TWICE = """# Twice

```typescript
import { success } from "@qi/base";

// Before
export const one = () => 1;

// After
export const one = () => success(1);
```
"""
MENDED = """import { map, success } from "@qi/base";

export const halved = () => map((n: number) => n / 2, success(4));
"""


def commit(repository: Path, name: str, text: str) -> None:
    (repository / "docs" / "tutorial" / name).write_text(text, encoding="utf-8")
    person = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["add", "-A"], [*person, "commit", "--quiet", "-m", "A tutorial"]):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("review") / "library"
    build_sample_repository(repository)
    commit(repository, "halves.md", TUTORIAL)
    commit(repository, "twice.md", TWICE)
    return repository


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The environment of every command: one data folder, so that the work is done once."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QI_DATA_DIR", str(folder))
        patch.setenv("LOGNAME", "reviewer")
        yield folder


@pytest.fixture(autouse=True)
def no_decisions(data: Path) -> None:
    Settings(data_dir=data).review_file.unlink(missing_ok=True)


def review(source: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--source", str(source)])


def done(source: Path, *arguments: str) -> str:
    result = review(source, *arguments)
    assert result.exception is None, result.exception
    return str(result.stdout)


def refused(source: Path, *arguments: str) -> str:
    result = review(source, *arguments)
    assert isinstance(result.exception, QiPipelineError), result.output
    return str(result.exception)


def waiting(source: Path, status: str = "review") -> dict[str, dict[str, object]]:
    """Return those of this test's documents whose row has the status, by their name."""
    rows = json.loads(done(source, "list", "--json", "--status", status))
    found = {Path(row["source_file"]).stem: row for row in rows}
    return {name: found[name] for name in ("halves", "twice") if name in found}


def test_the_queue_is_listed_and_filtered(source: Path) -> None:
    rows = waiting(source)
    assert rows.keys() == {"halves", "twice"}
    assert rows["halves"]["reasons"][0] == "assumes readNumber, which nothing declares"  # type: ignore[index]
    assert rows["halves"]["complies"] is False
    text = done(source, "list")
    assert str(rows["halves"]["id"]) in text
    assert "docs/tutorial/halves.md:" in text
    assert "assumes readNumber" in text
    kind = str(rows["halves"]["type"])
    chosen = json.loads(done(source, "list", "--json", "--type", kind))
    assert rows["halves"]["id"] in [row["id"] for row in chosen]
    assert {row["type"] for row in chosen} == {kind}
    assert len(json.loads(done(source, "list", "--json", "--status", "all"))) > len(rows)


def test_wrong_choices_are_named(source: Path) -> None:
    assert "unknown status 'wating'; known: kept, " in refused(source, "list", "--status", "wating")
    assert "unknown type 'cache'; known: result_" in refused(source, "list", "--type", "cache")
    assert "no pattern has the id 'ffffffff'" in refused(source, "show", "ffffffff")


def test_a_row_is_shown_with_its_code_verdict_source_and_changes(source: Path) -> None:
    rows = waiting(source)
    near = done(source, "show", str(rows["halves"]["id"]))
    assert "docs/tutorial/halves.md:" in near
    assert "TS2304 Cannot find name 'readNumber'" in near
    assert "export const halved" in near
    changed = done(source, "show", str(rows["twice"]["id"])[:8])
    assert "earlier declaration removed: one" in changed
    assert "-export const one = () => 1;" in changed
    assert "complies" in changed


def test_a_decision_moves_the_row_and_undo_brings_it_back(source: Path, data: Path) -> None:
    row_id = str(waiting(source)["twice"]["id"])
    said = done(source, "accept", row_id, "--type", "factory_functions", "--note", "fine")
    assert f"{row_id}: accept recorded in " in said
    assert waiting(source).keys() == {"halves"}
    kept = json.loads(done(source, "list", "--json", "--status", "all"))
    (row,) = [found for found in kept if found["id"] == row_id]
    assert (row["status"], row["type"]) == ("repaired", "factory_functions")
    (decision,) = read_decisions(Settings(data_dir=data).review_file)
    assert (decision.by, decision.note) == ("reviewer", "fine")
    assert "accept by reviewer" in done(source, "show", row_id)
    done(source, "undo", row_id[:6])
    assert waiting(source).keys() == {"halves", "twice"}
    done(source, "reject", row_id, "--note", "shows the wrong way first")
    assert waiting(source, "rejected")["twice"]["reasons"] == [
        "rejected in review: shows the wrong way first"
    ]


def test_what_does_not_comply_is_not_accepted_but_may_be_edited(
    source: Path, tmp_path: Path
) -> None:
    row_id = str(waiting(source)["halves"]["id"])
    assert "cannot be accepted" in refused(source, "accept", row_id)
    mended = tmp_path / "mended.ts"
    mended.write_text(MENDED.replace("n / 2", "n.half"), encoding="utf-8")
    assert "TS2339" in refused(source, "edit", row_id, "--file", str(mended))
    assert "halves" in waiting(source)
    mended.write_text(MENDED, encoding="utf-8")
    done(source, "edit", row_id, "--file", str(mended))
    assert waiting(source).keys() == {"twice"}
    assert waiting(source, "repaired")["halves"]["repairs"] == ["edited: by a person in review"]
    assert "cannot read " in refused(source, "edit", row_id, "--file", str(tmp_path / "none.ts"))


def test_the_editor_opens_on_the_text(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id = str(waiting(source)["halves"]["id"])
    script = tmp_path / "an editor.py"
    script.write_text(
        "import pathlib, sys\np = pathlib.Path(sys.argv[1])\n"
        "p.write_text(p.read_text().replace('readNumber()', 'success(4)').replace("
        "'{ map', '{ success, map'))\n",
        encoding="utf-8",
    )
    monkeypatch.delenv("VISUAL", raising=False)
    for editor, problem in (
        ("true", "was not changed"),
        ("false", "ended with status 1"),
        ("/no/such/editor", "cannot start the editor"),
    ):
        monkeypatch.setenv("EDITOR", editor)
        assert problem in refused(source, "edit", row_id)
    monkeypatch.setenv("EDITOR", f"{sys.executable} '{script}'")
    done(source, "edit", row_id)
    assert "halves" in waiting(source, "repaired")


def test_a_changed_unit_returns_to_review_with_the_old_decision(source: Path) -> None:
    row_id = str(waiting(source)["twice"]["id"])
    done(source, "accept", row_id, "--note", "short")
    assert "twice" not in waiting(source)
    original = subprocess.run(
        ["git", "-C", str(source), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    commit(source, "twice.md", TWICE.replace("success(1)", "success(2)"))
    try:
        row = waiting(source)["twice"]
        assert row["id"] == row_id
        assert "changed since it was accepted in review: short" in row["reasons"]  # type: ignore[operator]
    finally:
        subprocess.run(["git", "-C", str(source), "reset", "--hard", "-q", original], check=True)


def test_a_damaged_review_file_stops_the_run_and_names_the_line(source: Path, data: Path) -> None:
    file = Settings(data_dir=data).review_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}\n", encoding="utf-8")
    assert f"{file}:1 is not a review decision" in refused(source, "list")
    assert file.read_text("utf-8") == "{}\n", "nothing was added"
