"""Programs that some tests need and that no machine has to have: found, or skipped, or missed.

They are looked for beside this Python first, and then on the PATH. A test without its program is
skipped, but fails where REQUIRE_TOOLS names the program: the gate tests everything.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.support.source import ROOT

K8S = ROOT / "deploy/k8s"
CRDS = ROOT / "tools/node_modules/@kubernetes-models"

Manifest = dict[str, Any]


def miss(name: str) -> None:
    """Skip the test for want of something, or fail it where that is required."""
    if name in os.environ.get("REQUIRE_TOOLS", "").split():
        pytest.fail(f"{name} is not installed, and REQUIRE_TOOLS has it", pytrace=False)
    pytest.skip(f"{name} is not installed")


def tool(name: str) -> str:
    """Return where a program is."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        miss(name)
    return str(found)


def module(name: str) -> ModuleType:
    """Return a module that is installed for the checks alone."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        miss(name)
        raise


def run(name: str, *arguments: str | Path, given: str | bytes | None = None) -> str:
    """Run a program and return all that it says; its failure is the test's."""
    text = given.decode() if isinstance(given, bytes) else given
    done = subprocess.run(
        [tool(name), *arguments], input=text, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def built(folder: Path) -> list[Manifest]:
    """Return the manifests that a kustomization makes."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns"
    return list(yaml.safe_load_all(done.stdout))


def crd_mistakes(manifests: list[Manifest]) -> list[str]:
    """Return what the Prometheus operator's CRDs find wrong."""
    node = tool("node")
    if not CRDS.is_dir():
        miss("@kubernetes-models")
    done = subprocess.run(
        [node, ROOT / "tools/crds.mjs"],
        input=json.dumps(manifests), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def only(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """Return the one manifest of a kind, and of a name where one is given."""
    [found] = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and (not name or manifest["metadata"]["name"] == name)
    ]
    return found
