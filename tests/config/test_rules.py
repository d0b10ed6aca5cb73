"""What fields are to one another."""

import pytest

from tests.config.conftest import Refused, Taken

HERE = "(file sidecard.yaml, line 1)"
KEY_UNUSED = (
    "upstream.api_key_file: the anthropic package finds its own credentials, and would not use "
    "this key; drop upstream.api_key_file, or"
)
TOO_LONG = (
    "to be at most max_output_tokens of the route's first target (100), "
    "which would refuse every call that doesn't say"
)

MISTAKES = {
    "timeouts: {connect_s: 61, first_event_s: 60}": (
        "timeouts.connect_s: expected timeouts.connect_s (61) to be at most "
        f"timeouts.first_event_s (60) {HERE}"
    ),
    "timeouts: {connect_s: 61, total_s: 60}": (
        "timeouts.connect_s: expected timeouts.connect_s (61) to be at most "
        f"timeouts.total_s (60) {HERE}"
    ),
    "timeouts: {idle_s: 601, total_s: 600}": (
        "timeouts.idle_s: expected timeouts.idle_s (601) to be at most "
        f"timeouts.total_s (600) {HERE}"
    ),
    "listen: {admin: '127.0.0.1:7411'}": (
        "listen.admin: expected listen.admin and listen.grpc to be two addresses; "
        f"both take port 7411 {HERE}"
    ),
    "listen: {grpc: 'localhost:7412'}": (
        "listen.grpc: expected listen.admin and listen.grpc to be two addresses; "
        f"both take port 7412 {HERE}"
    ),
    "listen: {insecure: true, grpc: '0.0.0.0:1', admin: '127.0.0.1:1'}": (
        "listen.admin: expected listen.admin and listen.grpc to be two addresses; "
        f"both take port 1 {HERE}"
    ),
    "listen: {health: '127.0.0.1:7412'}": (
        "listen.health: expected listen.health and listen.admin to be two addresses; "
        f"both take port 7412 {HERE}"
    ),
    "listen: {health: '0.0.0.0:7415'}": (
        "listen.health: 0.0.0.0 can be reached from other machines, and there is no login; "
        f"listen on 127.0.0.1, or set listen.allow_remote to true {HERE}"
    ),
    "listen: {grpc: '0.0.0.0:7411', allow_remote: true}": (
        "listen.grpc: 0.0.0.0 can be reached from other machines, and what calls say would travel "
        "in clear; listen on 127.0.0.1 or a unix:/// path, or set listen.tls, or listen.insecure "
        f"to true {HERE}"
    ),
    "listen: {http: '10.0.0.1:7413', allow_remote: true}": (
        "listen.http: 10.0.0.1 can be reached from other machines, and what calls say would travel "
        f"in clear; listen on 127.0.0.1, or set listen.tls, or listen.insecure to true {HERE}"
    ),
    "listen: {grpc: 'unix:///s', tls: {cert_file: /c, key_file: /k}}": (
        "listen.tls: encrypts TCP addresses, and calls come by a socket's file alone; drop it "
        f"{HERE}"
    ),
    "upstream: {transport: direct, sdk_client: vertex}": (
        "upstream.transport: transport direct can't use sdk_client vertex; "
        f"expected sdk or auto {HERE}"
    ),
    "upstream: {transport: sdk, api_key_file: /k}": (
        f"{KEY_UNUSED} upstream.transport to send with the key {HERE}"
    ),
    "upstream: {sdk_client: vertex, api_key_file: /k}": (
        f"{KEY_UNUSED} upstream.sdk_client to send with the key {HERE}"
    ),
    "routes: {fast: {targets: [{model: m}]}}": (
        f"routes: expected a route named default too: calls that name no model take it {HERE}"
    ),
    "routes: {default: {targets: [{model: m}]}, claude-fast: {targets: [{model: m}]}}": (
        "routes.claude-fast: is also the name of a model that upstream.models allows, so that a "
        "call could mean either; expected another name, narrower patterns, or "
        f"upstream.models: [] {HERE}"
    ),
    "routes: {default: {max_tokens: 101, targets: [{model: m, max_output_tokens: 100}]}}": (
        f"routes.default.max_tokens: expected max_tokens (101) {TOO_LONG} {HERE}"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_values_that_do_not_go_together_are_told(text: str, refused: Refused) -> None:
    """Each is one problem, which names both and what to do."""
    assert refused(text) == [MISTAKES[text]]


FINE = [
    "listen: {grpc: '127.0.0.1:0', admin: '127.0.0.1:0'}",
    "listen: {grpc: '127.0.0.1:1', admin: '127.0.0.2:1'}",
    "listen: {grpc: '127.0.0.1:1', admin: '[::1]:1'}",
    "listen: {grpc: 'unix:///run/s.sock', admin: '127.0.0.1:7411'}",
    "listen: {grpc: '127.0.0.1:7412', admin: null}",
    "listen: {allow_remote: true, admin: '0.0.0.0:7412', health: '[::]:7415'}",
    "upstream: {transport: sdk, sdk_client: vertex}",
    "upstream: {transport: direct, api_key_file: /k}",
    "upstream: {models: ['*']}",
    "{upstream: {models: []}, routes: {default: &r {targets: [{model: m}]}, claude-fast: *r}}",
    "routes: {default: {max_tokens: 100, targets: [{model: m, max_output_tokens: 100}]}}",
    "routes: {default: {targets: [{model: m}, {model: n, max_output_tokens: 1}]}}",
]


@pytest.mark.parametrize("text", FINE)
def test_values_that_go_together_are_fine(text: str, taken: Taken) -> None:
    """No rule refuses more than it says."""
    assert taken(text).given


def test_the_one_who_set_it_is_blamed(refused: Refused) -> None:
    """Of two fields that don't go together, the one that was set is named, not the default."""
    text = "routes:\n  default:\n    targets:\n    - model: m\n      max_output_tokens: 100\n"
    [problem] = refused(text)
    assert problem.startswith("routes.default.targets[0].max_output_tokens: expected max_tokens")
    assert problem.endswith(f"(4096) {TOO_LONG} (file sidecard.yaml, line 5)")


#                connect, first event, idle, total
FOLLOWING = {
    "{}": (5, 60, 60, 600),
    "total_s: 30": (5, 30, 30, 30),
    "total_s: 3": (3, 3, 3, 3),
    "first_event_s: 3": (3, 3, 60, 600),
    "connect_s: 61": (61, 61, 60, 600),
    "first_event_s: 900": (5, 900, 60, 900),
    "idle_s: 900, connect_s: 700": (700, 700, 900, 900),
    "connect_s: 20, total_s: 30": (20, 30, 30, 30),
}


@pytest.mark.parametrize("text", FOLLOWING)
def test_default_timeouts_make_way(text: str, taken: Taken) -> None:
    """A timeout that is set alone is taken, and the defaults move to where it leaves room."""
    timeouts = taken(f"timeouts: {{{text.strip('{}')}}}").config.timeouts
    found = (timeouts.connect_s, timeouts.first_event_s, timeouts.idle_s, timeouts.total_s)
    assert found == FOLLOWING[text]


TOGETHER = {
    "listen: {grpc: '0.0.0.0:1', admin: '0.0.0.0:2'}": ["listen.admin", "listen.grpc"],
    "listen: {grpc: '127.0.0.1:1', admin: 1}": ["listen.admin"],
    "listen: {grpc: '0.0.0.0:7411', grace_s: -1}": ["listen.grpc", "listen.grace_s"],
    "listen: {admin: '0.0.0.0:7412', allow_remote: maybe}": ["listen.allow_remote"],
    "listen: {grpc: '0.0.0.0:7411', insecure: maybe}": ["listen.insecure"],
    "listen: {http: '0.0.0.0:7413', tls: {cert_file: 3}}": [
        "listen.tls.cert_file",
        "listen.tls.key_file",
    ],
    "timeouts: {idle_s: 9, total_s: 8, connect_s: x}": ["timeouts.connect_s", "timeouts.idle_s"],
    "timeouts: {idle_s: 9, total_s: x}": ["timeouts.total_s"],
    "routes: {claude-a: {targets: []}}": [
        "routes", "routes.claude-a", "routes.claude-a.targets",
    ],
    "routes: {default: {max_tokens: 9, targets: [{max_output_tokens: 8}, {model: m}]}}": [
        "routes.default.targets[0].model",
    ],
    "routes: {default: {max_tokens: 9, targets: [{model: m, max_output_tokens: 8}, {}]}}": [
        "routes.default.max_tokens", "routes.default.targets[1].model",
    ],
    "{upstream: {models: x}, routes: {default: &r {targets: [{model: m}]}, claude-a: *r}}": [
        "upstream.models",
    ],
    "{logs: 1, upstream: {models: [a, 5]}, routes: {default: &r {targets: [{model: m}]}, a: *r}}": [
        "logs", "routes.a", "upstream.models[1]",
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", TOGETHER)
def test_no_mistake_hides_another(text: str, refused: Refused) -> None:
    """Rules hold between what is good, and say nothing about what is wrong already."""
    assert sorted(line.split(": ")[0] for line in refused(text)) == sorted(TOGETHER[text])
