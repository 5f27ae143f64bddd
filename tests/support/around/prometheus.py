"""Prometheus's programs from Debian's package, and the rules and the dashboard of deploy/."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import yaml

from tests.support.around.chromium import skip
from tests.support.site import ROOT

RULES = ROOT / "deploy/prometheus/rules.yml"
DASHBOARD = ROOT / "deploy/grafana/eventstreams.json"
_METRIC = re.compile(r"\b((?:eventstreams|process)_\w+)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def program(name: str) -> str:
    """The path of `promtool` or `prometheus`."""
    path = shutil.which(name)
    if path is None:
        skip(f"needs {name}: install it with `apt-get install prometheus`, then run `make test` again")
    return path


def alerts() -> list[dict[str, Any]]:
    """The alerts, as they are in the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard_queries() -> list[str]:
    """The queries of all panels, with values for Grafana's variables."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    return [re.sub(r"\$(job|instance)", ".+", each.replace("$__rate_interval", "5m")) for each in found]


def metrics_of(query: str) -> dict[str, dict[str, str]]:
    """The metrics that a query names: name → label → what it must match."""
    found: dict[str, dict[str, str]] = {}
    for name, matchers in _METRIC.findall(query):
        found.setdefault(name, {}).update(_MATCHER.findall(matchers))
    return found
