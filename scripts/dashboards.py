"""Grafana dashboards from a table of panels; `make docs` writes them, a test holds their metrics against the registry."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple


class Panel(NamedTuple):
    """One chart: queries with the legends of their series, and Grafana's name of the unit."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


def _quantiles(metric: str, by: str = "") -> tuple[tuple[str, str], ...]:
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    return tuple(
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))",
            f"p{name}{legend}",
        )
        for share, name in ((0.5, "50"), (0.99, "99"))
    )


_CLIENTS: Final = (
    Panel("Connections", "short", (("sum by (transport) (rookery_c2s_connections)", "{{transport}}"),)),
    Panel("Sessions by edge", "short", (("sum by (pod) (rookery_c2s_sessions)", "{{pod}}"),)),
    Panel("Sessions by domain", "short", (("sum by (domain) (rookery_domain_sessions)", "{{domain}}"),)),
    Panel(
        "Logins",
        "ops",
        ((_rate("rookery_auth_total", "mechanism, result"), "{{mechanism}} {{result}}"),),
    ),
    Panel("Sessions that end", "ops", ((_rate("rookery_sessions_closed_total", "reason"), "{{reason}}"),)),
    Panel("Stream errors", "ops", ((_rate("rookery_stream_errors_total", "condition"), "{{condition}}"),)),
    Panel(
        "TLS handshakes",
        "ops",
        (
            (_rate("rookery_tls_handshakes_total", "protocol"), "{{protocol}}"),
            (_rate("rookery_tls_handshake_failures_total", "reason"), "failed: {{reason}}"),
        ),
    ),
    Panel("Held back by limits", "ops", ((_rate("rookery_ratelimit_total", "scope"), "{{scope}}"),)),
    Panel(
        "Certificates end in",
        "s",
        (("min by (name) (rookery_tls_cert_expiry_timestamp_seconds) - time()", "{{name}}"),),
    ),
    Panel("Registrations", "ops", ((_rate("rookery_registrations_total", "result"), "{{result}}"),)),
)
_MESSAGES: Final = (
    Panel("Stanzas", "ops", ((_rate("rookery_stanzas_total", "direction, kind"), "{{direction}} {{kind}}"),)),
    Panel("What became of them", "ops", ((_rate("rookery_route_total", "result"), "{{result}}"),)),
    Panel("Messages by domain", "ops", ((_rate("rookery_domain_messages_total", "domain"), "{{domain}}"),)),
    Panel("Group commits", "s", _quantiles("rookery_commit_seconds")),
    Panel("Rows of a group commit", "short", _quantiles("rookery_commit_rows")),
    Panel("Offline messages", "ops", ((_rate("rookery_offline_messages_total", "op"), "{{op}}"),)),
    Panel("Not accepted yet", "short", (("sum by (pod) (rookery_unaccepted_stanzas)", "{{pod}}"),)),
    Panel("Cannot be stored", "ops", ((_rate("rookery_store_refused_total", "reason"), "{{reason}}"),)),
    Panel(
        "Presence fan-out",
        "ops",
        (("sum(rate(rookery_presence_fanout_total[$__rate_interval]))", "recipients"),),
    ),
    Panel("Rosters", "ops", ((_rate("rookery_roster_ops_total", "op"), "{{op}}"),)),
)
_PROCESSES: Final = (
    Panel(
        "Not ready", "short", (("count by (component) (rookery_ready == 0) or vector(0)", "{{component}}"),)
    ),
    Panel("Partitions held", "short", (("sum by (kind, pod) (rookery_lease_held)", "{{kind}} {{pod}}"),)),
    Panel("Processor", "percentunit", ((_rate("process_cpu_seconds_total", "pod"), "{{pod}}"),)),
    Panel("Memory", "bytes", (("sum by (pod) (process_resident_memory_bytes)", "{{pod}}"),)),
    Panel("Latest wake-up of a minute", "s", (("max by (pod) (rookery_loop_lag_max_seconds)", "{{pod}}"),)),
    Panel("Calls over the bus", "s", _quantiles("rookery_nats_request_seconds", "kind")),
    Panel("Waiting for NATS", "bytes", (("sum by (pod) (rookery_nats_pending_bytes)", "{{pod}}"),)),
    Panel(
        "Bus",
        "ops",
        (
            (_rate("rookery_bus_items_total", "direction"), "items {{direction}}"),
            (_rate("rookery_bus_dropped_total", "reason"), "dropped: {{reason}}"),
            ("sum(rate(rookery_nats_reconnects_total[$__rate_interval]))", "connected again"),
        ),
    ),
    Panel("Database", "s", _quantiles("rookery_db_seconds")),
    Panel("Database reached", "short", (("min by (pod) (rookery_db_healthy)", "{{pod}}"),)),
    Panel("Versions", "short", (("count by (version) (rookery_build_info)", "{{version}}"),)),
    Panel(
        "Without the compiled path", "short", (("count(rookery_compiled == 0) or vector(0)", "processes"),)
    ),
)

#: Name of the file and title of each dashboard, with its panels.
DASHBOARDS: Final = {
    "clients": ("Rookery: clients", _CLIENTS),
    "messages": ("Rookery: messages", _MESSAGES),
    "processes": ("Rookery: processes", _PROCESSES),
}


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": number % 2 * 12, "y": number // 2 * 8, "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def dashboard(name: str) -> str:
    """The JSON of one dashboard, as Grafana imports it."""
    title, panels = DASHBOARDS[name]
    model = {
        "uid": f"rookery-{name}",
        "title": title,
        "tags": ["rookery"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(model, indent=1) + "\n"
