"""The steps of `packaging/Containerfile`, run in a clean folder without a daemon: what comes out is small, whole, and runs every command.

`RUN` of the first stage is run as it stands, with the folders of the image in place of those that it names; `apt-get` and the second stage's users
are the machine's business. Python is that of the tests, not the 3.12 of the image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest
from tests.cluster.compiling import ROOT, machine_code
from tests.cluster.harness import end_with_parent

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

PACKAGING: Final = ROOT / "packaging"
MEGABYTE: Final = 1_000_000
#: `python:3.12-slim-bookworm` unpacked, as its publisher's layers are (about 125 MB, generously).
BASE: Final = 135 * MEGABYTE
LIMIT: Final = 250 * MEGABYTE
#: What the machine does instead.
_MACHINE: Final = ("apt-get", "groupadd", "install -d")


def steps(stage: int) -> Iterator[tuple[str, str]]:
    """Instruction and argument of one stage."""
    text = (PACKAGING / "Containerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    wanted = re.split(r"^FROM .*$", lines.replace("\\\n", " "), flags=re.MULTILINE)[stage]
    for line in wanted.strip().splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, rest.strip()


def sent() -> list[str]:
    """What of the project a builder gets to see."""
    rules = (PACKAGING / "Containerfile.dockerignore").read_text("utf-8").split()
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    found = done.stdout.splitlines()
    if done.returncode:  # a copy without its history
        files = (
            one.relative_to(ROOT) for top in allowed for one in ROOT.glob(f"{top}/**/*") if one.is_file()
        )
        found = [
            str(one) for one in files if not any(part.startswith((".", "__pycache__")) for part in one.parts)
        ]
        found += [one.name for one in ROOT.iterdir() if one.is_file()]
    return [name for name in found if any(fnmatch(name.split("/")[0], rule) for rule in allowed)]


def reachable() -> bool:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    try:
        with urllib.request.urlopen(f"{index}/idna/", timeout=20):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _without_compiler(script: str) -> str:
    """The same steps with what `scripts/compile.py` has written in place of its run."""
    kept = []
    for step in re.split(r"\s+&&\s+", script):
        if "scripts/compile.py" in step:
            kept.append(f"mkdir build && cp -a {ROOT}/build/compiled build/")
        elif "/opt/compiler" not in step:
            kept.append(step)
    return " && ".join(kept)


def size(folder: Path) -> int:
    """Bytes of its files, each once, as layers count them."""
    seen = {(s.st_dev, s.st_ino): s.st_size for s in (one.lstat() for one in folder.rglob("*")) if s}
    return sum(seen.values())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`/opt/rookery` of the first stage."""
    if not reachable():
        pytest.skip("no package index here")
    if shutil.which("strip") is None or not machine_code():
        pytest.skip("no C compiler here")
    home = tmp_path_factory.mktemp("image")
    root = home / "opt/rookery"
    root.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(Path(sys.executable).resolve())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ROOKERY_", "PYTHON", "VIRTUAL_ENV"))}  # fmt: skip
    environment["PATH"] = f"{home}/bin:/usr/bin:/bin"
    visible = sent()
    for word, rest in steps(1):
        if word == "COPY":
            *sources, target = rest.split()
            for name in [one for one in visible if any(one == s or one.startswith(f"{s}/") for s in sources)]:
                place = root / name
                assert place.parent == root or target.strip("./") == name.split("/")[0], rest
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, place, follow_symlinks=False)
        elif word == "RUN" and not rest.startswith(_MACHINE):
            script = _without_compiler(rest)
            assert "/opt/" not in script.replace(str(home), "")
            done = subprocess.run(["sh", "-ec", script], cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, check=False)  # fmt: skip
            assert done.returncode == 0, done.stdout[-3000:]
        else:
            assert word in ("RUN", "WORKDIR"), word
    return root


def rookery(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{image}/.venv/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}
    return subprocess.run(
        [str(image / ".venv/bin/rookery"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_small(image: Path) -> None:
    ours = size(image)
    parts = sorted(((size(one), one.name) for one in image.iterdir()), reverse=True)
    print(f"{ours / MEGABYTE:.0f} MB without the base", parts[:4])
    assert ours + BASE < LIMIT, parts
    left = {one.name for one in image.iterdir()}
    assert left == {".venv", "src", "edge", "router", "workers", "shared", "bench", "build", "LICENSE", "README.md", "pyproject.toml"}  # fmt: skip


def test_nothing_that_serves_or_builds_is_inside(image: Path) -> None:
    names = {one.name for one in image.rglob("*")}
    assert not names & {
        "postgres",
        "initdb",
        "psql",
        "nats-server",
        "pip",
        "pytest",
        "mypy",
        "setuptools",
        ".mypy_cache",
    }
    assert {"pg_dump", "pg_restore"} <= names


def test_every_module_can_be_imported_and_the_message_path_is_compiled(image: Path) -> None:
    code = """
import importlib, json, pkgutil, rookery, rookery._compiled as compiled
broken = {}
for one in pkgutil.walk_packages(rookery.__path__, "rookery."):
    if one.name.endswith("__main__"): continue
    try: importlib.import_module(one.name)
    except BaseException as error: broken[one.name] = repr(error)
from rookery.embedded.binaries import tools
print(json.dumps([compiled.state, broken, sorted(tools("pg_dump")), sorted(tools("pg_restore"))]))
"""
    done = subprocess.run([str(image / ".venv/bin/python"), "-c", code], capture_output=True, text=True, check=False,
                          env={"PATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    state, broken, dumps, restores = json.loads(done.stdout)
    assert state == "compiled"
    assert broken == {}
    assert dumps == restores
    assert max(dumps) >= 18


def test_a_url_of_a_bucket_is_signed_without_the_descriptions_of_services(image: Path) -> None:
    code = """
from rookery.workers.upload.signing import Signer
print(Signer("KEY", "secret", "eu-test-1").url("PUT", "https://s3.example.org/files/abc", 600, {"content-length": "5"}, {}))
"""
    done = subprocess.run([str(image / ".venv/bin/python"), "-c", code], capture_output=True, text=True, check=False,
                          env={"PATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    assert "X-Amz-SignedHeaders=content-length%3Bhost&X-Amz-Signature=" in done.stdout, done.stderr


def test_a_cluster_runs_from_it_beside_postgres_and_nats_of_others(
    image: Path, tmp_path: Path, empty_database_url: str, nats_url: str
) -> None:
    url = ("--database-url", empty_database_url)
    for words in (("--help",), ("bench", "--help"), ("migrate", *url), ("domain", "add", "localhost", *url)):
        done = rookery(image, *words)
        assert done.returncode == 0, done.stderr
    ready = tmp_path / "ready.json"
    command = [
        str(image / ".venv/bin/rookery"),
        "up",
        "--data",
        str(tmp_path / "data"),
        "--ready-file",
        str(ready),
        *url,
    ]
    command += [
        "--nats-url",
        nats_url,
        "--domain",
        "localhost",
        "--c2s-port",
        "0",
        "--c2s-tls-port",
        "0",
        "--http-port",
        "0",
    ]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
                                   preexec_fn=end_with_parent)  # fmt: skip
    try:
        until = time.monotonic() + 90
        while not ready.exists():
            assert time.monotonic() < until, (tmp_path / "log").read_text()[-3000:]
            assert running.poll() is None, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.2)
        made = rookery(image, "user", "add", "alice@localhost", "--generate", *url)
        assert made.returncode == 0, made.stderr
        told = json.loads(rookery(image, "status", "--data", str(tmp_path / "data"), "--json").stdout)
        assert told
    finally:
        running.terminate()
        assert running.wait(60) == 0
    file = tmp_path / "backup"
    kept = rookery(image, "backup", str(file), *url)
    assert kept.returncode == 0, kept.stderr
    assert file.stat().st_size > 1000
