"""The status page of a real daemon in a real browser: what it shows, to whom, and how."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.browser import Browser, browser
from tests.support.daemon import Daemon, running, settings
from tests.support.rpc import Caller, connected, fails, read

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
DRAWN = "document.querySelector('#targets table') !== null"


@asynccontextmanager
async def shown() -> AsyncIterator[tuple[Browser, Daemon, Caller, Simulator]]:
    """Run a daemon that has done something, and its page in a browser."""
    async with Simulator() as sim:
        env = settings(sim.base_url) | {
            "SIDECARD_CACHE__ENABLED": "true",
            "SIDECARD_RETRY__MAX_ATTEMPTS": "1",
            "SIDECARD_BREAKER__MINIMUM_CALLS": "2",
            "SIDECARD_LIMITS__REQUESTS_PER_MINUTE": "60",
            "SIDECARD_BUDGETS__LIMITS": json.dumps(
                [
                    {"name": "all", "dollars": 2},
                    {"name": "few", "calls": 30, "tenant": "*"},
                ]
            ),
        }
        async with running(env) as daemon, connected(daemon.address) as caller, browser() as page:
            for prompt in ("a", "a", "b"):
                await caller.Generate(pb.GenerateRequest(prompt=prompt))
            await read(caller.StreamGenerate(QUESTION))
            await page.open(f"http://{daemon.admin}/")
            await page.until(DRAWN)
            yield page, daemon, caller, sim


def texts(selector: str) -> str:
    return f"[...document.querySelectorAll('{selector}')].map((n) => n.innerText)"


async def test_what_happens_is_shown_as_it_happens() -> None:
    """Calls, the cache, and a breaker that opens while somebody looks; nothing is complained of."""
    async with shown() as (page, _, caller, sim):
        rows = await page.value(texts("#recent tbody tr"))
        assert len(rows) == 4
        assert "cache_exact" in rows[2]
        assert "25 %" in await page.value("document.querySelector('#cache').innerText")
        assert len(await page.value(texts("#latency svg"))) == 4
        sim.play(Script.of({"fault": "status", "status": 529, "times": "always"}))
        for number in range(3):
            await fails(caller.Generate(pb.GenerateRequest(prompt=f"other {number}")))
        chips = await page.until(
            f"{texts('#targets .chip.bad')}.length && {texts('#targets .chip')}"
        )
        assert "open" in chips
        assert "60 a minute" in await page.value("document.querySelector('#targets').innerText")
        assert page.complaints == []


async def test_budgets_burn_down() -> None:
    """What is left, spent and held of each, the scarcest first, and how it went since one looks."""
    async with shown() as (page, _, caller, _):
        first, second = await page.value(texts("#budgets tbody tr"))
        assert "few" in first
        assert "27 calls of 30 calls" in first
        assert "$2.00" in second
        await caller.Generate(pb.GenerateRequest(prompt="one more"))
        await page.until(f"{texts('#budgets tbody tr')}[0].includes('26 calls of 30 calls')")
        burnt = "document.querySelector('#budgets svg.burn')"
        told = await page.value(f"{burnt}.getAttribute('aria-label')")
        assert told == "left, since this page was opened: from 90 % to 87 %"
        drawn = await page.value(f"{burnt}.querySelector('polyline').getAttribute('points')")
        assert drawn.split()[0].endswith(",3.2")
        assert drawn.split()[-1] == "120.0,3.9"
        assert page.complaints == []


async def test_no_content_is_shown() -> None:
    """Neither in the page nor in what it reads."""
    async with shown() as (page, *_):
        for where in ("document.documentElement.outerHTML", "last"):
            assert "please say" not in await page.value(where)


async def test_it_can_be_used_by_keyboard() -> None:
    """Tab goes through everything in its order, Enter pauses, and a wide table can be scrolled."""
    async with shown() as (page, *_):
        seen = []
        for _ in range(7):
            await page.press("Tab")
            seen.append(await page.value("document.activeElement.id || 'skip'"))
            if seen[-1] == "pause":
                await page.press("Enter")
                pressed = "document.activeElement.getAttribute('aria-pressed')"
                assert await page.value(pressed) == "true"
        assert seen == ["skip", "pause", "targets", "places", "budgets", "recent", "routes"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (375, 800)], ids=["wide", "phone"])
async def test_it_fits(width: int, height: int, *, dark: bool, tmp_path: Path) -> None:
    """The page is no wider than its window, and its words stand out from their ground."""
    async with shown() as (page, *_):
        await page.size(width, height, dark=dark)
        assert await page.value("document.documentElement.scrollWidth") <= width
        for selector in ("td", "th", ".soft", ".good", "h2"):
            assert await page.value(_CONTRAST % selector) >= 4.5, selector
        folder = Path(os.environ.get("SIDECARD_TEST_PICTURES", str(tmp_path)))
        await page.picture(folder / f"page-{width}-{'dark' if dark else 'light'}.png")


# https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
_CONTRAST = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (n) => {
    const color = getComputedStyle(n).backgroundColor;
    return /, 0\\)$/.test(color) ? ground(n.parentElement) : color;
  };
  return Math.min(...[...document.querySelectorAll('%s')].map((n) => {
    const [a, b] = [light(getComputedStyle(n).color), light(ground(n))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }));
})()
"""


async def test_a_daemon_that_is_gone_is_told() -> None:
    """What is on the page stays, with a word that it is old."""
    async with shown() as (page, daemon, *_):
        daemon.process.kill()
        told = await page.until("document.querySelector('#news').innerText")
        assert "doesn't answer" in told
        assert await page.value(DRAWN)
