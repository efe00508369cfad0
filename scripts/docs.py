"""Writes the generated documents and manifests anew; tests fail when one of them is not up to date."""

import sys
from pathlib import Path

from rookery.cli.documents import generated

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from scripts.manifests import manifests  # noqa: E402  found by the line above
from scripts.manpages import pages  # noqa: E402

for name, text in (generated() | manifests() | pages()).items():
    path = ROOT / name
    if not path.exists() or path.read_text("utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(f"wrote {name}")  # noqa: T201  a script
