"""The Helm chart, rendered by Helm with three sets of values, against the schemas of Kubernetes.

A chart that Helm accepts may still fail in a cluster: none was at hand.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from eventstreams_site.config.config import load_config
from eventstreams_site.config.settings import Config
from streams.http.about import DESCRIPTION, NAME, VERSION

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "eventstreams"
DATA = ROOT / "tests" / "data"
HELM = shutil.which("helm", path=f"{ROOT / '.local' / 'bin'}:{os.environ['PATH']}")
KUBERNETES = ("1.27", "1.34")
"""The oldest version that the chart is for, and a new one."""
_skip = pytest.mark.skipif(HELM is None and "CI" not in os.environ, reason="Helm is missing: `make helm` builds it")


def needs_helm(test: Any) -> Any:
    """Slow, since Helm is built for them."""
    return pytest.mark.slow(_skip(test))


def values(name: str) -> dict[str, Any]:
    if name == "production":
        config = yaml.safe_load((DATA / "config.production.yaml").read_text())
        return {"config": config, "files": {"streamconfigs.json": (DATA / "streamconfigs.json").read_text()}}
    return dict(yaml.safe_load((DATA / "helm" / f"{name}.yaml").read_text()))


def helm(given: dict[str, Any], kubernetes: str = KUBERNETES[-1]) -> subprocess.CompletedProcess[str]:
    assert HELM is not None, "Helm is missing: `make helm` builds it"
    command = [HELM, "template", "es", str(CHART), "--kube-version", f"{kubernetes}.0", "--values", "-"]
    text = yaml.safe_dump(given, allow_unicode=True)
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


@cache
def rendered(name: str, kubernetes: str = KUBERNETES[-1]) -> list[dict[str, Any]]:
    done = helm(values(name), kubernetes)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def one(name: str, kind: str) -> dict[str, Any]:
    (found,) = [each for each in rendered(name) if each["kind"] == kind]
    return found


def container(name: str, kind: str = "Deployment") -> dict[str, Any]:
    (found,) = one(name, kind)["spec"]["template"]["spec"]["containers"]
    return dict(found)


@needs_helm
@pytest.mark.parametrize("kubernetes", KUBERNETES)
@pytest.mark.parametrize("name", ["small", "everything", "production"])
def test_what_is_rendered_is_what_kubernetes_knows(name: str, kubernetes: str) -> None:
    known = [each for each in rendered(name, kubernetes) if each["kind"] != "ServiceMonitor"]  # an operator's kind
    assert {"ConfigMap", "Deployment", "Service", "Job"} <= {each["kind"] for each in known}
    for each in known:
        kubernetes_validate.validate(each, kubernetes, strict=True)


@needs_helm
def test_each_kind_is_there_when_it_is_wanted() -> None:
    optional = {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor"}
    assert optional <= {each["kind"] for each in rendered("everything")}
    assert not optional & {each["kind"] for each in rendered("small")}
    assert one("everything", "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["metric"] == {
        "name": "eventstreams_connected_clients"
    }
    assert "replicas" not in one("everything", "Deployment")["spec"]  # the autoscaler's
    assert one("small", "Deployment")["spec"]["replicas"] == 2


@needs_helm
@pytest.mark.parametrize("name", ["small", "everything", "production"])
def test_pods_are_replaced_without_cutting_anybody(name: str) -> None:
    spec = one(name, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    drain = values(name)["config"].get("drain_seconds", Config().drain_seconds)
    assert drain + 3 < spec["template"]["spec"]["terminationGracePeriodSeconds"] < drain + 20
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    args = container(name)["args"]
    assert {args[args.index("--port") + 1], args[args.index("--ops-port") + 1]} == {
        str(each) for each in ports.values()
    }
    probes = {probe: container(name)[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {get["port"] for get in probes.values()} == {"ops"}
    assert probes["readinessProbe"]["path"] == "/readyz"
    assert probes["livenessProbe"]["path"] == "/healthz"


@needs_helm
@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_may_do_nothing_that_they_need_not(kind: str) -> None:
    pod = one("small", kind)["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    user = re.search(r"^USER (\d+):\1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert container("small", kind)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@needs_helm
def test_secrets_are_references() -> None:
    assert not [each for each in rendered("everything") if each["kind"] == "Secret"]
    env = {each["name"]: each for each in container("everything")["env"]}
    secret = {name: each["valueFrom"]["secretKeyRef"] for name, each in env.items() if "valueFrom" in each}
    assert secret == {
        "DATABASE_URL": {"name": "db", "key": "url"},
        "DJANGO_SECRET_KEY": {"name": "site", "key": "secret-key"},
        "EVENTSTREAMS_REDIS_URL": {"name": "redis", "key": "url"},
        "EVENTSTREAMS_KAFKA": {"name": "kafka", "key": "settings.yaml"},
    }


@needs_helm
def test_migrations_run_before_the_new_version() -> None:
    job = one("small", "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert container("small", "Job")["args"][:3] == ["python", "manage.py", "migrate"]
    assert container("small", "Job")["image"] == container("small")["image"] == f"eventstreams:{VERSION}"


@needs_helm
def test_everybody_else_is_kept_off_the_operations_port() -> None:
    spec = one("everything", "NetworkPolicy")["spec"]
    by_port = {rule["ports"][0]["port"]: rule.get("from") for rule in spec["ingress"]}
    wanted = values("everything")["networkPolicy"]
    assert by_port == {"http": wanted["from"], "ops": wanted["opsFrom"]}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert {rule["ports"][0]["port"] for rule in one("production", "NetworkPolicy")["spec"]["ingress"]} == {"http"}


@needs_helm
def test_the_operator_finds_the_operations_port() -> None:
    monitor = one("everything", "ServiceMonitor")["spec"]
    labels = monitor["selector"]["matchLabels"]
    (service,) = [
        each
        for each in rendered("everything")
        if each["kind"] == "Service" and labels.items() <= each["metadata"]["labels"].items()
    ]
    assert [port["name"] for port in service["spec"]["ports"]] == [monitor["endpoints"][0]["port"]] == ["ops"]


@needs_helm
def test_the_service_reads_the_production_configuration_from_the_pod(tmp_path: Path) -> None:
    data = one("production", "ConfigMap")["data"]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
    got = load_config({"EVENTSTREAMS_CONFIG": str(tmp_path / "config.yaml")})
    want = load_config({"EVENTSTREAMS_CONFIG": str(DATA / "config.production.yaml")})
    assert got.mediawiki_redacted_pages == want.mediawiki_redacted_pages
    assert got.allowed_streams == want.allowed_streams
    assert Path(str(got.stream_config_uri).removeprefix("file:")).name in data


WRONG: dict[str, dict[str, Any]] = {
    "an unknown key": {"replicaCount": 3},
    "no replica": {"replicas": 0},
    "a digest that is none": {"image": {"digest": "sha256:1234"}},
    "a password in the open": {"config": {"kafka": {"sasl.password": "x"}}},
    "Redis's URL in the open": {"config": {"redis_url": "redis://:x@redis"}},
    "a secret without a key": {"secrets": {"kafka": {"name": "kafka"}}},
    "a secret that is named empty": {"secrets": {"databaseUrl": {"name": ""}}},
    "a file in the configuration's place": {"files": {"config.yaml": "x"}},
    "a level that is none": {"logLevel": "LOUD"},
}


def innermost(value: dict[str, Any]) -> str:
    """The last key on the way to what is wrong; an error names it, or the one that holds it."""
    ((key, inner),) = value.items()
    return innermost(inner) if isinstance(inner, dict) and not {"name"} & inner.keys() else key


@needs_helm
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_with_their_name(wrong: str) -> None:
    given = copy.deepcopy(values("small"))
    for key, value in WRONG[wrong].items():
        given[key] = {**given.get(key, {}), **value} if isinstance(value, dict) else value
    done = helm(given)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
    assert innermost(WRONG[wrong]) in done.stderr


def test_the_chart_follows_the_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["name"], chart["version"], chart["appVersion"]) == (NAME, VERSION, VERSION)
    assert chart["description"] == DESCRIPTION
