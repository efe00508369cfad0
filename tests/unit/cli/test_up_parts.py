"""The parts of `rookery up` that need no processes: plan, files, certificates, merged metrics."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from rookery.shared import settings
from rookery.shared.config import Config, Edge
from rookery.up.aggregate import merge
from rookery.up.certificates import Authority
from rookery.up.plan import (
    Plan,
    UpError,
    check_ports,
    child_specs,
    default_data_directory,
    open_data_directory,
    told_as_one_line,
)
from rookery.up.state import Running, read_running, write_running, write_whole

PLAN = Plan(config=Config(), data=None, edges=2, routers=1, workers=2)


def test_an_edge_shares_its_process_with_nobody() -> None:
    children = PLAN.children()
    assert [name for name, _ in children] == ["edge-1", "edge-2", "router-1", "worker-1", "worker-2"]
    assert all(kinds == ("edge",) for name, kinds in children if name.startswith("edge"))
    assert all(len(kinds) == 1 or "edge" not in kinds for _, kinds in children)


def test_children_get_the_servers_and_an_admin_port_of_their_own() -> None:
    spec = child_specs(PLAN, "nats://sometoken@127.0.0.1:1", "postgresql://u:pw@h/db", "/tls")[0]
    config = settings.loads(spec.config)
    assert (config.bus.url, config.bus.token) == ("nats://127.0.0.1:1", "sometoken")
    assert config.database.url == "postgresql://u:pw@h/db"
    assert config.tls.directory == "/tls"
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 0)
    own = Plan(config=settings.loads('[tls]\ndirectory = "/mine"'), data=None)
    assert settings.loads(child_specs(own, "", "", "/tls")[0].config).tls.directory == "/mine"


def test_a_port_given_twice_or_taken_is_refused() -> None:
    with pytest.raises(UpError, match="the same port"):
        check_ports(Config(edge=Edge(host=("127.0.0.1",), c2s_port=4000, http_port=4000)), 0)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(UpError, match=rf"port {port} on 127.0.0.1 is in use.*--http-port"):
            check_ports(Config(edge=Edge(host=("127.0.0.1",), c2s_port=0, c2s_tls_port=0, http_port=port)), 0)


def test_data_directory_of_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_directory() == tmp_path / "rookery"
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) == "/var/tmp")
    assert default_data_directory().parent == Path("/var/tmp")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_directory() == Path("/var/lib/rookery")


def test_a_data_directory_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    assert open_data_directory(tmp_path / "new" / "data").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UpError, match="choose another --data"):
        open_data_directory(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with pytest.raises(UpError, match="not a directory of this user"):
        open_data_directory(tmp_path / "link")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/d/nats.conf"),
            "/d/nats.conf: No space left.*make room",
        ),
        (OSError(errno.EROFS, "Read-only file system"), "/d: Read-only.*choose another --data"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/d/up.lock"),
            "up.lock: Permission.*choose another",
        ),
        (
            shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
            "/d: No space left.*make room",
        ),
    ],
)
def test_a_data_folder_that_refuses_is_one_line(error: OSError, words: str) -> None:
    for raised in (error, ExceptionGroup("", [ExceptionGroup("", [error])])):
        with pytest.raises(UpError, match=words), told_as_one_line(Path("/d")):
            raise raised


def test_errors_that_are_no_folder_s_stay_what_they_are() -> None:
    for error in (ConnectionResetError(errno.ECONNRESET, "reset"), ExceptionGroup("", [ValueError()])):
        with pytest.raises(type(error)), told_as_one_line(Path("/d")):
            raise error


def test_files_are_written_whole_with_their_mode(tmp_path: Path) -> None:
    running = Running(os.getpid(), "postgresql://u:pw@h/db", "nats://t@h", "rookery", 9, ("localhost",))
    write_running(tmp_path, running)
    assert (tmp_path / "cluster.json").stat().st_mode & 0o777 == 0o600
    assert read_running(tmp_path) == running
    write_whole(tmp_path / "ready", {"a": 1}, 0o644)
    assert json.loads((tmp_path / "ready").read_text()) == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster.json", "ready"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "domains": []}'])
def test_a_file_of_no_running_cluster_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    assert read_running(tmp_path) is None
    assert read_running(tmp_path / "missing") is None


def test_certificates_are_made_once_and_verify(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    assert authority.ensure("localhost")
    assert not authority.ensure("localhost")
    assert authority.ensure("xn--mnchen-3ya.example")
    assert authority.ensure("bücher.example")
    again = Authority(tmp_path / "tls")
    assert not again.ensure("bücher.example")
    leaf = x509.load_pem_x509_certificate((tmp_path / "tls/domains/localhost/fullchain.pem").read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(again.ca_file.read_bytes()))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert 360 < (leaf.not_valid_after_utc - datetime.now(UTC)).days < 398
    for key in tmp_path.rglob("*.key"):
        assert key.stat().st_mode & 0o077 == 0
    for key in tmp_path.rglob("privkey.pem"):
        assert key.stat().st_mode & 0o077 == 0


def test_a_new_authority_replaces_what_the_old_one_signed(tmp_path: Path) -> None:
    Authority(tmp_path / "tls").ensure("localhost")
    (tmp_path / "tls/ca.key").unlink()
    assert Authority(tmp_path / "tls").ensure("localhost")


def test_merged_metrics_keep_families_together() -> None:
    one = '# HELP a_total A.\n# TYPE a_total counter\na_total{x="1"} 2.0\n# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 1.0\nh_count 1.0\nh_sum 3.0\n'
    two = "# HELP a_total A.\n# TYPE a_total counter\na_total{} 5.0\n# TYPE g gauge\ng 1.0\ngarbage line\n"
    merged = merge({"edge-1": one, 'odd"name\\': two})
    families = {family.name: family for family in text_string_to_metric_families(merged)}
    assert [(s.labels, s.value) for s in families["a"].samples] == [
        ({"process": "edge-1", "x": "1"}, 2.0),
        ({"process": 'odd"name\\'}, 5.0),
    ]
    assert "garbage" not in merged
    assert merged.count("# TYPE a_total") == 1
    assert {sample.name for sample in families["h"].samples} == {"h_bucket", "h_count", "h_sum"}
    assert families["g"].samples[0].labels == {"process": 'odd"name\\'}
