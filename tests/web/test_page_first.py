"""The first page in Chromium: three ways to a model, each tried; files that go with the first message."""

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from fake_openai import FakeServer, chunk, failed, streamed
from playwright.sync_api import expect
from test_page_files import GIVE
from test_page_ways import serious

from codeact.models import _local
from codeact.settings import settle

ANSWER = "<solution>That is all.</solution>"
READY = streamed(chunk("ready when you are"))


@pytest.fixture
def no_model(site, monkeypatch, tmp_path):
    """The site as somebody finds it who has started `codeact serve` for the first time."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(site.chats, "defaults", type(site.chats.defaults)(model=""))
    monkeypatch.setattr(site.chats, "powers", site.chats.powers)
    monkeypatch.setattr(_local, "USUAL", ())
    return monkeypatch


def way(one, name):
    return one.page.get_by_role("region", name=name)


def test_a_server_is_tried_by_its_address_and_used_from_then_on(visit, no_model):
    with FakeServer(failed(404, "the model `qwen3` does not exist"), READY) as server:
        one = visit().open()
        by_address = way(one, "A server with OpenAI's API")
        by_address.get_by_role("button", name="Try it").click()
        expect(by_address.get_by_text("give the server's address")).to_be_visible()
        by_address.get_by_role("textbox", name="Address").fill(server.url)
        by_address.get_by_role("textbox", name="Model").fill("qwen3")
        by_address.get_by_role("textbox", name="Key").fill("sk-mine")
        by_address.get_by_role("button", name="Try it").click()
        expect(by_address.get_by_text("It does not answer")).to_be_visible()
        by_address.get_by_role("textbox", name="Model").fill("qwen3:8b")
        by_address.get_by_role("button", name="Try it").click()
        expect(by_address.get_by_text("It answers: ready when you are")).to_be_visible()
        assert [(asked["model"], key) for asked, key in zip(server.requests, server.keys, strict=True)] == [
            ("qwen3", "Bearer sk-mine"), ("qwen3:8b", "Bearer sk-mine")]
        one.shot("first-run")
        assert serious(one) == []
        by_address.get_by_role("button", name="Use it").click()
        expect(one.text("What shall it be?")).to_be_visible()
    assert one.site.chats.defaults.model == "qwen3-8b"
    found = settle()
    assert (found.model, found.base_url) == ("openai:qwen3:8b", server.url)


def test_models_that_run_on_the_machine_are_found_and_tried(visit, no_model):
    with FakeServer(READY, models=["tiny", "larger"]) as server:
        one = visit().open()
        here = way(one, "A model on this machine")
        expect(here.get_by_text("None was found. Start one")).to_be_visible()
        no_model.setattr(_local, "USUAL", (_local.Place("Ollama", int(server.url.split(":")[2].removesuffix("/v1"))),))
        here.get_by_role("button", name="Look again").click()
        here.get_by_role("combobox", name="Model").click()
        one.page.get_by_role("option", name="larger (Ollama)").click()
        here.get_by_role("button", name="Try it").click()
        expect(here.get_by_text("It answers: ready")).to_be_visible()
    assert server.requests[0]["model"] == "larger"


def test_a_provider_is_tried_with_a_key_and_what_is_missing_is_told(visit, no_model):
    with FakeServer(READY) as server:
        one = visit(color_scheme="dark").open()
        provider = way(one, "A provider")
        provider.get_by_role("button", name="Use it").click()
        expect(one.page.get_by_text("give a key; none is set (OPENAI_API_KEY)")).to_be_visible()
        no_model.setenv("OPENAI_BASE_URL", server.url)   # nothing of a test's leaves the machine
        provider.get_by_role("textbox", name="Key").fill("sk-of-mine")
        provider.get_by_role("button", name="Try it").click()
        expect(provider.get_by_text("It answers: ready")).to_be_visible()
        assert (server.requests[0]["model"], server.keys[0]) == ("gpt-5-mini", "Bearer sk-of-mine")
        provider.get_by_role("combobox", name="Provider").click()
        one.page.get_by_role("option", name="Anthropic").click()
        expect(provider.get_by_role("textbox", name="Model")).to_have_value(re.compile("claude"))
        one.page.get_by_role("option", name="Anthropic").wait_for(state="hidden")
        one.shot("first-run-dark")
        assert serious(one) == []


def test_an_example_is_put_into_the_box_to_be_changed(visit):
    one = visit().open()
    one.page.wait_for_function("window.did_handshake")
    example = one.page.get_by_role("group", name="Examples").get_by_role("button").first
    words = example.inner_text()
    example.click()
    expect(one.box).to_have_value(words)
    expect(one.box).to_be_focused()
    expect(one.page.locator(".said")).to_have_count(0)   # nobody has sent it


def test_files_go_with_the_first_message_and_can_be_left_out_again(visit):
    one = visit().open()
    one.site.model.script["read what I gave"] = ["<execute>\nprint(open('words.txt').read().upper())\n</execute>", ANSWER]
    one.page.wait_for_function("window.did_handshake")
    expect(one.button("Attach files")).to_be_visible()
    one.page.evaluate(GIVE, ["words.txt", "given on the first page", "drop"])
    one.page.locator(".q-uploader input[type=file]").first.set_input_files(
        {"name": "other.txt", "mimeType": "text/plain", "buffer": b"x"})
    chips = one.page.locator(".attached .q-chip")
    expect(chips).to_have_count(2)
    one.shot("home-files")
    chips.filter(has_text="other.txt").get_by_role("button").click()
    expect(chips).to_have_count(1)
    one.say("read what I gave")
    expect(one.text("GIVEN ON THE FIRST PAGE")).to_be_visible()
    expect(one.page).to_have_url(re.compile("/c/"))
    expect(one.page.locator(".said")).to_contain_text("words.txt")
    expect(one.page.locator(".said")).not_to_contain_text("other.txt")


@pytest.mark.parametrize("keys", ["Control+Enter", "Shift+Enter"])
def test_keys_run_a_cell_that_is_written_or_changed_and_escape_leaves_it(visit, keys):
    one = visit().new({"cells": ["<execute>\nx = 1\nprint('x is', x)\n</execute>", ANSWER]})
    one.say("cells")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()
    box = one.page.get_by_role("dialog")
    for leave in (True, False):
        one.button("A cell of your own").click()
        box.get_by_role("textbox").fill("print('mine:', x + 41)")
        one.shot("own-cell")
        one.page.keyboard.press("Escape" if leave else keys)
        expect(box).to_have_count(0)
    expect(one.text("mine: 42")).to_have_count(1)
    one.idle()
    change = one.page.get_by_role("button", name="Change this cell and run again from here").first
    change.click()
    expect(box.get_by_role("textbox")).to_be_focused()
    one.page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    change.click()
    box.get_by_role("textbox").fill("x = 7\nprint('x is', x)")
    one.page.keyboard.press(keys)
    expect(one.text("x is 7")).to_be_visible()
    expect(box).to_have_count(0)
    one.idle()


def test_shift_enter_begins_a_line_in_a_message_that_is_changed_and_ctrl_enter_sends_it(visit):
    one = visit().new({"two\nlines": [ANSWER], "lines": ["<solution>Both lines.</solution>"], "first": ["<solution>One.</solution>"]})
    one.say("first")
    expect(one.text("One.")).to_be_visible()
    one.idle()
    one.box.press("ArrowUp")
    writing = one.page.get_by_role("textbox", name="Say it in another way")
    writing.fill("two")
    writing.press("Shift+Enter")
    one.page.keyboard.type("lines")
    expect(writing).to_have_value("two\nlines")
    writing.press("Control+Enter")
    expect(one.text("Both lines.")).to_be_visible()
    expect(one.page.locator(".said .words")).to_have_text("two\nlines")
