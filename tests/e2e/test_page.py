"""The status page of a real daemon in a real browser: what it shows, to whom, and how."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecard.simulator.script import Script
from sidecard.simulator.server import Simulator
from sidecard.v1 import generation_pb2 as pb
from tests.support.browser import Browser, browser
from tests.support.daemon import Daemon, running, settings
from tests.support.reloading import served, write
from tests.support.rpc import Caller, connected, fails, read

QUESTION = pb.GenerateRequest(prompt="please say something that takes a few words to say")
BUDGETS = [
    {"name": "all", "dollars": 1, "per": "day", "zone": "Europe/Berlin"},
    {"name": "each", "tokens": 50_000, "per": "hour", "window": "rolling", "tenant": "*"},
    {"name": "few", "calls": 9, "per": "month", "beyond": "warn"},
]
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
            "SIDECARD_BUDGETS__LIMITS": json.dumps(BUDGETS),
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
    """Each account has what is spent, reserved and left, its window, and what went while shown."""
    async with shown() as (page, _, caller, _):
        cards = await page.value(texts("#budgets li"))
        assert [card.split()[0] for card in cards] == ["few", "each", "all"], "the emptiest first"
        few, each, everything = cards
        assert "soft: warns" in few
        assert "6 calls" in few
        assert "each · default" in each
        assert "rolling hour, all free in" in each
        assert "hard: refuses" in everything
        assert "calendar day, Europe/Berlin, ends in" in everything
        bars = "[...document.querySelectorAll('#budgets .track')].map((n) => n.ariaLabel)"
        assert (await page.value(bars))[0] == (
            "3 calls spent, 0 calls reserved, 6 calls left of 9 calls"
        )
        left = "document.querySelector('#budgets .left:not(.unseen)').getAttribute('points')"
        at_first = (await page.value(left)).split()[-1].split(",")[1]
        await caller.Generate(pb.GenerateRequest(prompt="one more"))
        await page.until(f"({bars})[0].startsWith('4 calls spent')")
        fallen = (await page.value(left)).split()[-1].split(",")[1]
        assert float(fallen) > float(at_first), "lower on the page is less"
        assert page.complaints == []


async def test_what_is_kept_of_budgets_is_bounded() -> None:
    """Of a window that is looked at for long, the page keeps few points, the latest among them."""
    async with shown() as (page, *_):
        account = '{"window_s": 86400, "ends_in_s": 40000 - at, "limit": 9999, "left": 9999 - at}'
        fed = f"for (let at = 0; at < 5000; at++) sample('x', {account}, 1000 + at)"
        await page.value(f"(() => {{ {fed} }})()")
        kept = await page.value("samples.get('x')")
        assert 100 < len(kept) <= 240
        assert (kept[0]["left"], kept[-1]["left"]) == (9999, 5000)
        anew = '{"window_s": 60, "ends_in_s": 59, "limit": 9, "left": 9}'
        await page.value(f"sample('x', {anew}, 7000)")
        assert await page.value("samples.get('x')") == [{"at": 7000, "left": 9}]


async def test_no_content_is_shown() -> None:
    """Neither in the page nor in what it reads."""
    async with shown() as (page, *_):
        for where in ("document.documentElement.outerHTML", "last"):
            assert "please say" not in await page.value(where)


async def test_it_can_be_used_by_keyboard() -> None:
    """Tab goes through everything in its order, Enter pauses, and a wide table can be scrolled."""
    async with shown() as (page, *_):
        seen = []
        for _ in range(6):
            await page.press("Tab")
            seen.append(await page.value("document.activeElement.id || 'skip'"))
            if seen[-1] == "pause":
                await page.press("Enter")
                pressed = "document.activeElement.getAttribute('aria-pressed')"
                assert await page.value(pressed) == "true"
        assert seen == ["skip", "pause", "targets", "places", "recent", "routes"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height"), [(1280, 900), (390, 844), (360, 740)], ids=["wide", "phone", "small"]
)
async def test_it_fits(width: int, height: int, *, dark: bool, tmp_path: Path) -> None:
    """The page is no wider than its window, and its words stand out from their ground."""
    async with shown() as (page, *_):
        await page.size(width, height, dark=dark)
        assert await page.value("document.documentElement.scrollWidth") <= width
        if width < 400:
            # Whoever looks at a phone sees all of a table, too, without moving it sideways.
            edges = (
                "[...document.querySelectorAll('td')].map((n) => n.getBoundingClientRect().right)"
            )
            assert await page.value(f"Math.max(...{edges})") <= width
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


async def test_a_refused_configuration_is_told(tmp_path: Path) -> None:
    """With each of its mistakes, as long as it is there."""
    file = tmp_path / "sidecard.yaml"
    write(file)
    hidden = "document.querySelector('#config-card').hidden"
    async with Simulator() as sim, served(sim, file) as (daemon, caller), browser() as page:
        await caller.Generate(QUESTION)
        await page.open(f"http://{daemon.admin}/")
        await page.until(DRAWN)
        assert await page.value(hidden) is True
        write(file, retry={"max_atempts": 3}, admission={"in_flight": -1})
        daemon.signal(signal.SIGHUP)
        told = await page.until(f"!{hidden} && document.querySelector('#config').innerText")
        assert "refused" in told
        assert "max_atempts" in told
        assert "in_flight" in told
        write(file, listen={"reflection": False})
        daemon.signal(signal.SIGHUP)
        told = await page.until(f"{texts('#config li')}.join() === 'listen.reflection'")
        write(file)
        daemon.signal(signal.SIGHUP)
        assert await page.until(hidden)
        assert page.complaints == []


async def test_a_daemon_that_is_gone_is_told() -> None:
    """What is on the page stays, with a word that it is old."""
    async with shown() as (page, daemon, *_):
        daemon.process.kill()
        told = await page.until("document.querySelector('#news').innerText")
        assert "doesn't answer" in told
        assert await page.value(DRAWN)
