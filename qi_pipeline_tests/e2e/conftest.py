"""One whole run on the sample library at a tiny training budget, shared by the tests here."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from qi_pipeline.evaluation.tasks import Task, bundled_suite, load_tasks
from qi_pipeline.settings import ARMS

TASKS = 6
"""As few as the gate can judge: enough for one category and for a bootstrap over types."""


@dataclass(frozen=True)
class Terminal:
    """`qi` with a data directory and a Dagster home of its own."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def command(self, *arguments: str) -> list[str]:
        program = "from qi_pipeline.cli import main; main()"
        return [sys.executable, "-c", program, *arguments]

    def qi(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env={**os.environ, **self.environment, **more},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=1500,
        )


def easy(task: Task) -> bool:
    return task.category == "basic"


def terminal_in(folder: Path) -> Terminal:
    """Return a terminal whose runs are as small as a whole run can be."""
    tasks = folder / "tasks.jsonl"
    basic = {task.pattern_type: task for task in load_tasks(bundled_suite()) if easy(task)}
    lines = [task.model_dump_json() + "\n" for task in list(basic.values())[:TASKS]]
    tasks.write_text("".join(lines), encoding="utf-8")
    return Terminal(
        folder,
        {
            "QI_DATA_DIR": str(folder / "data"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "QI_PRESET": "tiny",
            "QI_TASKS": str(tasks),
            "QI_EVALUATION_ARMS": json.dumps(ARMS),
            "QI_EVALUATION_MAX_TOKENS": "40",
            "QI_EVALUATION_BEST_OF": "2",
            "QI_EVALUATION_FUNCTIONS": "2",
        },
    )


@pytest.fixture(scope="session")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return terminal_in(tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def whole_run(terminal: Terminal) -> subprocess.CompletedProcess[str]:
    return terminal.qi("run")
