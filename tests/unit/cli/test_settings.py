"""The configuration loader: layers, units, and mistakes told all at once in one clear line each."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rookery.shared import reference, settings
from rookery.shared.config import Config
from rookery.shared.settings import SettingsError, load
from rookery.shared.xeps import stream_management, vcard_temp


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rookery.toml"
    path.write_text(text)
    return path


def test_nothing_gives_the_defaults() -> None:
    assert load(None, {}).config == Config()


def test_environment_beats_the_file_and_overrides_beat_both(tmp_path: Path) -> None:
    path = write(tmp_path, "[edge]\nc2s_port = 1\nhttp_port = 2\nc2s_tls_port = 3\n")
    loaded = load(
        path,
        {"ROOKERY_EDGE__HTTP_PORT": "20", "ROOKERY_EDGE__C2S_TLS_PORT": "30"},
        {("edge", "c2s_tls_port"): 300},
    )
    edge = loaded.config.edge
    assert (edge.c2s_port, edge.http_port, edge.c2s_tls_port) == (1, 20, 300)
    assert loaded.sources["edge", "c2s_port"] == str(path)
    assert loaded.sources["edge", "http_port"] == "ROOKERY_EDGE__HTTP_PORT"


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("LIMITS__STANZA_BYTES", "256KiB", 262_144),
        ("LIMITS__STANZA_BYTES", "64kB", 64_000),
        ("LIMITS__IDLE_SECONDS", "5m", 300.0),
        ("LIMITS__IDLE_SECONDS", "500ms", 0.5),
        ("LIMITS__IDLE_SECONDS", "7", 7.0),
        ("ROUTER__COMMIT_DELAY_MS", "12", 12.0),
        ("ROUTER__COMMIT_DELAY_MS", "0.5s", 500.0),
        ("ROUTER__COMMIT_DELAY_MS", "3ms", 3.0),
        ("OFFLINE_STORAGE__DAYS", "30", 30),
        ("OFFLINE_STORAGE__DAYS", "48h", 2),
        ("OFFLINE_STORAGE__BYTES", "1MiB", 1_048_576),
        ("STREAM_MANAGEMENT__RESUME_SECONDS", "10m", 600),
        ("EDGE__ALLOW_PLAINTEXT", "off", False),
        ("EDGE__HOST", "127.0.0.1, ::1", ("127.0.0.1", "::1")),
        ("EDGE__WEBSOCKET_ORIGINS", "", ()),
        (
            "EDGE__WEBSOCKET_ORIGINS",
            '["https://a.example", "http://b.example:8080"]',
            ("https://a.example", "http://b.example:8080"),
        ),
    ],
)
def test_values_from_text(variable: str, text: str, value: object) -> None:
    section, name = variable.lower().split("__")
    loaded = load(None, {f"ROOKERY_{variable}": text})
    assert getattr(getattr(loaded.config, section), name) == value


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[egde]\n[edge]\nc2s_prot = 1\nhttp_port = 99999\n[bus]\nurl = "http://x"\n[limits]\nexempt_nets = ["x"]\n',
    )
    with pytest.raises(SettingsError) as caught:
        load(path, {"ROOKERY_LIMITS__STANZA_BYTES": "big", "ROOKERY_LOG__LEVEL": "loud"})
    assert caught.value.errors == [
        f"{path}: [egde]: unknown section: did you mean edge?",
        f"{path}: edge.c2s_prot: unknown setting: did you mean c2s_port?",
        f"{path}: edge.http_port: expected int <= 65535",
        "ROOKERY_LIMITS__STANZA_BYTES: expected a size such as 256KiB",
        "ROOKERY_LOG__LEVEL: invalid enum value 'loud'",
        "limits.exempt_nets: 'x' is not a network: write it as 192.0.2.0/24",
        "bus.url: must begin with nats:// or tls://",
    ]


def test_lists_that_are_none_and_origins_that_are_none() -> None:
    for text, mistake in (
        ("[x", 'ROOKERY_EDGE__WEBSOCKET_ORIGINS: expected a list such as a, b or ["a", "b"]'),
        (
            "chat.example.org",
            "edge.websocket_origins: 'chat.example.org' is not an origin: write it as https://chat.example.org",
        ),
        (
            "https://x/path",
            "edge.websocket_origins: 'https://x/path' is not an origin: write it as https://chat.example.org",
        ),
    ):
        with pytest.raises(SettingsError) as caught:
            load(None, {"ROOKERY_EDGE__WEBSOCKET_ORIGINS": text})
        assert caught.value.errors == [mistake]
    assert load(None, {"ROOKERY_EDGE__WEBSOCKET_ORIGINS": "*"}).config.edge.websocket_origins == ("*",)


def test_former_names_are_read_with_a_warning(tmp_path: Path) -> None:
    path = write(
        tmp_path, "[limits]\nvcard_bytes = 5\nresume_seconds = 7\n[stream_management]\nask_stanzas = 9\n"
    )
    loaded = load(path, {"ROOKERY_LIMITS__RESUME_SECONDS": "10m"})
    assert loaded.config.options(vcard_temp.Options).max_bytes == 5
    assert loaded.config.options(stream_management.Options).resume_seconds == 600
    assert loaded.config.options(stream_management.Options).ask_stanzas == 9
    assert loaded.warnings == [
        f"{path}: limits.vcard_bytes: is now called vcard_temp.max_bytes",
        f"{path}: limits.resume_seconds: is now called stream_management.resume_seconds",
        "ROOKERY_LIMITS__RESUME_SECONDS: is now called ROOKERY_STREAM_MANAGEMENT__RESUME_SECONDS",
    ]
    assert load(None, {}).warnings == []


@pytest.mark.parametrize(
    "text",
    [
        "[limits]\nvcard_bytes = 5\n[vcard_temp]\nmax_bytes = 7\n",
        "[vcard_temp]\nmax_bytes = 7\n[limits]\nvcard_bytes = 5\n",
    ],
)
def test_a_setting_has_one_name_in_a_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="former name"):
        load(write(tmp_path, text), {})


def test_sections_of_extensions_are_checked_as_others(tmp_path: Path) -> None:
    path = write(tmp_path, '[message_archive]\npage_max = 0\npgae = 1\n[registration]\nnets = ["x"]\n')
    with pytest.raises(SettingsError) as caught:
        load(
            path,
            {
                "ROOKERY_SERVICE_DISCOVERY__ITEMS": "@, muc.example.org Rooms",
                "ROOKERY_OFFLINE_STORAGE__DAYS": "4w",
            },
        )
    assert caught.value.errors == [
        f"{path}: message_archive.page_max: expected int >= 1",
        f"{path}: message_archive.pgae: unknown setting: did you mean page?",
        "ROOKERY_OFFLINE_STORAGE__DAYS: expected a time such as 30s or 5m",
        "registration.nets: 'x' is not a network: write it as 192.0.2.0/24",
        "service_discovery.items: '@' does not begin with an address",
    ]


def test_secret_from_a_file_and_never_in_an_error(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    loaded = load(None, {"ROOKERY_DATABASE__PASSWORD_FILE": str(secret)})
    assert loaded.config.database.password == "hunter2"
    assert "hunter2" not in settings.to_toml(loaded.config, secrets=False)
    path = write(tmp_path, "[database]\npassword = 12345\n")
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert "12345" not in str(caught.value)


def test_a_field_that_ends_in_file_is_itself() -> None:
    assert load(None, {"ROOKERY_BUS__CA_FILE": "/x/ca.pem"}).config.bus.ca_file == "/x/ca.pem"


@pytest.mark.parametrize("text", ["[edge", "edge = 1", "\xff"])
def test_a_broken_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert len(caught.value.errors) == 1
    assert "\n" not in caught.value.errors[0]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read: No such file"):
        load(tmp_path / "none.toml", {})


def test_plaintext_is_refused_beyond_loopback() -> None:
    with pytest.raises(SettingsError, match="only works on loopback"):
        load(None, {"ROOKERY_EDGE__ALLOW_PLAINTEXT": "true"})
    assert load(
        None, {"ROOKERY_EDGE__ALLOW_PLAINTEXT": "true", "ROOKERY_EDGE__HOST": "127.0.0.1"}
    ).config.edge.allow_plaintext


@given(st.text(max_size=40), st.text(max_size=40))
def test_toml_is_read_again_as_it_was(password: str, prefix: str) -> None:
    values = {("database", "password"): password, ("tls", "directory"): prefix}
    config = load(None, {}, values).config
    again = tomllib.loads(settings.to_toml(config, secrets=True))
    assert again["database"]["password"] == password
    assert again["tls"]["directory"] == prefix


def test_schema_names_every_section() -> None:
    assert set(settings.FIELDS) == set(reference.schema()["$defs"]["Config"]["properties"])


@pytest.mark.parametrize(
    ("url", "address", "token"),
    [
        ("nats://tok%2Fen@h:4", "nats://h:4", "tok/en"),
        ("nats://user:pw@h:4", "nats://user:pw@h:4", ""),
        ("nats://h:4,nats://i:4", "nats://h:4,nats://i:4", ""),
    ],
)
def test_nats_url_with_a_token(url: str, address: str, token: str) -> None:
    bus = settings.with_servers(Config(), url, "").bus
    assert (bus.url, bus.token) == (address, token)
    assert settings.with_servers(Config(), "", "") == Config()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@h/db", "postgresql://u:********@h/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("nats://token@h:1,nats://u:pw@i:1", "nats://********@h:1,nats://u:********@i:1"),
        ("nats://h:1", "nats://h:1"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert settings.without_password(url) == shown
