"""The manifests fit Kubernetes, the Prometheus operator, and one another."""

import copy
from pathlib import Path

import pytest
import yaml

from sidecard.config.load import load
from tests.support.source import ROOT
from tests.support.tools import K8S, Manifest, built, crd_mistakes, module, only

SIDECAR = "sidecard.dev/sidecar"
# Sidecar containers are on by default from 1.29 on, and stable from 1.33.
VERSIONS = ("1.29", "1.31", "1.33", "1.35", "1.37")
OPERATOR = "monitoring.coreos.com/v1"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schema(version: str, everything: list[Manifest]) -> None:
    """Kubernetes' own schemas take all of it, with no field that they don't know."""
    validate = module("kubernetes_validate").validate
    for manifest in everything:
        if manifest["apiVersion"] != OPERATOR:
            assert validate(manifest, version, strict=True) == version


def test_a_field_that_is_none_is_found(example: list[Manifest]) -> None:
    """The check of the schemas isn't idle: a misspelt field of the sidecar fails it."""
    schemas = module("kubernetes_validate")
    broken = copy.deepcopy(only(example, "Deployment"))
    broken["spec"]["template"]["spec"]["initContainers"][0]["startupProb"] = {}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(broken, VERSIONS[-1], strict=True)


def test_the_operators_objects_fit_its_crds(monitoring: list[Manifest]) -> None:
    """The Prometheus operator takes its objects, and would refuse broken ones."""
    theirs = [manifest for manifest in monitoring if manifest["apiVersion"] == OPERATOR]
    assert {manifest["kind"] for manifest in theirs} == {"PodMonitor", "PrometheusRule"}
    assert not crd_mistakes(theirs)
    broken = copy.deepcopy(theirs)
    only(broken, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["port"] = 7412
    del only(broken, "PrometheusRule")["spec"]["groups"][0]["name"]
    assert len(crd_mistakes(broken)) == 2


def test_the_operators_objects_have_no_misspelt_fields(monitoring: list[Manifest]) -> None:
    """A CRD drops what it doesn't know without a word: only these fields are used."""
    monitor = only(monitoring, "PodMonitor")["spec"]
    assert monitor.keys() <= {"namespaceSelector", "selector", "podMetricsEndpoints"}
    [endpoint] = monitor["podMetricsEndpoints"]
    assert endpoint.keys() <= {"port", "path", "interval", "scrapeTimeout", "relabelings"}
    for relabeling in endpoint["relabelings"]:
        assert relabeling.keys() <= {"sourceLabels", "targetLabel", "regex", "replacement"}
    for group in only(monitoring, "PrometheusRule")["spec"]["groups"]:
        assert group.keys() <= {"name", "rules"}
        for rule in group["rules"]:
            assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}


def test_the_monitor_and_the_policy_meet_the_sidecar(
    monitoring: list[Manifest], example: list[Manifest]
) -> None:
    """They select the label that the component sets, and name the port that metrics are on."""
    template = only(example, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"][SIDECAR] == "true"
    selector = {SIDECAR: "true"}
    policy = only(example, "NetworkPolicy", "sidecard")["spec"]
    monitor = only(monitoring, "PodMonitor")["spec"]
    assert monitor["selector"]["matchLabels"] == policy["podSelector"]["matchLabels"] == selector
    ports = {port["name"]: port["containerPort"] for port in sidecar_of(template)["ports"]}
    [endpoint] = monitor["podMetricsEndpoints"]
    assert f":{ports[endpoint['port']]}" in config(example)["listen"]["admin"]


def test_the_policy_leaves_the_apps_ports_open(base: list[Manifest]) -> None:
    """From anywhere, every port is as open as before but those of sidecard; 7412 is Prometheus'."""
    anyone, prometheus = only(base, "NetworkPolicy")["spec"]["ingress"]
    assert "from" not in anyone
    open_ports = {
        port
        for ports in anyone["ports"]
        if ports["protocol"] == "TCP"
        for port in range(ports["port"], ports["endPort"] + 1)
    }
    assert set(range(1, 65536)) - open_ports == set(range(7411, 7416))
    assert [port["port"] for port in prometheus["ports"]] == [7412]


def test_the_configuration_is_without_mistakes(base: list[Manifest], tmp_path: Path) -> None:
    """`sidecard serve` starts with what the base ships, and takes calls on loopback alone."""
    [text] = only(base, "ConfigMap")["data"].values()
    file = tmp_path / "sidecard.yaml"
    file.write_text(text)
    listen = load(file, {}, {}).config.listen
    assert listen.grpc.startswith("127.0.0.1:")
    assert (listen.admin, listen.health) == ("0.0.0.0:7412", "0.0.0.0:7415")


def test_a_configuration_of_ones_own_replaces_the_bases(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An overlay's `behavior: replace` changes the ConfigMap's name, and with it the pods."""
    folder = tmp_path_factory.mktemp("overlay")
    overlay = K8S.parent / "k8s/examples/app"
    (folder / "mine.yaml").write_text("log: {level: warning}\n")
    relative = "../" * (len(folder.resolve().parts) - 1) + str(overlay.resolve()).lstrip("/")
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [relative],
                "configMapGenerator": [
                    {
                        "name": "sidecard",
                        "namespace": "sidecard-example",
                        "behavior": "replace",
                        "files": ["sidecard.yaml=mine.yaml"],
                    }
                ],
            }
        )
    )
    manifests = built(folder)
    volumes = only(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    [name] = [v["configMap"]["name"] for v in volumes if v["name"] == "sidecard-config"]
    assert only(manifests, "ConfigMap", name)["data"]["sidecard.yaml"].startswith("log:")


def test_the_version_is_the_repositorys(example: list[Manifest]) -> None:
    """The manifests name the image of this version."""
    project = (ROOT / "pyproject.toml").read_text()
    version = project.split('version = "', 1)[1].split('"', 1)[0]
    image = sidecar_of(only(example, "Deployment")["spec"]["template"])["image"]
    assert image == f"registry.example.com/sidecard:{version}"


def sidecar_of(template: Manifest) -> Manifest:
    """Return a pod template's first init container."""
    first: Manifest = template["spec"]["initContainers"][0]
    assert first["name"] == "sidecard"
    return first


def config(manifests: list[Manifest]) -> Manifest:
    """Return the daemon's configuration in these manifests."""
    [text] = [
        m["data"]["sidecard.yaml"]
        for m in manifests
        if m["kind"] == "ConfigMap" and "sidecard.yaml" in m["data"]
    ]
    loaded: Manifest = yaml.safe_load(text)
    return loaded
