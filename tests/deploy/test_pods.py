"""The pods that the component makes: restricted, in the right order, and with room to end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecard.config.caching import Cache
from sidecard.server.grpc_server import SERVICE
from tests.support.source import ROOT
from tests.support.tools import K8S, Manifest, built, only

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")
MIB = 1 << 20
# Measured by `make bench`, and told in docs/kubernetes.md.
IDLE_BYTES, STREAM_BYTES, STREAMS = 78_000_000, 46_000, 1_024
# With all streams open, while requests of 8 MiB come five at a time.
PEAK_BYTES = 390_000_000


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the pod templates' specifications."""
    for manifest in manifests:
        if manifest["kind"] in WORKLOADS:
            yield manifest["spec"]["template"]["spec"]


def breaches(pod: Manifest) -> Iterator[str]:
    """Yield what Pod Security's profile `restricted` forbids, each by its field."""
    yield from (
        f"{field} is set" for field in ("hostNetwork", "hostPID", "hostIPC") if field in pod
    )
    taken = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
    taken |= {"persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", ()):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - taken)
    shared = pod.get("securityContext", {})
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        own = {**shared, **container.get("securityContext", {})}
        name = container["name"]
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name}: capabilities.drop"
        if set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities.add"
        if own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0:
            yield f"{name}: runAsNonRoot"
        if own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        if own.get("privileged") or own.get("procMount", "Default") != "Default":
            yield f"{name}: privileged"
        if any("hostPort" in port for port in container.get("ports", ())):
            yield f"{name}: hostPort"


def test_the_pods_are_restricted(example: list[Manifest]) -> None:
    """All pods pass the profile `restricted`, which the example's namespace enforces."""
    found = list(pods(example))
    assert len(found) == 2
    assert not [breach for pod in found for breach in breaches(pod)]
    labels = only(example, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


LOOSE: dict[str, Manifest] = {
    "allowPrivilegeEscalation": {"allowPrivilegeEscalation": True},
    "capabilities.drop": {"capabilities": {}},
    "capabilities.add": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
    "runAsNonRoot": {"runAsUser": 0},
    "seccompProfile": {"seccompProfile": {"type": "Unconfined"}},
    "privileged": {"privileged": True},
}


@pytest.mark.parametrize("field", LOOSE)
def test_a_loose_pod_is_found(field: str, example: list[Manifest]) -> None:
    """Each rule of the profile finds a sidecar that breaks it."""
    pod = dict(next(pods(example)))
    sidecar = dict(pod["initContainers"][0])
    sidecar["securityContext"] = {**sidecar["securityContext"], **LOOSE[field]}
    pod["initContainers"] = [sidecar]
    assert list(breaches(pod)) == [f"sidecard: {field}"]


def test_the_sidecar_does_not_lean_on_the_pod(example: list[Manifest]) -> None:
    """It is restricted by its own words, and its root is read-only, whatever the app's pod says."""
    for pod in pods(example):
        alone = {"containers": [pod["initContainers"][0]], "volumes": pod["volumes"]}
        assert not list(breaches(alone))
        assert alone["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def overlay(folder: Path, workloads: list[Manifest]) -> list[Manifest]:
    """Return what base and component make of some workloads."""
    up = "../" * (len(folder.resolve().parts) - 1)
    (folder / "workloads.yaml").write_text(yaml.safe_dump_all(workloads))
    kustomization: dict[str, Any] = {
        "resources": ["workloads.yaml", up + str(K8S / "base").lstrip("/")],
        "components": [up + str(K8S / "components/sidecar").lstrip("/")],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return built(folder)


def workload(kind: str, **labels: str) -> Manifest:
    """Return a workload that has an init container and a volume of its own."""
    spec = {
        "initContainers": [{"name": "migrate", "image": "app"}],
        "containers": [{"name": "app", "image": "app"}],
        "volumes": [{"name": "own", "emptyDir": {}}],
    }
    group = "batch/v1" if kind == "Job" else "apps/v1"
    metadata = {"name": kind.lower(), "labels": labels}
    template = {"template": {"spec": spec}}
    return {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": template}


def test_the_component_goes_into_any_workload(tmp_path: Path) -> None:
    """The sidecar is first, so that the app's own init containers can call, and nothing is lost."""
    made = overlay(tmp_path, [workload(kind) for kind in WORKLOADS])
    for kind in WORKLOADS:
        pod = only(made, kind)["spec"]["template"]["spec"]
        assert [c["name"] for c in pod["initContainers"]] == ["sidecard", "migrate"]
        assert [c["name"] for c in pod["containers"]] == ["app"]
        assert "own" in {volume["name"] for volume in pod["volumes"]}


def test_a_workload_can_stay_without(tmp_path: Path) -> None:
    """The label `sidecard.dev/inject: "false"` keeps the component out."""
    made = overlay(tmp_path, [workload("Deployment", **{"sidecard.dev/inject": "false"})])
    pod = only(made, "Deployment")["spec"]["template"]["spec"]
    assert [c["name"] for c in pod["initContainers"]] == ["migrate"]


def test_it_is_a_native_sidecar_with_probes_over_grpc(example: list[Manifest]) -> None:
    """It stays beside the app, all three probes ask the health's own port, and none loops."""
    [text] = [m["data"]["sidecard.yaml"] for m in example if "sidecard.yaml" in m.get("data", {})]
    port = int(yaml.safe_load(text)["listen"]["health"].rpartition(":")[2])
    for pod in pods(example):
        sidecar = pod["initContainers"][0]
        assert sidecar["restartPolicy"] == "Always"
        asked = {
            name: sidecar[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")
        }
        assert {probe["port"] for probe in asked.values()} == {port}
        assert asked["readiness"]["service"] == SERVICE
        assert "service" not in asked["liveness"]
        probe = sidecar["livenessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 60


def test_there_is_room_for_the_streams(example: list[Manifest]) -> None:
    """Memory: the request holds an idle daemon, and the limit all permits with some to spare."""
    for pod in pods(example):
        resources = pod["initContainers"][0]["resources"]
        assert int(resources["requests"]["memory"].removesuffix("Mi")) * MIB > IDLE_BYTES
        limit = int(resources["limits"]["memory"].removesuffix("Mi")) * MIB
        assert limit > 2 * (IDLE_BYTES + STREAMS * STREAM_BYTES)
        assert limit > 1.25 * PEAK_BYTES
        assert "cpu" not in resources["limits"]


def test_a_job_ends_though_its_sidecar_never_starts(example: list[Manifest]) -> None:
    """A sidecar is started again and again; only the Job's own deadline ends that."""
    assert only(example, "Job")["spec"]["activeDeadlineSeconds"] > 0
    assert "activeDeadlineSeconds" in (ROOT / "docs/kubernetes.md").read_text()


def test_the_daemon_ends_within_the_pods_grace(example: list[Manifest]) -> None:
    """Its grace, and 2 s to tell, leave most of the default 30 s to the app, which ends first."""
    [text] = [m["data"]["sidecard.yaml"] for m in example if "sidecard.yaml" in m.get("data", {})]
    grace_s = yaml.safe_load(text)["listen"]["grace_s"]
    for pod in pods(example):
        assert grace_s + 2 <= pod.get("terminationGracePeriodSeconds", 30) / 3


def test_what_is_mounted_is_what_is_configured(example: list[Manifest]) -> None:
    """Config, key and data lie where the configuration and the arguments look for them."""
    [text] = [m["data"]["sidecard.yaml"] for m in example if "sidecard.yaml" in m.get("data", {})]
    settings = yaml.safe_load(text)
    for pod in pods(example):
        sidecar = pod["initContainers"][0]
        places = {mount["name"]: mount["mountPath"] for mount in sidecar["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert sidecar["args"][-1] == f"{places['sidecard-config']}/sidecard.yaml"
        [item] = volumes["sidecard-key"]["secret"]["items"]
        key_file = settings["upstream"]["api_key_file"]
        assert key_file == f"{places['sidecard-key']}/{item['path']}"
        assert settings["data_dir"] == places["sidecard-data"]
        size = volumes["sidecard-data"]["emptyDir"]["sizeLimit"]
        assert int(size.removesuffix("Mi")) * MIB > 1.5 * Cache().max_bytes
        assert not [mount for mount in sidecar["volumeMounts"] if "subPath" in mount]


def test_the_key_is_in_no_manifest_and_no_variable(example: list[Manifest]) -> None:
    """The Secret is made apart, and reaches the daemon as a file alone."""
    assert not [manifest for manifest in example if manifest["kind"] == "Secret"]
    for pod in pods(example):
        assert "env" not in pod["initContainers"][0]
        assert "envFrom" not in pod["initContainers"][0]
        others = [mount["name"] for c in pod["containers"] for mount in c.get("volumeMounts", ())]
        assert "sidecard-key" not in others


def test_the_page_has_the_same_figures(example: list[Manifest]) -> None:
    """docs/kubernetes.md tells the requests, the limit and the sizes that are shipped."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    pod = next(pods(example))
    resources = pod["initContainers"][0]["resources"]
    for figure in (*resources["requests"].values(), *resources["limits"].values(), "512Mi"):
        assert f"`{figure}`" in page
    for told in (f"idle | {IDLE_BYTES // 10**6} MB", f"at a time | {PEAK_BYTES // 10**6} MB"):
        assert told in page
    assert f"{STREAM_BYTES // 1000} KB; all 1,024 places taken" in page
