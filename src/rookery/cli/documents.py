"""The documents that are generated from the code: `make docs` writes them, a house test finds those that are not up to date."""

from __future__ import annotations

from rookery.shared import reference
from rookery.shared.observe import metrics
from rookery.shared.xeps import registry


def generated() -> dict[str, str]:
    """Path from the root of the checkout -> text."""
    return {
        "docs/metrics.md": metrics.document(),
        "docs/settings.md": reference.render_markdown(),
        "docs/xeps.md": registry.render_markdown(),
        "docs/rookery.doap": registry.render_doap(),
    }
