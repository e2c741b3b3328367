"""Both `dagster.yaml` files, loaded by Dagster itself; Postgres where its programs are at hand."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from qi_pipeline.settings import PROJECT_ROOT

LOCAL = PROJECT_ROOT / "dagster.yaml"
DEPLOYED = PROJECT_ROOT / "deploy" / "dagster.yaml"
VARIABLES = {
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_USER": "qi",
    "POSTGRES_PASSWORD": "for-this-test",
    "POSTGRES_DB": "qi",
}


def assert_limits(instance: dg.DagsterInstance, concurrent_runs: int) -> None:
    storage = instance.event_log_storage
    for pool in ("gpu", "training"):
        storage.initialize_concurrency_limit_to_default(pool)
        assert storage.get_concurrency_info(pool).slot_count == 1
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == concurrent_runs
    assert instance.run_monitoring_enabled
    assert 0 < instance.run_monitoring_max_runtime_seconds <= 24 * 3600
    assert not instance.telemetry_enabled


def test_the_local_instance_keeps_everything_below_its_home(tmp_path: Path) -> None:
    shutil.copy(LOCAL, tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert_limits(instance, concurrent_runs=1)
        assert Path(instance.storage_directory()).is_relative_to(tmp_path)
    assert list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize("path", [LOCAL, DEPLOYED], ids=["local", "deployed"])
def test_a_misspelt_key_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text(
        path.read_text().replace("max_runtime_seconds", "max_runtime")
    )
    with pytest.raises(dg.DagsterInvalidConfigError, match="max_runtime"):
        dg.DagsterInstance.from_config(str(tmp_path))


def test_both_instances_retry_limit_and_forget_alike() -> None:
    local, deployed = (yaml.safe_load(path.read_text()) for path in (LOCAL, DEPLOYED))
    for section in ("run_monitoring", "retention", "sensors", "telemetry", "python_logs"):
        assert local[section] == deployed[section]


def test_the_deployed_instance_takes_its_database_from_the_variables_compose_sets() -> None:
    database = yaml.safe_load(DEPLOYED.read_text())["storage"]["postgres"]["postgres_db"]
    used = {value["env"] for value in database.values() if isinstance(value, dict)}
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())
    assert used == set(VARIABLES)
    for name in ("migrate", "code-server", "webserver", "daemon"):
        assert used <= set(compose["services"][name]["environment"])


def _postgres_programs() -> Path | None:
    found = shutil.which("pg_ctl")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def postgres_port() -> Iterator[int]:
    """The port of an empty Postgres with the database and user of compose."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("no Postgres server is installed here")
    # Postgres refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if user:
            shutil.chown(folder, user)
        data, port = Path(folder) / "data", _free_port()

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), *arguments]
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

        run("initdb", "--auth=trust", "--username=qi", f"--pgdata={data}")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "start", "-w", f"--pgdata={data}", f"--log={folder}/log", "-o", options)
        stack.callback(run, "pg_ctl", "stop", "-m", "immediate", f"--pgdata={data}")
        run("createdb", "--host=127.0.0.1", f"--port={port}", "--username=qi", "qi")
        yield port


@pytest.mark.slow
def test_the_deployed_instance_migrates_an_empty_postgres(
    postgres_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    text = DEPLOYED.read_text()
    assert "port: 5432" in text
    (tmp_path / "dagster.yaml").write_text(text.replace("port: 5432", f"port: {postgres_port}"))
    migrate = [sys.executable, "-m", "dagster", "instance", "migrate"]
    for _ in ("first start", "every later start"):
        subprocess.run(migrate, check=True, timeout=120)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert_limits(instance, concurrent_runs=1)
        assert "Postgres" in type(instance.event_log_storage).__name__
        assert instance.get_runs_count() == 0

        @dg.asset(pool="training")
        def probe() -> int:
            return 1

        assert dg.materialize([probe], instance=instance).success
        assert instance.get_latest_materialization_event(dg.AssetKey("probe"))
    assert not list(tmp_path.rglob("*.db"))
