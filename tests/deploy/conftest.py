"""What kustomize makes of the manifests, built once."""

import pytest

from tests.support.tools import K8S, Manifest, built


@pytest.fixture(scope="session")
def base() -> list[Manifest]:
    """Return the base: the configuration and the network policy."""
    return built(K8S / "base")


@pytest.fixture(scope="session")
def monitoring() -> list[Manifest]:
    """Return what Prometheus and Grafana get."""
    return built(K8S / "monitoring")


@pytest.fixture(scope="session")
def example() -> list[Manifest]:
    """Return the example app with the component in it."""
    return built(K8S / "examples/app")


@pytest.fixture(scope="session")
def everything(
    base: list[Manifest], monitoring: list[Manifest], example: list[Manifest]
) -> list[Manifest]:
    """Return all of them."""
    return [*base, *monitoring, *example]
