"""What a cell, a model, a file's name or a person writes stays text on the page: nothing of it runs in the page's origin."""

import base64
import json
import re
from dataclasses import replace

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

EVIL = "<img src=x onerror=window.owned=1><script>window.owned=1</script><svg onload=window.owned=1>"
LINK = "[click](javascript:window.owned=1) <a href='javascript:window.owned=1'>here</a>"
FENCE = "```\n" + EVIL
NAME = "\"' onload=window.owned=1 x='<img src=x onerror=window.owned=1>.csv"


def unharmed(one):
    assert one.page.evaluate("window.owned") is None
    assert one.page.evaluate("document.querySelectorAll('[onerror], [onload], [href^=javascript]').length") == 0
    one.faults[:] = [fault for fault in one.faults if "Content Security Policy" not in fault and "404" not in fault]


def test_words_code_output_and_errors_stay_text(visit):
    cell = f"{EVIL} {LINK}\n<execute>\ncode = {EVIL!r}\nprint(code)\n'''{FENCE}'''\nraise ValueError(code)\n</execute>\n{EVIL}"
    one = visit().new({f"evil: {EVIL}": [cell, f"<solution>{EVIL} {LINK}\n\n{FENCE}\n\nThe end.</solution>"]})
    one.say(f"evil: {EVIL}")
    expect(one.text("The end.")).to_be_visible()
    one.idle()
    expect(one.page.locator(".said")).to_contain_text("<script>window.owned=1</script>")
    expect(one.page.locator(".cell .output").first).to_contain_text("onerror=window.owned=1")
    expect(one.page.locator(".answer").last).to_contain_text("<script>window.owned=1")
    expect(one.page.get_by_role("heading", level=1)).to_contain_text("evil: <img")
    unharmed(one)
    one.page.reload()
    expect(one.text("The end.")).to_be_visible()
    unharmed(one)


def test_html_of_a_cell_runs_without_the_pages_origin(visit):
    page = ("<p id=where>waiting</p><script>let got = [];"
            "for (const look of [() => document.cookie, () => parent.document.title, () => localStorage.length])"
            "  try { look(); got.push('reached') } catch { got.push('kept out') }"
            "where.textContent = got.join(', '); top.postMessage({codeactHeight: 1e9}, '*')</script>")
    cell = ("<execute>\nfrom IPython.display import HTML, display\n"
            f"class Page:\n    def _repr_html_(self): return {page!r}\nPage()\n</execute>").replace("from IPython.display import HTML, display\n", "")
    one = visit().new({"page": [cell, "<solution>Shown.</solution>"]})
    one.say("page")
    expect(one.text("Shown.")).to_be_visible()
    frame = one.page.frame_locator(".cell iframe")
    expect(frame.locator("#where")).to_have_text("kept out, kept out, kept out")
    assert one.page.locator(".cell iframe").get_attribute("sandbox") == "allow-scripts"
    assert one.page.locator(".cell iframe").bounding_box()["height"] <= 1200
    unharmed(one)


def test_names_of_files_and_their_contents_stay_text(visit):
    one = visit()
    one.new({"names": [f"<execute>\nopen({NAME.replace('/', '')!r}, 'w').write('a,b\\n' + {EVIL!r} + ',2\\n')\n</execute>", "<solution>Kept.</solution>"]})
    one.say("names")
    expect(one.text("Kept.")).to_be_visible()
    one.idle()
    one.button("Files").click()
    panel = one.page.locator(".q-drawer--right")
    expect(panel).to_contain_text("onerror=window.owned")
    panel.get_by_role("button").filter(has_text="visibility").click()
    expect(one.page.get_by_role("dialog").get_by_role("cell").first).to_contain_text("<script>")
    unharmed(one)


def test_variables_titles_and_arguments_of_tools_stay_text(visit):
    one = visit()
    cell = f"<execute>\nevil = {EVIL!r}\nprint(erase(name=evil))\n</execute>"
    one.new({"vars": [cell, "<solution>Asked.</solution>"]}, tools=one.site.chats.tools_allowed)
    one.say("vars")
    card = one.page.get_by_role("alertdialog")
    expect(card).to_contain_text("<script>window.owned=1</script>")
    card.get_by_role("button", name="Refuse").click()
    expect(one.text("Asked.")).to_be_visible()
    one.idle()
    one.button("Variables").click()
    expect(one.page.locator(".q-drawer--right")).to_contain_text("onerror=window.owned")
    one.site.chats.update(one.key, "local", title=EVIL)
    one.page.reload()
    expect(one.page.get_by_role("listitem").first).to_contain_text("<script>")
    unharmed(one)


def test_settings_branches_and_searches_stay_text(visit):
    one = visit().new({f"evil: {EVIL}": ["<solution>Done.</solution>"]})
    chats, key = one.site.chats, one.key
    options = replace(chats.summary(key, "local").options, instructions=f'{EVIL}" onload=window.owned=1 x="')
    chats.update(key, "local", options=options)
    one.say(f"evil: {EVIL}")
    expect(one.text("Done.")).to_be_visible()
    one.idle()
    chats.branch(key, "local", 0, label=EVIL)
    one.page.reload()
    one.button("Branches").click()
    expect(one.page.locator(".q-drawer--right")).to_contain_text("<script>")
    one.button("Settings").click()
    expect(one.page.get_by_role("textbox", name="Instructions")).to_have_value(re.compile("<script>"))
    one.page.keyboard.press("Escape")
    find = one.page.get_by_role("textbox", name="Search conversations")
    find.fill(EVIL)
    expect(find).to_have_value(EVIL)
    expect(one.page.get_by_role("listitem").first).to_contain_text("<img src=x")
    unharmed(one)


def test_a_picture_that_is_none_and_words_about_it_do_no_harm(visit):
    bad = json.dumps(base64.b64encode(b"\x89PNG no").decode())
    cell = ("<execute>\nclass Picture:\n    def _repr_mimebundle_(self, **_):\n"
            f"        return {{'image/png': {bad}, 'text/plain': {chr(34) + ' onerror=window.owned=1 x='!r}}}\nPicture()\n</execute>")
    one = visit().new({"picture": [cell, "<solution>Drawn.</solution>"]})
    one.say("picture")
    expect(one.text("Drawn.")).to_be_visible()
    one.idle()
    unharmed(one)


def test_what_a_model_invents_is_marked_and_folded(visit):
    reply = "<execute>\nprint(6 * 7)\n</execute>\nObservation: it is 43, I am sure"
    one = visit().new({"invent": [reply, "<solution>Real.</solution>"]})
    one.say("invent")
    expect(one.text("Real.")).to_be_visible()
    one.idle()
    expect(one.text("not real")).to_be_visible()
    expect(one.page.get_by_text("it is 43").locator("visible=true")).to_have_count(0)
    one.text("not real").click()
    expect(one.page.get_by_text("it is 43").locator("visible=true")).to_have_count(1)


def test_long_output_is_folded(visit):
    one = visit().new({"long": ["<execute>\nfor n in range(300): print('line', n)\n</execute>", "<solution>Long.</solution>"]})
    one.say("long")
    expect(one.text("Long.")).to_be_visible()
    one.idle()
    expect(one.page.get_by_text("line 299").locator("visible=true")).to_have_count(0)
    one.page.locator(".cell").get_by_text("lines").first.click()
    expect(one.page.get_by_text("line 299").locator("visible=true")).to_have_count(1)
