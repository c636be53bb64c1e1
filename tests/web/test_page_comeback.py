"""The page over the end of its server: `codeact serve` killed in mid-turn and started anew, while the page is open."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from fake_openai import FakeServer, chunk, streamed, used
from playwright.sync_api import expect

from ports import free_port

CELL = "<execute>\n%s\n</execute>"


class Replies:
    """What the model says to each message, a turn at a time, over HTTP."""

    def __init__(self):
        self.told, self.hold = {}, threading.Event()

    def __call__(self, handler):
        messages = self.server.requests[-1]["messages"]
        at = max(n for n, one in enumerate(messages) if one["role"] == "user" and self._asked(one) is not None)
        replies = self.told[self._asked(messages[at])]
        text = replies[min(sum(one["role"] == "assistant" for one in messages[at:]), len(replies) - 1)]
        begun, *rest = text.split("{hold}")
        pieces = iter([lambda: self.hold.wait(30) if rest else None])
        streamed(chunk(begun), chunk("".join(rest), finish="stop"), used(900, 60), each=lambda: next(pieces, int)())(handler)

    def _asked(self, message):
        words = str(message["content"])   # of several, as where the model is told what was cut off, the last
        return max((asked for asked in self.told if asked in words), key=words.rfind, default=None)


@pytest.fixture
def replies():
    found = Replies()
    with FakeServer(found) as server:
        found.server = server
        yield found
        found.hold.set()


@contextmanager
def serving(home, port, token, url):
    command = [sys.executable, "-m", "codeact", "serve", "--port", str(port), "--data", str(home), "--sandbox", "none",
               "--token-file", str(token), "--model", "openai:m"]
    environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as process:
        try:
            process.address = process.stdout.readline().strip()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("during", ["cell", pytest.param("reply", marks=pytest.mark.slow)])
def test_a_server_killed_in_mid_turn_and_started_anew_shows_the_turn_interrupted_once_and_goes_on(browser, replies, tmp_path, during):
    last = {"reply": "I am thinking.{hold}", "cell": CELL % "print('printed ' + 'early', flush=True)\nimport time\ntime.sleep(600)"}
    replies.told = {"keep a number": [CELL % "kept = 41\nprint('kept', kept)", "<solution>It is kept.</solution>"],
                    "now break": [last[during]],
                    "go on": [CELL % "print('still', kept + 1)", "<solution>All is well.</solution>"]}
    port = free_port()
    place = tmp_path / "home", port, tmp_path / "token", replies.server.url
    context = browser.new_context()
    page = context.new_page()

    def say(text):
        box = page.get_by_role("textbox", name="Message", exact=True)
        box.fill(text)
        box.press("Enter")

    with serving(*place) as process:
        page.goto(process.address)
        page.get_by_role("button", name="New chat").first.click()
        expect(page).to_have_url(re.compile("/c/"))   # what is typed before goes with the page that is left
        say("keep a number")
        expect(page.get_by_text("It is kept.")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        say("now break")
        expect(page.get_by_text({"reply": "I am thinking.", "cell": "printed early"}[during], exact=True)).to_be_visible()
        page.get_by_role("textbox", name="Message", exact=True).fill("a draft")
        process.send_signal(signal.SIGKILL)
    expect(page.get_by_text("Connection lost")).to_be_visible()
    with serving(*place):
        expect(page.get_by_text("The server ended here")).to_have_count(1)
        expect(page.get_by_text("Connection lost")).to_be_hidden()
        for once in ("kept 41", "It is kept.", {"reply": "I am thinking.", "cell": "printed early"}[during]):
            expect(page.get_by_text(once, exact=True)).to_have_count(1)
        expect(page.locator(".said")).to_have_count(2)
        expect(page.locator(".live")).to_have_count(0)
        expect(page.get_by_role("textbox", name="Message", exact=True)).to_have_value("a draft")
        replies.hold.set()
        say("go on")
        expect(page.get_by_text("All is well.")).to_be_visible()
        expect(page.get_by_text("still 42")).to_be_visible()
        expect(page.locator(".said")).to_have_count(3)
        listed = httpx.get(f"http://127.0.0.1:{port}/api/v1/conversations",
                           headers={"Authorization": f"Bearer {(tmp_path / 'token').read_text().strip()}"}).json()
        assert [(one["state"], one["n_turns"]) for one in listed] == [("idle", 4)]
    context.close()
