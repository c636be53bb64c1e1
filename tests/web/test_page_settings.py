"""The page's dialogs in Chromium: how a conversation is had, what it is called, what leaves it, what is shown of it."""

import json

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

ANSWER = "<solution>That is all.</solution>"
CELL = "<execute>\n%s\n</execute>"


def test_what_is_chosen_for_a_conversation_is_used_by_its_next_turn_alone(visit):
    one = visit().new({"before": ["<solution>As Python.</solution>"],
                       "after": [json.dumps({"name": "run_python", "arguments": {"code": "1"}}), ANSWER]})
    other = one.key
    one.new()
    one.say("before")
    expect(one.text("As Python.")).to_be_visible()
    one.idle()
    one.button("Model, format, tools, limits").click()
    box = one.page.get_by_role("dialog")
    expect(box.get_by_role("textbox", name="Model, as")).to_have_value("test")
    box.get_by_role("textbox", name="Model, as").fill("another")
    box.get_by_role("button", name="Try it").click()
    expect(box.get_by_text("It answers:")).to_be_visible()
    box.get_by_role("combobox", name="Actions are").click()
    one.page.get_by_role("option", name="JSON calls").click()
    box.get_by_role("combobox", name="Tools").click()
    one.page.get_by_role("option").first.click()
    one.page.keyboard.press("Escape")
    box.get_by_role("spinbutton", name="Turns for a message").fill("1")
    box.get_by_role("spinbutton", name="Dollars for a message").fill("0.5")
    box.get_by_role("spinbutton", name="Seconds for a cell").fill("7")
    box.get_by_role("textbox", name="Further words").fill("Be brief.")
    one.shot("settings")
    box.get_by_role("spinbutton", name="Tokens for a message").fill("-5")
    box.get_by_role("button", name="Use").click()
    expect(box.get_by_role("alert")).to_contain_text("max_tokens cannot be")
    box.get_by_role("spinbutton", name="Tokens for a message").fill("")
    box.get_by_role("button", name="Use").click()
    expect(box).to_have_count(0)
    one.say("after")
    expect(one.text("Ended at the limit of turns")).to_be_visible()
    one.idle()
    expect(one.page.get_by_role("status").filter(has_text="another")).to_be_visible()
    chosen, kept = (one.site.chats.summary(key, "local").options for key in (one.key, other))
    assert (chosen.model, chosen.format, chosen.max_turns, chosen.max_cost, chosen.timeout) == ("another", "json", 1, 0.5, 7)
    assert (chosen.tools, chosen.instructions) == (tuple(one.site.chats.tools_allowed), "Be brief.")
    assert kept.model == "test"
    system = one.site.model.sent[-1][0].content
    assert "Be brief." in system
    assert "erase" in system

