"""What `sidecard` and its commands take: a mistake is told with the usage that helps."""

import pytest

from sidecard.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["--wrong", "status"], "usage: sidecard [-h]"),
        (["status", "--wrong"], "usage: sidecard status [-h]"),
        (["cache", "purge", "--wrong"], "usage: sidecard cache purge [-h]"),
        (["cache", "purge", "--older-than", "soon"], "usage: sidecard cache purge [-h]"),
        (["reload", "more"], "usage: sidecard reload [-h]"),
    ],
)
def test_a_wrong_flag_shows_the_commands_own_usage(
    arguments: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what commands there are, of which one was found."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(usage)
