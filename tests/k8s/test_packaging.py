"""The containers of `packaging/compose.yaml` and the units run every kind of process, with the ports that it listens on."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from scripts.manifests import LISTENERS, TLS

from rookery.shared.bus.kinds import built, labelled
from rookery.shared.reference import SETTINGS

PACKAGING = Path(__file__).parents[2] / "packaging"
SERVICES = yaml.safe_load((PACKAGING / "compose.yaml").read_text("utf-8"))["services"]


def kinds_of(command: list[str]) -> list[str]:
    return command[1:] if command[0] == "worker" else command


def test_compose_runs_every_kind_with_its_ports_and_certificates() -> None:
    known = {one.variable for one in SETTINGS}
    seen = []
    for service in SERVICES.values():
        labels = kinds_of(service.get("command", ["migrate"]))
        if labels == ["migrate"]:
            continue
        seen += labels
        kinds = [labelled(label) for label in labels]
        ports = {f"{one.number}:{one.number}" for kind in kinds for one in LISTENERS.get(kind, ())}
        assert set(service.get("ports", ())) == ports, labels
        names = {name for name in service["environment"] if name.startswith("ROOKERY_")}
        assert {name.removesuffix("_FILE") for name in names} <= known
        assert ("ROOKERY_TLS__DIRECTORY" in names) is any(kind in TLS for kind in kinds), labels
    assert sorted(seen) == sorted(row.kind.label for row in built())


def test_the_guide_starts_every_kind_and_the_image_names_every_port() -> None:
    guide = (PACKAGING / "README.md").read_text("utf-8")
    (line,) = re.findall(r"systemctl enable --now (rookery@router .*)", guide)
    (workers,) = re.findall(r"rookery-worker@\{([\w,]+)\}", line)
    assert sorted([*workers.split(","), "router", "edge"]) == sorted(row.kind.label for row in built())
    (exposed,) = re.findall(r"^EXPOSE (.*)$", (PACKAGING / "Containerfile").read_text("utf-8"), re.MULTILINE)
    assert {int(port) for port in exposed.split()} == {
        one.number for ports in LISTENERS.values() for one in ports
    }
