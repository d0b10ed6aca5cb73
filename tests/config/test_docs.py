"""The page about the configuration is that of the schema."""

from pathlib import Path

from sidecard.config import docs
from sidecard.config.schema import Config
from sidecard.config.tree import fields_of
from tests.config.conftest import Taken

PAGE = Path(__file__).parents[2] / "docs/config.md"


def test_the_page_is_not_stale() -> None:
    """docs/config.md is what `python -m sidecard.config.docs` prints."""
    assert PAGE.read_text(encoding="utf-8") == docs.page()


def test_every_field_is_on_the_page() -> None:
    """Each field has its row, with a description."""
    rows = [line for line in docs.page().splitlines() if line.startswith("| `")]
    names = {path[-1] for path in fields_of(Config)} - {"routes", "data_dir"}
    assert names <= {row.split("`")[1] for row in rows}
    assert "## `data_dir`" in docs.page()
    assert not [row for row in rows if row.endswith("None |")]


def test_the_example_loads(taken: Taken) -> None:
    """The page's example is a configuration without mistakes."""
    assert docs.EXAMPLE in docs.page()
    assert set(taken(docs.EXAMPLE).config.routes) == {"default", "thorough"}


def test_the_readme_lists_the_sections() -> None:
    """Between its marks the README has what the code says of each section."""
    readme = (PAGE.parents[1] / "README.md").read_text()
    _, _, rest = readme.partition("<!-- sections -->\n")
    assert rest.partition("\n<!-- /sections -->")[0] == docs.contents()
