"""What of a configuration is held until a restart, and that the rest isn't."""

import pytest

from sidecard.config.live import AT_START, held, is_live
from sidecard.config.schema import Config


def test_what_is_fixed_exists() -> None:
    """No name is left behind when a field is renamed."""
    for section, fields in AT_START.items():
        part = getattr(Config(), section)
        assert not fields or fields <= type(part).model_fields.keys(), section


@pytest.mark.parametrize(
    ("wanted", "waiting"),
    [
        ({"listen": {"grpc": "127.0.0.1:1"}}, ("listen.grpc",)),
        ({"data_dir": "/somewhere"}, ("data_dir",)),
        ({"timeouts": {"connect_s": 3, "idle_s": 5}}, ("timeouts.connect_s",)),
        ({"retry": {"max_attempts": 5}, "log": {"level": "debug"}}, ()),
        (
            {"cache": {"max_bytes": 9_000_000, "ttl_s": 5}, "log": {"format": "json"}},
            ("cache.max_bytes", "log.format"),
        ),
    ],
)
def test_what_cannot_change_stays(wanted: dict[str, object], waiting: tuple[str, ...]) -> None:
    """It is named and stays as it is; everything else is as wanted."""
    running, changed = Config(), Config.model_validate(wanted)
    config, found = held(running, changed)
    assert found == waiting
    for section in Config.model_fields:
        now, old, new = (getattr(one, section) for one in (config, running, changed))
        if not hasattr(now, "model_fields_set"):
            assert now == (new if is_live(section, "") else old)
            continue
        for field in type(now).model_fields:
            expected = new if is_live(section, field) else old
            assert getattr(now, field) == getattr(expected, field), (section, field)


def test_what_is_back_waits_no_more() -> None:
    """A change that is taken back is none."""
    running = Config()
    config, _ = held(running, Config.model_validate({"data_dir": "/somewhere"}))
    assert held(config, Config()) == (running, ())
