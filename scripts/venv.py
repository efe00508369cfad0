"""Makes a virtual environment with pip, also where the system has no ensurepip (Debian without python3-venv).

`python3 scripts/venv.py DIRECTORY`. In turn: the usual way; an environment without pip, filled by the system's pip; or by
the pinned pip wheel from the package index that pip itself is configured for. Only the standard library, since nothing else is there yet.
"""

import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

PIP = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
REMEDY = "install what it needs: apt install python3-venv (as root), then try again"


def main() -> int:
    """Make the environment; returns the exit code."""
    if sys.version_info < (3, 11):
        return fail(
            f"Rookery needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.12 ..."
        )
    target = Path(sys.argv[1])
    python = target / "bin" / "python"
    if works([python, "-m", "pip", "--version"]):
        return 0
    if target.exists():
        shutil.rmtree(target)
    if not works([sys.executable, "-c", "import ensurepip"]) or not works(
        [sys.executable, "-m", "venv", target]
    ):
        shutil.rmtree(target, ignore_errors=True)
        if not works([sys.executable, "-m", "venv", "--without-pip", target]):
            return fail(f"cannot make a virtual environment in {target}: {REMEDY}")
        if not (with_system_pip(python) or with_downloaded_pip(python)):
            shutil.rmtree(target, ignore_errors=True)
            return fail(f"this Python cannot install pip: {REMEDY}")
    return 0


def fail(text: str) -> int:
    """One line for the person at the terminal."""
    sys.stderr.write(f"{text}\n")
    return 1


def works(argv: list) -> bool:
    """Whether a command ends well; its output is not shown."""
    try:
        return (
            subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
            == 0
        )
    except OSError:
        return False


def with_system_pip(python: Path) -> bool:
    """The system's pip can install into another environment (pip 22.3 or newer)."""
    requirement = "pip==" + PIP.split("-")[1]
    return works([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", requirement])


def with_downloaded_pip(python: Path) -> bool:
    """A wheel of pip runs from its zip file: let it install itself."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder) / PIP
        try:
            wheel.write_bytes(download())
        except (OSError, ValueError) as error:
            fail(f"cannot download pip: {error}")
            return False
        argv = [python, f"{wheel}/pip", "install", "--quiet", "--no-index", "--find-links", folder, "pip"]
        return subprocess.run(argv, check=False).returncode == 0


def download() -> bytes:
    """The pinned wheel. Raises OSError, or ValueError when it is not what was pinned."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    request = urllib.request.Request(
        index, headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"}
    )
    with urllib.request.urlopen(request, timeout=60, context=context) as answer:
        base, page = answer.url, answer.read().decode()
    try:
        links = [file["url"] for file in json.loads(page)["files"] if file["filename"] == PIP]
    except ValueError:
        links = re.findall(rf'href="([^"]*{re.escape(PIP)}[^"]*)"', page)
    if not links:
        raise ValueError(f"{index} has no {PIP}")
    with urllib.request.urlopen(urljoin(base, links[0]), timeout=120, context=context) as answer:
        wheel = answer.read()
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise ValueError(f"{PIP} is not the file that was pinned")
    return wheel


if __name__ == "__main__":
    sys.exit(main())
