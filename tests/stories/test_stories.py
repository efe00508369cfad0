"""Every story on Rookery, and on Prosody where it is installed: that checks what we expect, not only what we do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.parser import read
from tests.stories.runner import perform
from tests.stories.targets import Target

_HERE = Path(__file__).parent
_FILES = sorted(_HERE.rglob("*.scs"))

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def _name(path: Path) -> str:
    return str(path.relative_to(_HERE).with_suffix(""))


@pytest.mark.parametrize("path", _FILES, ids=_name)
async def test_rookery(path: Path, rookery_target: Target) -> None:
    await perform(read(path), rookery_target)


@pytest.mark.parametrize("path", _FILES, ids=_name)
async def test_prosody(path: Path, prosody_target: Target) -> None:
    story = read(path)
    if reason := story.tags.get("skip-prosody"):
        pytest.skip(f"Prosody differs: {reason}")
    await perform(story, prosody_target)
