"""The manifests are valid, and everything that they name exists in the code: ports, settings, metrics, commands, secrets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import kubernetes_validate
import pytest
import yaml
from prometheus_client import PROCESS_COLLECTOR
from scripts.manifests import ADMIN_PORT, GRACE, LISTENERS, TLS, manifests
from tests.k8s.kustomize import Object, build

from rookery.cli import cli
from rookery.shared import settings
from rookery.shared.bus.kinds import Kind, built
from rookery.shared.config import Config
from rookery.shared.net.folder import CHAIN, KEY
from rookery.shared.observe import metrics
from rookery.shared.reference import SETTINGS

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("dev", "prod")
#: The oldest version that manifests are made for; `sleep` in preStop needs 1.30.
VERSIONS = ("1.31", "1.34")


@cache
def objects(overlay: str) -> tuple[Object, ...]:
    return tuple(build(K8S / "overlays" / overlay))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [one for one in objects(overlay) if one["kind"] in kinds]


def name_of(one: Object) -> str:
    return str(one["metadata"]["name"])


def ours(overlay: str) -> list[Object]:
    """Deployments of Rookery itself."""
    return [one for one in of_kind(overlay, "Deployment") if name_of(one).startswith("rookery-")]


def pod(one: Object) -> Object:
    spec: Object = one["spec"]["template"]["spec"]
    return spec


def labels_of(one: Object) -> dict[str, str]:
    labels: dict[str, str] = one["spec"]["template"]["metadata"]["labels"]
    return labels


def selects(selector: Object, labels: dict[str, str]) -> bool:
    for rule in selector.get("matchExpressions", []):
        if (labels.get(rule["key"]) in rule["values"]) is not (rule["operator"] == "In"):
            return False
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


@pytest.mark.parametrize("name", manifests())
def test_generated_manifests_are_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == manifests()[name], "run `make docs`"


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(overlay: str, version: str) -> None:
    seen = 0
    for one in objects(overlay):
        try:
            kubernetes_validate.validate(one, version, strict=True)
            seen += 1
        except kubernetes_validate.SchemaNotFoundError:
            assert "." in one["apiVersion"].partition("/")[0], one["kind"]
    assert seen >= 12


def test_a_misspelt_field_is_found() -> None:
    wrong = json.loads(json.dumps(ours("prod")[0]))
    wrong["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_our_reading_of_kustomize_is_the_real_one(overlay: str) -> None:
    text = subprocess.run(
        ["kubectl", "kustomize", K8S / "overlays" / overlay], check=True, capture_output=True, text=True
    ).stdout
    text = re.sub(r"(rookery-config)-[a-z0-9]{10}\b", r"\1", text)
    theirs = {(one["kind"], name_of(one)): one for one in yaml.safe_load_all(text)}
    mine = {(one["kind"], name_of(one)): one for one in json.loads(json.dumps(objects(overlay)))}
    for one in (*theirs.values(), *mine.values()):
        pod_volumes = one["kind"] == "Deployment" and pod(one).get("volumes")
        if pod_volumes:
            pod_volumes.sort(key=lambda volume: volume["name"])
    assert mine == theirs


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_kind_has_a_deployment_that_spreads(overlay: str) -> None:
    found = {labels_of(one)["app.kubernetes.io/component"]: one for one in ours(overlay)}
    assert set(found) == {row.kind.label for row in built()}
    for one in found.values():
        keys = {rule["topologyKey"] for rule in pod(one)["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        for rule in pod(one)["topologySpreadConstraints"]:
            assert selects(rule["labelSelector"], labels_of(one))
        assert selects(one["spec"]["selector"], labels_of(one))
        (container,) = pod(one)["containers"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_every_deployment_of_production_has_a_budget_and_a_scaler() -> None:
    budgets = [one["spec"]["selector"] for one in of_kind("prod", "PodDisruptionBudget")]
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind("prod", "HorizontalPodAutoscaler")}
    for one in ours("prod"):
        assert sum(selects(selector, labels_of(one)) for selector in budgets) == 1, name_of(one)
        assert "replicas" not in one["spec"], "the autoscaler's number would be set back"
    assert scaled == {name_of(one) for one in ours("prod")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_are_restricted(overlay: str) -> None:
    for one in of_kind(overlay, "Deployment", "Job"):
        assert pod(one)["automountServiceAccountToken"] is False
        assert pod(one)["securityContext"]["runAsNonRoot"] is True
        assert pod(one)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod(one)["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_and_services_name_ports_that_exist(overlay: str) -> None:
    for one in ours(overlay):
        (container,) = pod(one)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["admin"] == ADMIN_PORT
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            get = container[probe]["httpGet"]
            assert get["port"] in ports
            assert get["path"] in ("/livez", "/readyz")
    for service in of_kind(overlay, "Service"):
        chosen = [
            one
            for one in of_kind(overlay, "Deployment")
            if service["spec"]["selector"].items() <= labels_of(one).items()
        ]
        assert chosen, name_of(service)
        for one in chosen:
            named = {port["name"] for port in pod(one)["containers"][0]["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_every_port_of_the_settings_is_in_a_container_and_a_service() -> None:
    defaults = {f"{one.section}.{one.name}": one.default for one in SETTINGS}
    told = {port.setting for ports in LISTENERS.values() for port in ports} | {"admin.port"}
    assert told == {name for name in defaults if name.endswith(("_port", ".port"))}
    for kind, ports in LISTENERS.items():
        (one,) = (one for one in ours("prod") if name_of(one) == f"rookery-{kind.label}")
        named = {port["name"]: port["containerPort"] for port in pod(one)["containers"][0]["ports"]}
        for port in ports:
            assert port.number == int(defaults[port.setting])
        assert named == {"admin": ADMIN_PORT} | {port.name: port.number for port in ports}
        (service,) = (one for one in of_kind("dev", "Service") if name_of(one) == f"rookery-{kind.label}")
        found = {port["targetPort"]: port["port"] for port in service["spec"]["ports"]}
        assert found == {port.name: port.number for port in ports}


def test_production_has_an_address_for_each_listener_that_keeps_who_comes() -> None:
    # Components are the operator's own: their Service stays inside.
    labels = {kind.label for kind in LISTENERS if kind is not Kind.COMPONENT}
    services = {name_of(one).removeprefix("rookery-"): one["spec"] for one in of_kind("prod", "Service")}
    assert {label for label, one in services.items() if one.get("type") == "LoadBalancer"} == labels
    assert all(services[label]["externalTrafficPolicy"] == "Local" for label in labels)
    (port,) = services["upload"]["ports"]
    url = configuration("prod").upload.url
    assert (port["port"], url) == (443, "https://{domain}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_certificates_are_where_the_settings_look_for_them(overlay: str) -> None:
    (certificate,) = of_kind(overlay, "Certificate")
    domain = certificate["spec"]["dnsNames"][0]
    for one in ours(overlay):
        label = labels_of(one)["app.kubernetes.io/component"]
        mounts = {mount["mountPath"]: mount["name"] for mount in pod(one)["containers"][0]["volumeMounts"]}
        volume = mounts.get(configuration(overlay).tls.directory)
        assert (volume is not None) is (label in {kind.label for kind in TLS}), label
        if volume is None:
            continue
        (tls,) = (one for one in pod(one)["volumes"] if one["name"] == volume)
        (source,) = tls["projected"]["sources"]
        assert source["secret"]["name"] == certificate["spec"]["secretName"]
        assert {item["path"] for item in source["secret"]["items"]} == {
            f"{folder}/{file}" for folder in (domain, f"_.{domain}") for file in (CHAIN, KEY)
        }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_upload_workers_write_to_a_volume_that_all_of_them_have(overlay: str) -> None:
    (one,) = (one for one in ours(overlay) if name_of(one) == "rookery-upload")
    (container,) = pod(one)["containers"]
    (directory,) = (v["value"] for v in container["env"] if v["name"] == "ROOKERY_UPLOAD__DIRECTORY")
    (mount,) = (m for m in container["volumeMounts"] if m["mountPath"] == directory)
    assert not mount.get("readOnly")
    (volume,) = (v for v in pod(one)["volumes"] if v["name"] == mount["name"])
    if one["spec"].get("replicas") == 1:
        assert "emptyDir" in volume
        return
    (claim,) = of_kind(overlay, "PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"] == {"claimName": name_of(claim)}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_without_a_volume_upload_workers_take_no_files() -> None:
    for one in build(K8S / "base"):
        if one["kind"] == "Deployment":
            assert all(v["name"] != "ROOKERY_UPLOAD__DIRECTORY" for v in pod(one)["containers"][0]["env"])


def configuration(overlay: str) -> Config:
    (text,) = (
        one["data"]["rookery.toml"]
        for one in of_kind(overlay, "ConfigMap")
        if name_of(one) == "rookery-config"
    )
    tomllib.loads(text)
    return settings.loads(text)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_is_one_and_a_drain_fits_the_grace(overlay: str) -> None:
    config = configuration(overlay)
    assert config.admin.port == ADMIN_PORT
    for one in ours(overlay):
        (container,) = pod(one)["containers"]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod(one)["terminationGracePeriodSeconds"] == GRACE
        assert sleep + config.cluster.drain_limit + 5 <= GRACE


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_environment_names_settings_and_files_that_are_mounted(overlay: str) -> None:
    known = {one.variable for one in SETTINGS}
    for one in of_kind(overlay, "Deployment", "Job"):
        if not name_of(one).startswith("rookery"):
            continue
        (container,) = pod(one)["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"] for volume in pod(one)["volumes"]}
        assert set(mounts.values()) == volumes
        for variable in container["env"]:
            name = variable["name"]
            if not name.startswith("ROOKERY_"):
                continue
            assert name.removesuffix("_FILE") in known, name
            if name.endswith("_FILE"):
                assert str(Path(variable["value"]).parent) in mounts, name


def test_only_who_needs_it_gets_the_password_of_the_database() -> None:
    for one in ours("prod"):
        names = {variable["name"] for variable in pod(one)["containers"][0]["env"]}
        assert ("ROOKERY_DATABASE__PASSWORD_FILE" in names) is (name_of(one) != "rookery-edge")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_arguments_are_commands(overlay: str) -> None:
    for one in of_kind(overlay, "Deployment", "Job"):
        if not name_of(one).startswith("rookery"):
            continue
        (container,) = pod(one)["containers"]
        first, *rest = container["args"]
        command = cli.get_command(click.Context(cli), first)
        assert command is not None, first
        context = command.make_context(
            first, [str(word) for word in rest if not str(word).startswith("/etc")][:-1]
        )
        assert context.info_name == first
        config = rest[rest.index("--config") + 1]
        assert str(Path(config).parent) in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert Path(config).name == "rookery.toml"


def queries() -> Iterator[tuple[str, str]]:
    for rule in next(iter(of_kind("prod", "PrometheusRule")))["spec"]["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]
    for path in sorted((K8S / "components/monitoring/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
    for one in of_kind("prod", "HorizontalPodAutoscaler"):
        for metric in one["spec"]["metrics"]:
            if metric["type"] == "Pods":
                yield name_of(one), metric["pods"]["metric"]["name"]
    keda = yaml.safe_load((K8S / "components/keda/edge.yaml").read_text("utf-8"))
    for trigger in keda["spec"]["triggers"]:
        if "query" in trigger["metadata"]:
            yield "keda", trigger["metadata"]["query"]


def test_every_metric_that_is_asked_for_exists_with_its_labels() -> None:
    known = {
        row[0]: set(re.findall(r"`(\w+)`", row[1]))
        for row in re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", metrics.document(), re.MULTILINE)
    }
    known |= {name + end: known[name] for name in list(known) for end in ("_bucket", "_count", "_sum")}
    known |= {metric.name + end: set() for metric in PROCESS_COLLECTOR.collect() for end in ("", "_total")}
    asked = 0
    for where, query in queries():
        for name, labels in re.findall(r"\b((?:rookery|process)_[a-z0-9_]+)(?:\{([^}]*)\})?", query):
            asked += 1
            assert name in known, f"{where}: {name}"
            for label in re.findall(r"(\w+)!?=", labels):
                assert label == "component" or label in known[name], f"{where}: {name}{{{label}}}"
    assert asked > 40


def test_every_alert_has_a_runbook() -> None:
    sections = {
        line.removeprefix("## ").lower()
        for line in (ROOT / "docs/alerts.md").read_text("utf-8").splitlines()
        if line.startswith("## ")
    }
    for rule in next(iter(of_kind("prod", "PrometheusRule")))["spec"]["groups"][0]["rules"]:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/alerts.md"
        assert anchor == rule["alert"].lower()
        assert anchor in sections
        assert rule["labels"]["severity"] in ("page", "warning")


def test_policies_let_through_what_is_needed_and_nothing_else() -> None:
    policies = of_kind("prod", "NetworkPolicy")
    assert any(one["spec"]["podSelector"] == {} for one in policies)
    for one in ours("prod"):
        label = labels_of(one)["app.kubernetes.io/component"]
        chosen = [policy for policy in policies if selects(policy["spec"]["podSelector"], labels_of(one))]
        out = {
            port["port"]
            for policy in chosen
            for rule in policy["spec"].get("egress", [])
            for port in rule["ports"]
        }
        into = {
            port["port"]
            for policy in chosen
            for rule in policy["spec"].get("ingress", [])
            for port in rule["ports"]
        }
        assert 4222 in out
        assert (5432 in out) is (label != "edge")
        named = {port["name"] for port in pod(one)["containers"][0]["ports"]}
        assert into == named, label
        world = [cidr for cidr in blocks(chosen) if cidr["cidr"] in ("0.0.0.0/0", "::/0")]
        assert len(world) == (2 if label == "s2s" else 0), label
        held = {net for cidr in world for net in cidr["except"]}
        assert held == (set(configuration("prod").s2s.deny_nets) if world else set())


def blocks(policies: list[Object]) -> list[Object]:
    """The networks that policies let somebody connect to."""
    return [
        peer["ipBlock"]
        for policy in policies
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
