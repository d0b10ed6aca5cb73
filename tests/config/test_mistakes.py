"""Every mistake is found, told by path, source and what was expected, and all at once."""

import pytest

from tests.config.conftest import Refused

HERE = "(file sidecard.yaml, line 1)"

MISTAKES = {
    "timeouts: {idle_s: soon}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got 'soon' {HERE}"
    ),
    "timeouts: {idle_s: 0}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got 0 {HERE}"
    ),
    "timeouts: {idle_s: true}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got true {HERE}"
    ),
    "timeouts: {idle_s: '3'}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got '3' {HERE}"
    ),
    "timeouts: {idle_s: [3]}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got a list {HERE}"
    ),
    "timeouts: {idle_s: {a: b}}": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got a mapping {HERE}"
    ),
    "timeouts: {idle_s: }": (
        f"timeouts.idle_s: expected a number of seconds greater than 0, got nothing {HERE}"
    ),
    "timeouts: {total_s: 1e999}": (
        f"timeouts.total_s: expected at most 86400 seconds, which is a day, got inf {HERE}"
    ),
    "timeouts: 5": f"timeouts: expected a mapping of names to settings, got 5 {HERE}",
    "timeout: {idle_s: 3}": f"timeout: unknown key; did you mean timeouts? {HERE}",
    "timeouts: {idle: 3}": f"timeouts.idle: unknown key; did you mean idle_s? {HERE}",
    "idle_s: 3": f"idle_s: unknown key; did you mean timeouts.idle_s? {HERE}",
    "log: {zzz: }": (
        "log.zzz: unknown key; expected one of level, format, sample, slow_s, content, "
        f"content_chars {HERE}"
    ),
    "zzz: ": (
        "zzz: unknown key; expected one of listen, data_dir, upstream, routes, timeouts, "
        "retry, breaker, limits, admission, hedge, cache, input, redaction, budgets, prices, "
        f"structured, log, traces {HERE}"
    ),
    "log: {level: loud}": (f"log.level: expected debug, info, warning or error, got 'loud' {HERE}"),
    "listen: {reflection: no}": f"listen.reflection: expected true or false, got 'no' {HERE}",
    "listen: {unix_mode: 0999}": (
        "listen.unix_mode: expected permissions in octal that let the owner read and write, "
        f"""as "0600", got '0999' {HERE}"""
    ),
    "listen: {unix_mode: '0466'}": (
        "listen.unix_mode: expected permissions in octal that let the owner read and write, "
        f"""as "0600", got '0466' {HERE}"""
    ),
    r'log: {level: "\uD800"}': f"log.level: expected text in UTF-8, got other bytes {HERE}",
    "listen: {max_message_bytes: 1.5}": (
        "listen.max_message_bytes: expected a whole number of bytes from 1024 to 536870912, "
        f"got 1.5 {HERE}"
    ),
    "listen: {grace_s: -1}": (
        f"listen.grace_s: expected a number of seconds, 0 or more, got -1 {HERE}"
    ),
    "upstream: {models: claude-*}": (f"upstream.models: expected a list, got 'claude-*' {HERE}"),
    "upstream: {models: [claude-*, 5]}": (
        f"upstream.models[1]: expected a pattern of model ids, as claude-*, got 5 {HERE}"
    ),
    "upstream: {api_key_file: secrets/key}": (
        f"upstream.api_key_file: expected an absolute path of a file that holds the key {HERE}"
    ),
    "routes: {default: {targets: []}}": (f"routes.default.targets: expected at least one {HERE}"),
    "routes: {default: {}}": (
        f"routes.default.targets: expected to be given, as it has no default {HERE}"
    ),
    "routes: {default: }": (
        f"routes.default: expected a mapping of names to settings, got nothing {HERE}"
    ),
    "routes: [a]": f"routes: expected a mapping of names to settings, got a list {HERE}",
    "routes: {default: {targets: [{model: m, max_tokens: 3}]}}": (
        f"routes.default.targets[0].max_tokens: unknown key; did you mean max_output_tokens? {HERE}"
    ),
    "routes: {default: {targets: [{model: m, max_output_tokens: 0}]}}": (
        "routes.default.targets[0].max_output_tokens: expected a whole number of tokens "
        f"from 1 to 10000000, got 0 {HERE}"
    ),
    "routes: {default: {targets: [{model: m}]}, Fast: {targets: [{model: m}]}}": (
        "routes.Fast: expected a route's name: up to 63 of a-z, 0-9, '.', '_' and '-', "
        f"the first a letter or digit, got 'Fast' {HERE}"
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_has_its_sentence(text: str, refused: Refused) -> None:
    """One mistake gives one problem: where, what was expected, what was there, and whose it is."""
    assert refused(text) == [MISTAKES[text]]


LONG = "a" * 110
ADDRESSES = {
    "0.0.0.0:7411": "0.0.0.0 can be reached from other machines",
    "[::]:7411": ":: can be reached from other machines",
    "[::ffff:0.0.0.0]:7411": "::ffff:0.0.0.0 can be reached from other machines",
    "[::ffff:10.0.0.1]:7411": "::ffff:10.0.0.1 can be reached from other machines",
    "0:7411": "0 can be reached from other machines",
    "*:7411": "* can be reached from other machines",
    "sidecard.internal:7411": "sidecard.internal can be reached from other machines",
    "localhost.example:7411": "localhost.example can be reached from other machines",
    # gRPC would take these for sockets without a file, and so without permissions.
    "unix-abstract:sidecard": "expected host:port",
    "unix-abstract:7411": "unix-abstract can be reached from other machines",
    "unix:@sidecard": "a socket's path is absolute",
    "127.0.0.1": "expected host:port",
    "127.0.0.1:70000": "expected host:port",
    "::1:7411": "expected host:port",
    ":7411": "expected host:port",
    "127.0.0.1: 7411": "without spaces",
    "unix://run/sidecard.sock": "a socket's path is absolute",
    "unix:///run/": "a socket's path is absolute",
    f"unix:///{LONG}": "at most 103 bytes",
    "": "expected an address",
}


ADMIN_ADDRESSES = {
    "unix:///run/admin.sock": "expected host:port, as 127.0.0.1:7412, or null for none",
    "off": "expected host:port, as 127.0.0.1:7412, or null for none",
    "false": "expected an address, as 127.0.0.1:7412, or null, got false",
    "127.0.0.1": "expected host:port",
    "'127.0.0.1: 7412'": "expected host:port",
    "' 127.0.0.1:7412'": "expected host:port",
    "''": "expected an address, as 127.0.0.1:7412, or null",
    "0.0.0.0:7412": "listen on 127.0.0.1, or set listen.allow_remote to true",
}


@pytest.mark.parametrize("address", ADMIN_ADDRESSES)
def test_an_unusable_admin_address_is_refused(address: str, refused: Refused) -> None:
    """The admin server takes host:port alone, and by default no other machine's."""
    [problem] = refused(f"listen: {{admin: {address}}}")
    assert problem.startswith("listen.admin: ")
    assert ADMIN_ADDRESSES[address] in problem


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_unusable_address_is_refused(address: str, refused: Refused) -> None:
    """An address must be one that can be listened on, and by default no other machine's."""
    [problem] = refused(f"listen: {{grpc: '{address}'}}")
    assert problem.startswith("listen.grpc: ")
    assert ADDRESSES[address] in problem


URLS = {
    "http://api.example.com": "expected https",
    "http://127.0.0.1.example.com": "expected https",
    "ftp://127.0.0.1": "expected a URL",
    "api.anthropic.com": "expected a URL",
    "https://": "expected a URL",
    "https://host:99999": "expected a URL",
    "https://[::1": "expected a URL",
    "https://host/a b": "expected a URL",
    "https://user:hunter2@host": "without a user and a password",
    "https://host/?a=b": "without a query",
    "https://api.anthropic.com/v1/": "without /v1",
}


@pytest.mark.parametrize("url", URLS)
def test_an_unusable_url_is_refused(url: str, refused: Refused) -> None:
    """A URL must be one that a key may be sent to, and never has its password repeated."""
    [problem] = refused(f'upstream: {{base_url: "{url}"}}')
    assert problem.startswith("upstream.base_url: ")
    assert URLS[url] in problem
    assert "hunter2" not in problem


def test_all_mistakes_are_told_at_once(refused: Refused) -> None:
    """Mistakes of the text, of keys, values and variables come together, each with its place."""
    text = """\
timeout:
  idle_s: 3
timeouts:
  idle_s: soon
  connect_s: -1
log: {level: loud}
log: {format: xml}
routes:
  a.b:
    targets:
      - {model: m}
      - {model: n, max_output_tokens: many}
"""
    env = {"SIDECARD_TIMEOUTS__TOTAL_S": "long", "SIDECARD_TIMEOUT__TOTAL_S": "3"}
    places = [(line.split(": ")[0], line.rpartition("(")[2]) for line in refused(text, env)]
    assert places == [
        ("timeout", "file sidecard.yaml, line 1)"),
        ("timeouts.idle_s", "file sidecard.yaml, line 4)"),
        ("timeouts.connect_s", "file sidecard.yaml, line 5)"),
        ("log", "file sidecard.yaml, line 7)"),
        ("log.format", "file sidecard.yaml, line 7)"),
        ("routes", "file sidecard.yaml, line 8)"),
        ("routes.'a.b'.targets[1].max_output_tokens", "file sidecard.yaml, line 12)"),
        ("SIDECARD_TIMEOUT__TOTAL_S", "environment)"),
        ("timeouts.total_s", "environment variable SIDECARD_TIMEOUTS__TOTAL_S)"),
    ]


def test_mistakes_come_in_the_order_of_the_file(refused: Refused) -> None:
    """Who mends a file goes through it from top to bottom, and meets each mistake once."""
    text = """\
log: {level: loud}
bogus: 1
listen: {grace_s: -1, grace_s: -1, grace_s: -1}
routes: {a: {targets: [{model: x}, {model: y, max_output_tokens: 0}, {}]}}
"""
    assert [line.split(": ")[0] for line in refused(text)] == [
        "log.level",
        "bogus",
        "listen.grace_s",
        "listen.grace_s",
        "routes.a.targets[1].max_output_tokens",
        "routes.a.targets[2].model",
        "routes",
    ]


@pytest.mark.parametrize("name", ["LOG__LEVEL", "UPSTREAM__BASE_URL", "TIMEOUTS__IDLE_S"])
def test_undecodable_variables_are_told_in_a_sentence(name: str, refused: Refused) -> None:
    """A variable of bytes that are no text is told as such, without them."""
    [problem] = refused(None, {f"SIDECARD_{name}": "\udcff"})
    assert problem.endswith(
        f": expected text in UTF-8, got other bytes (environment variable SIDECARD_{name})"
    )
