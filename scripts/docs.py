"""Writes the generated documents anew; `tests/house/test_docs.py` fails when one of them is not up to date."""

from pathlib import Path

from rookery.cli.documents import generated

for name, text in generated().items():
    path = Path(__file__).parent.parent / name
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        print(f"wrote {name}")  # noqa: T201  a script
