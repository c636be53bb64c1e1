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
    one.button("Settings").click()
    box = one.page.get_by_role("dialog")
    expect(box.get_by_role("textbox", name="Model, as")).to_have_value("test")
    box.get_by_role("textbox", name="Model, as").fill("another")
    box.get_by_role("button", name="Try it").click()
    expect(box.get_by_text("It answers:")).to_be_visible()
    box.get_by_role("combobox", name="The agent acts by").click()
    one.page.get_by_role("option", name="tool calls as JSON").click()
    box.get_by_role("combobox", name="Tools it may call").click()
    one.page.get_by_role("option").first.click()
    one.page.keyboard.press("Escape")
    box.get_by_role("spinbutton", name="Turns for a message").fill("1")
    box.get_by_role("spinbutton", name="Dollars for a message").fill("0.5")
    box.get_by_role("spinbutton", name="Seconds for a cell").fill("7")
    box.get_by_role("textbox", name="Instructions to the agent").fill("Be brief.")
    one.shot("settings")
    for name, wrong, right in (("Tokens for a message", "-5", "1 to 1,000,000,000"), ("Turns for a message", "1e30", "1 to 10,000"),
                               ("Seconds for a cell", "", "0.1 to 100,000")):
        number = box.get_by_role("spinbutton", name=name)
        before = number.input_value()
        expect(box.get_by_text(right)).to_be_visible()
        number.fill(wrong)
        box.get_by_role("button", name="Use").click()
        expect(box.get_by_role("alert").filter(has_text="This cannot be a limit")).to_contain_text(name)
        number.fill(before)
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

