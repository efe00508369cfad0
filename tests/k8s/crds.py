"""Schemas of the objects of other operators: what our manifests use of their CustomResourceDefinitions, and nothing else of them.

`python -m tests.k8s.crds FILE...` makes `crds/*.json` anew from CustomResourceDefinitions (YAML) of the operators, which
[crds/README.md](crds/README.md) names with their licences. What no manifest uses is left out: a field that is used later is found to be wrong
until that has been done again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from .kustomize import Object, build

FOLDER: Final = Path(__file__).parent / "crds"
K8S: Final = Path(__file__).parents[2] / "k8s"
_KEPT: Final = (
    "type",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "required",
    "anyOf",
    "format",
    "minLength",
    "minItems",
)


def all_objects() -> list[Object]:
    """Objects of both overlays, and those of the component that is an alternative."""
    keda = list(yaml.safe_load_all((K8S / "components" / "keda" / "edge.yaml").read_text("utf-8")))
    return [*build(K8S / "overlays" / "dev"), *build(K8S / "overlays" / "prod"), *keda]


def of_others() -> list[Object]:
    """Those that Kubernetes itself does not know: of groups that somebody else's domain names."""
    return [one for one in all_objects() if "." in one["apiVersion"] and ".k8s.io/" not in one["apiVersion"]]


def name(one: Object) -> str:
    """Of the file with an object's schema."""
    return f"{one['apiVersion'].replace('/', '_')}_{one['kind']}.json"


def wrongs(one: Object) -> Iterator[str]:
    """What the operator's schema says against an object."""
    schema = json.loads((FOLDER / name(one)).read_text("utf-8"))
    for error in jsonschema.Draft202012Validator(schema).iter_errors(one):
        yield f"{one['kind']} {one['metadata']['name']}: {error.json_path}: {error.message[:300]}"


def reduced(schema: Any, samples: list[Any]) -> Any:
    """A schema for what these use; every other field is refused."""
    found = {key: schema[key] for key in _KEPT if key in schema}
    maps = [one for one in samples if isinstance(one, dict)]
    if "properties" in schema:
        used = {key for one in maps for key in one}
        found["properties"] = {
            key: reduced(below, [one[key] for one in maps if key in one])
            for key, below in schema["properties"].items()
            if key in used
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        values = [value for one in maps for value in one.values()]
        found["additionalProperties"] = reduced(schema["additionalProperties"], values)
    if "items" in schema:
        found["items"] = reduced(
            schema["items"], [value for one in samples if isinstance(one, list) for value in one]
        )
    return found


def schema_of(definition: Object, samples: list[Object]) -> Object:
    """The schema of one kind from its CustomResourceDefinition."""
    [version] = [
        each
        for each in definition["spec"]["versions"]
        if samples[0]["apiVersion"].endswith(f"/{each['name']}")
    ]
    found: Object = reduced(version["schema"]["openAPIV3Schema"], samples)
    # Metadata are Kubernetes' own.
    found["properties"]["metadata"] = {"type": "object"}
    return found


def main(files: list[str]) -> None:
    """Write the schemas of what these define."""
    for file in files:
        definition = yaml.safe_load(Path(file).read_text("utf-8"))
        group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
        samples = [
            one for one in of_others() if one["kind"] == kind and one["apiVersion"].startswith(f"{group}/")
        ]
        if samples:
            text = json.dumps(schema_of(definition, samples), indent=1, sort_keys=True)
            (FOLDER / name(samples[0])).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
