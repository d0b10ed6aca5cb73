"""Where values come from, who wins, and what is known of it afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sidecard.config.load import load
from sidecard.config.schema import Config
from tests.config.conftest import Refused, Taken, Write


def test_nothing_gives_the_defaults(taken: Taken) -> None:
    """With no file, no variable and no flag, it serves on loopback and one route is there."""
    loaded = taken()
    assert loaded.config == Config()
    assert loaded.config.listen.grpc == "127.0.0.1:7411"
    targets = loaded.config.routes["default"].targets
    assert [target.model for target in targets] == ["claude-sonnet-5-5", "claude-haiku-5-5"]
    assert targets[0].max_output_tokens is None
    assert (loaded.given, loaded.file) == (frozenset(), None)


def test_flags_win_over_environment_over_file_over_defaults(taken: Taken) -> None:
    """Each source overrides the fields that it sets, and leaves the others of their section."""
    text = "timeouts: {connect_s: 1, idle_s: 1, first_event_s: 2}"
    env = {"SIDECARD_TIMEOUTS__IDLE_S": "3", "SIDECARD_TIMEOUTS__FIRST_EVENT_S": "4"}
    loaded = taken(text, env, {"timeouts.first_event_s": "5"})
    assert loaded.config.timeouts.model_dump() == {
        "connect_s": 1, "idle_s": 3, "first_event_s": 5, "total_s": 600,
    }  # fmt: skip
    names = ("connect_s", "idle_s", "first_event_s")
    assert loaded.given == {f"timeouts.{name}" for name in names}


def test_an_overridden_mistake_is_none(taken: Taken) -> None:
    """A wrong value that a variable replaces does no harm."""
    loaded = taken("timeouts: {idle_s: soon}", {"SIDECARD_TIMEOUTS__IDLE_S": "3"})
    assert loaded.config.timeouts.idle_s == 3


def test_a_flag_s_mistake_names_the_command_line(refused: Refused) -> None:
    """A mistake of a flag is told as such, even where the file is wrong too."""
    assert refused("log: {level: loud}", None, {"log.level": "quiet"}) == [
        "log.level: expected debug, info, warning or error, got 'quiet' (command line)"
    ]


FLAGS = {
    "timeouts.idle": "timeouts.idle: unknown key; did you mean idle_s? (command line)",
    "": (
        "'': unknown key; expected one of listen, data_dir, upstream, routes, timeouts, "
        "retry, breaker, limits, admission, hedge, cache, input, redaction, budgets, prices, "
        "structured, log, traces (command line)"
    ),
    "timeouts": "timeouts: expected a mapping of names to settings, got 5 (command line)",
    "routes.default.targets.0.model": (
        "routes.default.targets.0.model: can't be set: routes.default.targets is a list, "
        "which is set as a whole (command line)"
    ),
    "log.level.x": (
        "log.level.x: can't be set: log.level is 'info', which is set as a whole (command line)"
    ),
}


@pytest.mark.parametrize("path", FLAGS)
def test_a_flag_that_sets_nothing_is_a_mistake(path: str, refused: Refused) -> None:
    """A flag for what doesn't exist is told, never silently dropped."""
    assert refused("log: {level: info}", None, {path: "5"}) == [FLAGS[path]]


def test_the_file_is_named_by_path_or_variable(write: Write) -> None:
    """$SIDECARD_CONFIG names the file, a path wins over it, an empty one is none."""
    path = write("log: {level: debug}")
    by_variable = load(None, {"SIDECARD_CONFIG": str(path)}, {})
    assert (by_variable.config.log.level, by_variable.file) == ("debug", path)
    assert load(path, {"SIDECARD_CONFIG": "/nonexistent"}, {}).file == path
    assert load(None, {"SIDECARD_CONFIG": ""}, {}).file is None


ENV = {
    "SIDECARD_LISTEN__UNIX_MODE": ("0660", "0660"),
    "SIDECARD_LISTEN__REFLECTION": ("false", False),
    "SIDECARD_LISTEN__GRPC": ("unix:///run/sidecard.sock", "unix:///run/sidecard.sock"),
    "SIDECARD_LISTEN__GRACE_S": (" 0 ", 0),
    "SIDECARD_UPSTREAM__API_KEY_FILE": ("/a #b: c", "/a #b: c"),
    "SIDECARD_UPSTREAM__BASE_URL": ("http://[::1]:80/", "http://[::1]:80"),
    "SIDECARD_UPSTREAM__MODELS": ('["claude-*", "!x"]', ("claude-*", "!x")),
    "SIDECARD_LOG__LEVEL": ('"debug"', "debug"),
    "SIDECARD_TIMEOUTS__IDLE_S": ("1e2", 100),
    "SIDECARD_RETRY__MAX_ATTEMPTS": ("5", 5),
    "SIDECARD_RETRY__BUDGET_FLOOR_PER_S": ("0", 0),
    "SIDECARD_BREAKER__MODE": ("forced_open", "forced_open"),
    "SIDECARD_LIMITS__REQUESTS_PER_MINUTE": ("null", None),
    "SIDECARD_ADMISSION__IN_FLIGHT": ("4", 4),
    "SIDECARD_HEDGE__ENABLED": ("true", True),
    "SIDECARD_LISTEN__ADMIN": ("~", None),
}


@pytest.mark.parametrize("name", ENV)
def test_variables_set_fields(name: str, taken: Taken) -> None:
    """A variable's value is read as YAML would, a list in its flow form."""
    text, expected = ENV[name]
    loaded = taken(None, {name: text})
    section, field = name.removeprefix("SIDECARD_").lower().split("__")
    assert getattr(getattr(loaded.config, section), field) == expected
    assert loaded.given == {f"{section}.{field}"}


def test_variables_set_routes(taken: Taken) -> None:
    """A route, or one field of one, can be set by a variable; others stay."""
    env = {
        "SIDECARD_ROUTES__DEFAULT__MAX_TOKENS": "7",
        "SIDECARD_ROUTES__FAST": "{targets: [{model: claude-haiku-5-5}]}",
    }
    loaded = taken(None, env)
    assert loaded.config.routes["default"].max_tokens == 7
    assert loaded.config.routes["fast"].targets[0].model == "claude-haiku-5-5"
    assert loaded.given == {"routes.default.max_tokens", "routes.fast.targets"}


def test_variables_set_a_route_s_own_sections(taken: Taken) -> None:
    """A field of a route's own section is set by its path, and its targets stay the default's."""
    loaded = taken(None, {"SIDECARD_ROUTES__DEFAULT__RETRY__MAX_ATTEMPTS": "1"})
    route = loaded.config.routes["default"]
    assert route.retry.model_dump(exclude_unset=True) == {"max_attempts": 1}
    assert len(route.targets) == 2
    assert loaded.given == {"routes.default.retry.max_attempts"}


UNKNOWN = {
    "SIDECARD_TIMEOUTS__IDEL_S": "did you mean SIDECARD_TIMEOUTS__IDLE_S?",
    "SIDECARD_TIMEOUTS_IDLE_S": "did you mean SIDECARD_TIMEOUTS__IDLE_S?",
    "SIDECARD_timeouts__idle_s": "did you mean SIDECARD_TIMEOUTS__IDLE_S?",
    "SIDECARD_CONFIGURATION": "did you mean SIDECARD_CONFIG?",
    "SIDECARD_ROUTES": "did you mean SIDECARD_ROUTES__<NAME>?",
    "SIDECARD_ROUTES__DEFAULT__MAX_TOKEN": "unknown variable",
    "SIDECARD_ROUTES__DEFAULT__RETRY__ATTEMPTS": "unknown variable",
    "SIDECARD_RETRY__MAX_ATTEMPT": "did you mean SIDECARD_RETRY__MAX_ATTEMPTS?",
    "SIDECARD_UPSTREAM__API_KEY": "upstream.api_key_file",
    "SIDECARD_LISTEN__PORT": "unknown variable",
    "SIDECARD_UPSTREAM__SERVICE_HOST": "unknown variable",
    "SIDECARD_LISTEN__PORT_7411_TCP": "unknown variable",
    "SIDECARD_QQQQQQQ": "expected SIDECARD_<SECTION>__<FIELD>",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_variables_are_mistakes(name: str, refused: Refused) -> None:
    """A variable that sets nothing is told, with the nearest name."""
    [problem] = refused(None, {name: "sensitive"})
    assert problem.startswith(f"{name}: unknown variable; ")
    assert UNKNOWN[name] in problem
    assert "sensitive" not in problem


def test_other_variables_are_left_alone(taken: Taken) -> None:
    """The client's variable, those that Kubernetes makes of a service, and empty ones are fine."""
    names = (
        "ADDRESS", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_7411_TCP",
        "PORT_7411_TCP_ADDR", "DEV_SERVICE_HOST", "DEV_PORT_7411_TCP_PROTO",
    )  # fmt: skip
    env = {f"SIDECARD_{name}": "tcp://10.0.0.1:7411" for name in names}
    assert taken(None, env | {"SIDECARD_LOG__LEVEL": "", "PATH": "x"}).given == frozenset()


def test_the_gateway_is_that_of_the_anthropic_package(taken: Taken) -> None:
    """$ANTHROPIC_BASE_URL is where calls go if nothing else is said, and counts as not set."""
    env = {"ANTHROPIC_BASE_URL": "https://gateway.example/"}
    loaded = taken("upstream: {models: []}", env)
    assert loaded.config.upstream.base_url == "https://gateway.example"
    assert loaded.given == {"upstream.models"}
    assert taken(None, env).config.upstream.base_url == "https://gateway.example"


OTHER_URLS: list[tuple[str, dict[str, str]]] = [
    ("upstream: {base_url: 'https://file.example'}", {}),
    ("{}", {"SIDECARD_UPSTREAM__BASE_URL": "https://variable.example"}),
    ("upstream: {sdk_client: bedrock}", {}),
]


@pytest.mark.parametrize(("text", "env"), OTHER_URLS)
def test_the_gateway_is_overridden(text: str, env: dict[str, str], taken: Taken) -> None:
    """File and variables win over $ANTHROPIC_BASE_URL, which no other cloud's client takes."""
    expected = taken(text, env).config.upstream.base_url
    found = taken(text, env | {"ANTHROPIC_BASE_URL": "ftp://not-even-looked-at"})
    assert found.config.upstream.base_url == expected


def test_a_wrong_gateway_is_told_by_its_own_name(refused: Refused) -> None:
    """$ANTHROPIC_BASE_URL is checked as the field is, and the key never sent in clear."""
    [problem] = refused(None, {"ANTHROPIC_BASE_URL": "http://gateway.example"})
    assert problem.startswith("upstream.base_url: expected https, ")
    assert problem.endswith(" (environment variable ANTHROPIC_BASE_URL)")


def test_a_remote_address_can_be_allowed(taken: Taken) -> None:
    """With insecure any address may be listened on for calls, with allow_remote for the rest."""
    text = "listen: {insecure: true, grpc: '[::]:0', allow_remote: true, admin: '0.0.0.0:7412'}"
    listen = taken(text).config
    assert (listen.listen.grpc, listen.listen.admin) == ("[::]:0", "0.0.0.0:7412")


@pytest.mark.parametrize("admin", ["127.0.0.1:0", "localhost:1", "'[::1]:7412'", "null", "~"])
def test_the_admin_address_is_a_loopback_port_or_none(admin: str, taken: Taken) -> None:
    """Every loopback port will do, and null is no admin server."""
    found = taken(f"listen: {{admin: {admin}}}").config.listen.admin
    assert found == (None if admin in ("null", "~") else admin.strip("'"))


@pytest.mark.parametrize("address", ["localhost:0", "[::1]:7411", "127.9.9.9:1"])
def test_every_loopback_address_is_fine(address: str, taken: Taken) -> None:
    """Names and addresses of this machine need no permission."""
    assert taken(f"listen: {{grpc: '{address}'}}").config.listen.grpc == address


@pytest.mark.parametrize("mode", ["0600", "600", '"0600"', "0o600"])
def test_permissions_are_octal_however_written(mode: str, taken: Taken) -> None:
    """No way to write a mode makes another one of it."""
    assert int(taken(f"listen: {{unix_mode: {mode}}}").config.listen.unix_mode, 8) == 0o600


def test_a_configuration_is_immutable() -> None:
    """Nothing can be set after loading."""
    with pytest.raises(ValidationError, match="frozen"):
        Config().log.level = "debug"  # type: ignore[misc]


def test_loading_imports_nothing_heavy() -> None:
    """Without a file neither yaml nor what serves is imported, so that commands start fast."""
    code = (
        "import sys; from pathlib import Path; from sidecard.config import load, simulate; "
        "load.load(None, {'SIDECARD_LOG__LEVEL': 'debug'}, {}); "
        "print(*{'yaml', 'grpc', 'asyncio', 'aiohttp', 'anthropic'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == ""
