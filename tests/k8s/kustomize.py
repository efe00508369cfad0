"""What `kubectl kustomize` makes of the folders of `k8s/`, for machines without it: only what our files use, everything else is an error.

`test_manifests.py` holds it against the real one where that is installed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonpatch
import yaml

Object = dict[str, Any]

_KNOWN: Final = {
    "apiVersion", "kind", "resources", "components", "configMapGenerator", "labels", "namespace", "images", "patches",
}  # fmt: skip
#: By which field the elements of a list are the same, when a patch is merged.
_KEYS: Final = {
    "volumes": "name",
    "containers": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}


def build(folder: Path) -> list[Object]:
    """The objects of a folder with a kustomization.yaml. Raises ValueError for what is not known here."""
    objects: list[Object] = []
    _apply(folder, objects)
    names = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
    _missing_config(objects, names)
    return objects


def _missing_config(objects: list[Object], names: set[str]) -> None:
    for one in objects:
        for volume in _pod(one).get("volumes", []):
            name = volume.get("configMap", {}).get("name")
            if name is not None and name not in names:
                raise ValueError(f"{one['metadata']['name']} mounts ConfigMap {name}, which nothing makes")


def _pod(one: Object) -> Object:
    spec: Object = one.get("spec", {}).get("template", {}).get("spec", {})
    return spec


def _apply(folder: Path, objects: list[Object]) -> None:
    rules: Object = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    if unknown := set(rules) - _KNOWN:
        raise ValueError(f"{folder}: {', '.join(sorted(unknown))} is not known here")
    for name in rules.get("resources", []):
        path = folder / name
        if path.is_dir():
            inner: list[Object] = []
            _apply(path, inner)
            objects += inner
        else:
            objects += [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]
    for generator in rules.get("configMapGenerator", []):
        _config_map(folder, generator, objects)
    for name in rules.get("components", []):
        _apply(folder / name, objects)
    for patch in rules.get("patches", []):
        _patch(folder, patch, objects)
    for labels in rules.get("labels", []):
        _label(labels, objects)
    for image in rules.get("images", []):
        _image(image, objects)
    if "namespace" in rules:
        for one in objects:
            if one["kind"] not in ("Namespace", "ClusterIssuer"):
                one["metadata"]["namespace"] = rules["namespace"]


def _config_map(folder: Path, generator: Object, objects: list[Object]) -> None:
    data = {Path(name).name: (folder / name).read_text("utf-8") for name in generator["files"]}
    options = generator.get("options", {})
    if generator.get("behavior") == "merge":
        (known,) = (
            o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == generator["name"]
        )
        known["data"] |= data
        return
    meta: Object = {"name": generator["name"]}
    if "labels" in options:
        meta["labels"] = options["labels"]
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})


def _chosen(target: Object, objects: list[Object]) -> Iterator[Object]:
    for one in objects:
        labels = one["metadata"].get("labels", {})
        if not re.fullmatch(target.get("kind", ".*"), one["kind"]):
            continue
        if not re.fullmatch(target.get("name", ".*"), one["metadata"]["name"]):
            continue
        wanted = target.get("labelSelector", "")
        if wanted:
            key, operator, value = re.fullmatch(r"([\w./-]+)(!=|=)([\w-]+)", wanted).groups()  # type: ignore[union-attr]
            if (labels.get(key) == value) is not (operator == "="):
                continue
        yield one


def _patch(folder: Path, patch: Object, objects: list[Object]) -> None:
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text("utf-8")
    change = yaml.safe_load(text)
    if "target" in patch:
        chosen = list(_chosen(patch["target"], objects))
    else:
        wanted = {"kind": change["kind"], "name": change["metadata"]["name"]}
        chosen = list(_chosen(wanted, objects))
    if not chosen:
        raise ValueError(f"{folder}: a patch matches nothing: {text}")
    for one in chosen:
        if isinstance(change, list):
            new = jsonpatch.apply_patch(one, change)
            one.clear()
            one.update(new)
        elif change.get("$patch") == "delete":
            objects.remove(one)
        else:
            name = one["metadata"]["name"]
            _merge(one, copy.deepcopy(change))
            one["metadata"]["name"] = name


def _merge(into: Object, change: Object) -> None:
    """A strategic merge: dicts by key, null removes, lists by the field that names their elements."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, list) and isinstance(into.get(key), list) and key in _KEYS:
            by = _KEYS[key]
            new = [one for one in value if all(old[by] != one[by] for old in into[key])]
            for one in value:
                for old in into[key]:
                    if old[by] == one[by]:
                        _merge(old, one)
            into[key][:0] = [_without_nulls(one) for one in new]
        else:
            into[key] = value


def _without_nulls(one: Object) -> Object:
    return {key: value for key, value in one.items() if value is not None}


def _label(labels: Object, objects: list[Object]) -> None:
    pairs = labels["pairs"]
    for one in objects:
        one["metadata"].setdefault("labels", {}).update(pairs)
        spec = one.get("spec", {})
        if one["kind"] == "Service":
            spec["selector"] = spec["selector"] | pairs
        elif isinstance(spec.get("selector"), dict) and "matchLabels" in spec["selector"]:
            spec["selector"]["matchLabels"] |= pairs
        if "template" in spec:
            spec["template"]["metadata"].setdefault("labels", {}).update(pairs)
        for constraint in _pod(one).get("topologySpreadConstraints", []):
            constraint["labelSelector"]["matchLabels"] |= pairs


def _image(image: Object, objects: list[Object]) -> None:
    for one in objects:
        for container in _pod(one).get("containers", []):
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
