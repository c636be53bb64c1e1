"""Ways through the page in Chromium: branches, the list of conversations, keys, what leaves it, light, dark and phone."""

import json
import re
import subprocess
import sys

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

ANSWER = "<solution>That is all.</solution>"
CELL = "I run **it**.\n<execute>\n%s\n</execute>"


def asked(one, text, answer="That is all."):
    one.say(text)
    expect(one.text(answer)).to_be_visible()
    one.idle()


def test_one_goes_on_from_after_a_cell_with_its_variables_and_back_by_the_branches(visit):
    one = visit().new({"count": [CELL % "x = 1", CELL % "x = 50\nprint('x is', x)", ANSWER],
                       "from there": [CELL % "print('then x was', x)", "<solution>As it was.</solution>"]})
    asked(one, "count")
    one.page.get_by_role("button", name="Go on from after this cell on a branch").first.click()
    expect(one.text("x is 50")).to_have_count(0)
    asked(one, "from there", "As it was.")
    expect(one.text("then x was 1")).to_be_visible()
    one.button("Branches").click()
    expect(one.page.get_by_text("2. from turn 1")).to_be_visible()
    one.button("Go to branch 1").click()
    expect(one.text("x is 50")).to_be_visible()
    expect(one.text("then x was 1")).to_have_count(0)
    one.button("Go to branch 2").click()
    expect(one.text("then x was 1")).to_be_visible()
    expect(one.page.get_by_text("2. from turn 1")).to_have_class(re.compile("bold"))


def test_a_message_done_again_is_answered_anew_and_the_first_answer_is_kept(visit):
    one = visit().new({"guess": ["<solution>Three.</solution>"]})
    asked(one, "guess", "Three.")
    one.site.model.script["guess"] = ["<solution>Seven.</solution>"]
    one.button("Do the last message again").click()
    expect(one.text("Seven.")).to_be_visible()
    expect(one.text("Three.")).to_have_count(0)
    expect(one.page.locator(".said")).to_have_count(1)
    one.button("Branches").click()
    one.button("Go to branch 1").click()
    expect(one.text("Three.")).to_be_visible()


def test_what_is_pinned_is_first_and_what_another_tab_names_or_deletes_is_seen_in_the_list(visit):
    one = visit().new({"an older one": [ANSWER]})
    asked(one, "an older one")
    older = one.key
    one.new({"a newer one": [ANSWER]})
    asked(one, "a newer one")
    rows = one.page.get_by_role("listitem")
    expect(rows.first).to_contain_text("a newer one")
    row = rows.filter(has_text="an older one")
    row.get_by_role("button").click()
    one.page.get_by_text("Pin", exact=True).click()
    expect(rows.first).to_contain_text("an older one")
    one.shot("pinned")
    one.site.chats.update(older, "local", title="of another name")
    expect(rows.first).to_contain_text("of another name")
    one.site.chats.delete(older, "local")
    expect(rows.first).to_contain_text("a newer one")
    expect(one.page.get_by_role("heading", level=1)).to_have_text("a newer one")


def test_what_is_exported_can_be_read_and_the_notebook_runs(visit, tmp_path):
    one = visit().new({"export me": [CELL % "numbers = [2, 3, 5]\nprint('the sum is', sum(numbers))", ANSWER]})
    asked(one, "export me")
    one.button("Share or export").click()
    one.shot("share")
    saved = {}
    for label, kind in (("Notebook, runs again", "ipynb"), ("Markdown", "md"), ("Trajectory (JSON lines)", "jsonl")):
        with one.page.expect_download() as found:
            one.page.get_by_role("link", name=label).click()
        assert found.value.suggested_filename == f"export-me.{kind}"
        saved[kind] = found.value.path().read_text()
    code = ["".join(cell["source"]) for cell in json.loads(saved["ipynb"])["cells"] if cell["cell_type"] == "code"]
    ran = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "the sum is 10\n"
    assert "That is all." in saved["md"]
    assert "the sum is 10" in saved["md"]
    assert [json.loads(line)["type"] for line in saved["jsonl"].splitlines()] == ["start", "turn", "turn", "end"]


def test_code_is_copied_by_its_button_as_it_was_written(visit):
    code = "for n in range(3):\n    print('<b>', n)"
    one = visit(permissions=["clipboard-read", "clipboard-write"]).new({"copy": [CELL % code, ANSWER]})
    asked(one, "copy")
    one.page.get_by_role("button", name="Copy the code").click()
    expect(one.page.get_by_role("button", name="Copied")).to_be_visible()
    assert one.page.evaluate("navigator.clipboard.readText()").rstrip("\n") == code


def test_keys_open_a_new_chat_find_and_leave_a_box_without_stopping_what_runs(visit):
    one = visit().new({"hold": ["I am at it.{hold}<solution>It is done.</solution>"]})
    one.say("hold")
    expect(one.text("I am at it.")).to_be_visible()
    one.button("A cell of your own").click()
    expect(one.page.get_by_role("textbox", name="A cell of your own")).to_be_focused()
    one.page.keyboard.press("Escape")
    expect(one.page.get_by_role("dialog")).to_have_count(0)
    one.site.model.go.set()
    expect(one.text("It is done.")).to_be_visible()
    one.idle()
    one.page.keyboard.press("Control+k")
    expect(one.page.get_by_role("textbox", name="Search conversations")).to_be_focused()
    one.page.keyboard.press("Control+Alt+n")
    expect(one.page).not_to_have_url(re.compile(one.key))
    expect(one.page).to_have_url(re.compile("/c/"))
    expect(one.box).to_be_focused()


def test_the_tabulator_goes_through_the_page_as_it_is_read(visit):
    one = visit().new({"in order": [CELL % "x = 1", ANSWER]})
    asked(one, "in order")
    one.page.reload()
    expect(one.text("That is all.")).to_be_visible()
    one.page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    named = "(one => one === document.body ? '' : one.getAttribute('aria-label') || one.innerText || one.tagName)(document.activeElement)"
    met = []
    while "Send" not in met and len(met) < 400:   # other tests leave conversations in the list
        one.page.keyboard.press("Tab")
        met.append(one.page.evaluate(named).strip().split("\n")[-1])
    wanted = ["Conversations", "Take the last message back", "Share or export", "New chat", "Search conversations", "in order", "Copy the code", "Attach files", "Message", "Send"]
    assert [name for name in met if name in wanted] == wanted, met


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.slow)])
def test_light_and_dark_are_as_the_system_says(visit, scheme):
    one = visit(color_scheme=scheme).new()
    shade = one.page.locator(".q-header").evaluate("one => getComputedStyle(one).backgroundColor")
    assert shade == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    one.page.emulate_media(color_scheme={"light": "dark", "dark": "light"}[scheme])
    expect(one.page.locator("body.body--dark")).to_have_count(int(scheme == "light"))


def test_a_phone_has_the_tools_in_a_menu_and_the_conversations_behind_a_button(visit):
    one = visit(viewport={"width": 375, "height": 760}).new({"on a phone": [CELL % "x = 1", ANSWER]})
    asked(one, "on a phone")
    expect(one.page.get_by_role("button", name="Variables")).to_be_hidden()
    expect(one.page.get_by_role("button", name="New chat")).not_to_be_in_viewport()
    one.button("Tools").click()
    one.shot("phone-tools")
    one.page.get_by_role("menuitem", name="Variables").or_(one.page.locator(".q-menu").get_by_text("Variables")).first.click()
    expect(one.page.get_by_text("x: int")).to_be_in_viewport()
    one.shot("phone-variables")
    one.button("Close").click()
    expect(one.page.get_by_text("x: int")).not_to_be_in_viewport()
    one.button("Conversations").click()
    expect(one.page.get_by_role("button", name="New chat")).to_be_in_viewport()
    one.shot("phone-list")


def test_the_first_page_has_a_box_that_begins_a_conversation(visit):
    one = visit().open()
    one.site.model.script["from the first page"] = [ANSWER]
    expect(one.box).to_be_focused()
    one.shot("home")
    asked(one, "from the first page")
    expect(one.page).to_have_url(re.compile("/c/"))
    expect(one.page.locator(".said")).to_have_text("from the first page")


def serious(one):
    from axe_core_python.sync_playwright import Axe

    found = Axe().run(one.page)["violations"]
    return [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_boxes_and_panels(visit, scheme):
    one = visit(color_scheme=scheme).new({"boxes": [CELL % "x = 1\nopen('a.csv', 'w').write('a,b')", ANSWER]})
    asked(one, "boxes")
    for panel in ("Variables", "Files", "Branches", "Share or export"):
        one.button(panel).click()
        expect(one.page.locator(".q-drawer--right")).to_be_in_viewport()
        assert serious(one) == [], panel
    for box in ("Settings", "A cell of your own"):
        one.button(box).click()
        expect(one.page.get_by_role("dialog")).to_be_visible()
        assert serious(one) == [], box
        one.page.keyboard.press("Escape")
        expect(one.page.get_by_role("dialog")).to_have_count(0)
    one.open()
    one.box.wait_for()
    assert serious(one) == []
