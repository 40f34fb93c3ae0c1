"""The files of `deploy/`: they parse, and what they start and ask for exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from collect.receiver import PATH, Limits, Receiver
from data.web_addresses import LOCAL_HOSTS
from tests.programs import program
from tests.test_docs import bad_calls
from tests.test_wheel import ROOMS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
KUBERNETES = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds and specifications of the pods."""
    for document in KUBERNETES:
        if document["kind"] == "Deployment":
            yield "Deployment", document["spec"]["template"]["spec"]
        if document["kind"] == "CronJob":
            yield "CronJob", document["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def commands() -> Iterator[str]:
    """Every command of ours in these files, as it would be typed."""
    for unit in UNITS:
        for line in re.findall(r"^ExecStart=(.*)", unit.read_text(), re.M):
            if call := re.search(r"/opt/faultline/bin/(faultline [^\"]*)", line):
                yield call[1]
    for service in COMPOSE["services"].values():
        if service.get("image") == "faultline":
            yield shlex.join(["faultline", *service["command"]])
    for _, pod in pods():
        for container in pod["containers"]:
            if "/faultline:" in container["image"]:
                script = container["args"][0] if container.get("command") else ""
                lines = script.splitlines() or [shlex.join(["faultline", *container["args"]])]
                yield from (line for line in lines if line.startswith("faultline "))


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_commands_and_options_exist(command: str) -> None:
    assert list(bad_calls(command)) == []
    assert "--sign-in" not in command


def test_all_servers_and_the_backup_are_there() -> None:
    started = {" ".join(command.split()[1:3]) for command in commands()}
    assert {"collect otlp", "dashboard --host", "backup --to"} <= started
    assert any(command.startswith("faultline serve-rewrites") for command in commands())


def test_units_are_valid(tmp_path: Path) -> None:
    program("systemd-analyze")
    # Which program it is does not matter, but it has to be there.
    for unit in UNITS:
        text = unit.read_text().replace("/opt/faultline/bin/faultline", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("document", KUBERNETES, ids=lambda document: document["kind"])
def test_manifests_are_as_kubernetes_describes_them(document: dict[str, Any]) -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(document, version, strict=True)
    # The schema is of this kind, and refuses what it does not know.
    document = {**document, "spec": {**document["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_services_may_do_little(unit: Path) -> None:
    if unit.suffix != ".service":
        return
    settings = set(unit.read_text().splitlines())
    assert settings >= {
        *("NoNewPrivileges=yes", "ProtectSystem=strict", "User=faultline", "UMask=0077"),
        *("CapabilityBoundingSet=", "SystemCallFilter=@system-service"),
    }


def test_probes_ask_for_what_is_there(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, Limits(), tmp_path)
    paths = {
        getattr(route, "path", "") for route in receiver.application(tuple(LOCAL_HOSTS)).routes
    }
    receiver.close()
    asked = set()
    for _, pod in pods():
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", ())}
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                if get := container.get(name, {}).get("httpGet"):
                    assert get["port"] in ports
                    if container["name"] == "collector":
                        asked.add(get["path"])
    assert asked == {"/health", "/ready"} <= paths
    assert PATH in (DEPLOY / "Caddyfile").read_text()
    assert PATH in (DEPLOY / "nginx.conf").read_text()


@pytest.mark.parametrize(("kind", "pod"), list(pods()), ids=lambda value: str(value)[:10])
def test_pods_may_do_little_and_mount_what_there_is(kind: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    claims = {d["metadata"]["name"] for d in KUBERNETES if d["kind"] == "PersistentVolumeClaim"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for volume in pod["volumes"]:
        if claim := volume.get("persistentVolumeClaim"):
            assert claim["claimName"] in claims
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["resources"]["limits"]["memory"]


def test_services_lead_to_ports_of_the_pod() -> None:
    (pod,) = (pod for kind, pod in pods() if kind == "Deployment")
    ports = {port["name"] for c in pod["containers"] for port in c.get("ports", ())}
    services = [document for document in KUBERNETES if document["kind"] == "Service"]
    assert {port["targetPort"] for s in services for port in s["spec"]["ports"]} == ports
    (deployment,) = (d for d in KUBERNETES if d["kind"] == "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert all(service["spec"]["selector"] == labels for service in services)


def test_the_dashboard_is_reached_through_sign_in_alone() -> None:
    assert COMPOSE["services"]["oauth2-proxy"]["network_mode"] == "service:dashboard"
    published = {name for name, service in COMPOSE["services"].items() if service.get("ports")}
    assert published == {"caddy"}
    for command in commands():
        if command.startswith("faultline dashboard"):
            assert "--address" not in command
            assert "--insecure" not in command


def test_keys_and_tokens_reach_the_collector_and_the_dashboard_alone() -> None:
    place = "EnvironmentFile=-/etc/faultline.env"
    found = {unit.stem for unit in UNITS if place in unit.read_text().splitlines()}
    assert found == {"faultline-collector", "faultline-dashboard"}
    services = COMPOSE["services"].items()
    assert {name for name, s in services if "env_file" in s} == {"collector", "dashboard"}
    named = {c["name"] for _, pod in pods() for c in pod["containers"] if "envFrom" in c}
    assert named == {"collector", "dashboard"}


def test_the_image_is_made_of_every_room() -> None:
    copied = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines()
              if line.startswith("!")}  # fmt: skip
    assert set(ROOMS) <= copied
