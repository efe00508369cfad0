"""What a process tells about itself, as it stands in a beat."""

from __future__ import annotations

import socket

from rookery.shared.cluster.about import About, here
from rookery.shared.cluster.assign import Place
from rookery.shared.config import Cluster


def test_it_comes_back_as_it_was_told() -> None:
    about = About("host", 42, 9090, 1_800_000_000, "1.2", "compiled", "east")
    assert About.read(about.pack()) == about


def test_other_versions_tell_less_or_more() -> None:
    assert About.read(()) == About()
    assert About.read(("host", "42")) == About("host", 42)
    assert About.read(("host", "x", "", "", "", "", "", "more")) == About("host")


def test_a_process_knows_where_it_is() -> None:
    assert here(Cluster(zone="east", host="node7")) == Place("east", "node7")
    assert here(Cluster()) == Place("", socket.gethostname())
