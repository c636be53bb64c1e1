"""The page in Debian's Chromium, against a real server and a real interpreter, with a model that does as it is told."""

import re

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

ANSWER = "<solution>That is all.</solution>"
CELL = "I run **it**.\n<execute>\n%s\n</execute>"
RAIN = """I compare them in a table:

| city | mm |
|---|---|
| Rome | 799 |
<execute>
import matplotlib.pyplot as plt
import pandas as pd

rain = pd.DataFrame({"city": ["Oslo", "Rome", "Lima"], "mm": [763, 799, 10]})
rain.to_csv("rain.csv", index=False)
fig = plt.figure(figsize=(5, 2.4))
plt.bar(rain.city, rain.mm)
plt.ylabel("mm a year")
plt.show()
print(f"the mean is {rain.mm.mean():.0f} mm")
rain.sort_values("mm")
</execute>"""
SAID = "<solution>**Rome** has the most rain of the three, 799 mm a year; **Lima** has nearly none.</solution>"


def test_a_conversation_shows_thought_code_output_figure_table_and_answer(visit):
    one = visit().new({"Compare the rain of three cities": [RAIN, SAID]})
    one.say("Compare the rain of three cities")
    expect(one.text("has the most rain of the three")).to_be_visible()
    one.idle()
    cell = one.page.get_by_role("region", name="cell 1").or_(one.page.locator("section.cell"))
    expect(cell.locator("pre")).to_contain_text('rain.to_csv("rain.csv"')
    expect(cell.get_by_text("the mean is 524 mm")).to_be_visible()
    expect(cell.locator("img.figure")).to_be_visible()
    expect(cell.frame_locator("iframe").get_by_text("Lima")).to_be_visible()
    expect(one.page.locator(".answer table").get_by_text("799")).to_be_visible()
    expect(one.page.get_by_role("heading", level=1)).to_have_text("Compare the rain of three cities")
    expect(one.page.get_by_role("status").filter(has_text="tokens")).to_contain_text("2,570 tokens · $0.004")
    one.shot("chat")


def test_words_and_code_are_seen_while_they_are_written_and_output_while_it_is_printed(visit):
    code = "print('printed ' + 'early', flush=True)\nanswer = input('what? ') if 0 else 0{hold}\nimport time\ntime.sleep(30)"
    one = visit().new({"stream": ["First I **think**.{hold}\n" + CELL % code]})
    one.say("stream")
    expect(one.page.locator(".live strong")).to_have_text("think")
    one.site.model.go.set()
    expect(one.page.locator(".live pre")).to_contain_text("flush=True")
    expect(one.page.locator(".live")).to_contain_text("writing code")
    one.shot("running")
    one.site.model.go.set()
    expect(one.page.locator(".live .output")).to_contain_text("printed early")
    expect(one.page.locator(".live")).to_contain_text("running ·")
    one.box.press("Escape")
    expect(one.text("Stopped.")).to_be_visible()
    one.idle()


def test_what_was_written_before_a_stop_stays_and_one_can_go_on(visit):
    one = visit().new({"think": ["I was thinking of{hold}"], "and now": [ANSWER]})
    one.say("think")
    expect(one.text("I was thinking of")).to_be_visible()
    one.button("Stop").click()
    expect(one.text("Stopped.")).to_be_visible()
    expect(one.text("I was thinking of")).to_be_visible()
    one.say("and now")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()


@pytest.mark.parametrize(("choice", "seen"), [("Allow", "erased the disk"), pytest.param("Refuse", "not approved", marks=pytest.mark.slow)])
def test_a_tool_that_needs_leave_is_asked_for_with_its_arguments(visit, choice, seen):
    one = visit()
    one.new({f"erase {choice}": [CELL % "print(erase(name='the disk'))", ANSWER]}, tools=one.site.chats.tools_allowed)
    one.say(f"erase {choice}")
    card = one.page.get_by_role("alertdialog")
    expect(card).to_contain_text("erase")
    expect(card).to_contain_text("the disk")
    one.shot("approval")
    card.get_by_role("button", name=choice).click()
    expect(card).to_have_count(0)
    expect(one.text("That is all.")).to_be_visible()
    expect(one.page.locator(".cell .output").filter(has_text=seen)).to_be_visible()


def test_a_reload_and_a_second_tab_show_everything_once(visit):
    one, other = visit(), visit()
    one.new({"twice": [CELL % "print('counted ' + 'once')", "I see.{hold}<solution>That is all.</solution>"]})
    one.say("twice")
    expect(one.text("I see.")).to_be_visible()
    other.open(f"/c/{one.key}")
    expect(other.text("I see.")).to_be_visible()
    one.page.reload()
    expect(one.text("I see.")).to_be_visible()
    one.site.model.go.set()
    for tab in (one, other):
        expect(tab.text("That is all.")).to_have_count(1)
        tab.idle()
        expect(tab.text("counted once")).to_have_count(1)
        expect(tab.page.locator(".said")).to_have_count(1)
        expect(tab.page.locator(".live")).to_have_count(0)


def test_a_lost_connection_is_told_and_comes_back_to_what_happened_meanwhile_and_what_was_said_is_said_once(visit):
    one = visit().new({"offline": ["Before.{hold}<solution>Meanwhile.</solution>"], "said offline": [ANSWER]})
    one.say("offline")
    expect(one.text("Before.")).to_be_visible()
    one.page.context.set_offline(True)
    expect(one.page.get_by_text("Connection lost")).to_be_visible()
    one.site.model.go.set()
    assert one.site.chats.wait(one.key, "local", 20)
    one.say("said offline")
    one.page.context.set_offline(False)
    expect(one.text("Meanwhile.")).to_have_count(1)
    expect(one.page.get_by_text("Connection lost")).to_be_hidden()
    expect(one.text("That is all.")).to_have_count(1)
    one.idle()
    expect(one.page.locator(".said")).to_have_count(2)
    one.faults[:] = [fault for fault in one.faults if "ERR_INTERNET_DISCONNECTED" not in fault]


def test_an_edited_cell_runs_again_from_its_moment_on_a_branch_one_can_leave(visit):
    one = visit().new({"count": [CELL % "x = 1", CELL % "x += 1\nprint('x is', x)", ANSWER]})
    one.say("count")
    expect(one.text("x is 2")).to_be_visible()
    one.idle()
    one.page.get_by_role("button", name="Change this cell and run again from here").nth(1).click()
    editor = one.page.get_by_role("textbox", name="Change this cell")
    editor.fill("x += 10\nprint('x is', x)")
    one.page.get_by_role("button", name="Run from here", exact=True).click()
    expect(one.text("x is 11")).to_be_visible()
    expect(one.text("x is 2")).to_have_count(0)
    one.idle()
    one.button("Branches").click()
    one.button("Go to branch 1").hover()
    one.shot("branches")
    one.button("Go to branch 1").click()
    expect(one.text("x is 2")).to_be_visible()
    expect(one.text("x is 11")).to_have_count(0)


def test_a_cell_of_ones_own_undo_and_variables(visit):
    one = visit().new({"hello": [ANSWER]})
    one.say("hello")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()
    one.button("A cell of your own").click()
    one.page.get_by_role("textbox", name="A cell of your own").fill("height = 1_000 + 7\nheight")
    one.page.get_by_role("button", name="Run", exact=True).click()
    expect(one.page.locator(".cell.own .output")).to_have_text("Out[1]: 1007")
    one.idle()
    one.button("Variables").click()
    expect(one.page.locator(".q-drawer--right").get_by_text("height: int")).to_be_visible()
    one.shot("variables")


def test_files_are_attached_listed_and_looked_at(visit):
    one = visit().new({"read it": [CELL % "print(open('people.csv').read().count(chr(10)), 'lines')", ANSWER]})
    one.page.locator(".q-uploader input[type=file]").first.set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": b"name,age\nAda,36\nAlan,41\n"})
    expect(one.page.locator(".composer .q-chip").get_by_text("people.csv")).to_be_visible()
    one.say("read it")
    expect(one.text("3 lines")).to_be_visible()
    one.idle()
    one.button("Files").click()
    one.button("Preview people.csv").click()
    expect(one.page.get_by_role("dialog").get_by_role("cell", name="Ada")).to_be_visible()
    one.shot("files")
    one.page.keyboard.press("Escape")
    with one.page.expect_download() as found:
        one.page.get_by_role("link", name="all as a zip").click()
    assert found.value.suggested_filename.endswith(".zip")


def test_conversations_are_found_named_pinned_and_deleted(visit):
    one = visit().new({"the needle": [ANSWER]})
    one.say("the needle")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()
    one.page.keyboard.press("Control+k")
    one.page.keyboard.type("needle")
    rows = one.page.get_by_role("listitem")
    expect(rows).to_have_count(1)
    rows.get_by_role("button").click()
    one.page.get_by_text("Rename").click()
    one.page.get_by_role("textbox", name="Name").fill("A needle of another name")
    one.page.keyboard.press("Enter")
    expect(one.page.get_by_role("heading", level=1)).to_have_text("A needle of another name")
    rows.get_by_role("button").click()
    one.page.get_by_text("Delete").click()
    one.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(one.page).to_have_url(re.compile(r"/$"))


def test_a_shared_link_can_be_read_without_login_until_it_is_taken_back(visit):
    one = visit().new({"share me": [CELL % "print('open to all')", ANSWER]})
    one.say("share me")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()
    one.button("Share or export").click()
    expect(one.button("Make a link")).to_be_visible()
    expect(one.page.get_by_role("button", name="Take it back")).to_have_count(0)   # there is nothing to take back yet
    one.button("Make a link").click()
    link = one.page.get_by_role("textbox", name="Link")
    expect(link).to_have_value(re.compile("/s/"))
    stranger = visit()
    stranger.page.goto(link.input_value())
    expect(stranger.page.locator(".output").get_by_text("open to all")).to_be_visible()
    expect(stranger.page.get_by_role("button", name="Change this cell and run again from here")).to_have_count(0)
    one.button("Take it back").click()
    expect(link).to_be_hidden()
    expect(one.button("Make a link")).to_be_visible()
    expect(one.page.get_by_role("button", name="Take it back")).to_have_count(0)
    assert stranger.page.reload().status == 404
    expect(stranger.text("open to all")).to_have_count(0)
    stranger.faults.clear()   # Chromium tells of the status


def test_the_keyboard_sends_breaks_lines_and_edits_the_last_message(visit):
    one = visit().new({"one": ["<solution>First.</solution>"], "two": ["<solution>Second.</solution>"]})
    one.box.focus()
    one.page.keyboard.type("one")
    one.page.keyboard.press("Shift+Enter")
    one.page.keyboard.type("more")
    expect(one.box).to_have_value("one\nmore")
    one.page.keyboard.press("Enter")
    expect(one.text("First.")).to_be_visible()
    one.idle()
    one.box.press("ArrowUp")
    one.page.get_by_role("textbox", name="Say it in another way").fill("two")
    one.page.get_by_role("button", name="Send", exact=True).last.click()
    expect(one.text("Second.")).to_be_visible()
    expect(one.text("First.")).to_have_count(0)


@pytest.mark.slow
def test_older_turns_come_when_one_scrolls_up_to_them(visit):
    one = visit()
    one.site.model.script.update({"go": ["<solution>Gone.</solution>"]})
    one.new()
    for n in range(35):
        one.site.model.script[f"message {n}."] = [f"<solution>Reply {n}.</solution>"]
        one.site.chats.send(one.key, "local", f"message {n}.")
        assert one.site.chats.wait(one.key, "local", 20)
    one.page.reload()
    expect(one.text("Reply 34.")).to_be_visible()
    expect(one.text("Reply 4.")).to_have_count(0)
    one.page.mouse.move(700, 300)
    one.page.mouse.wheel(0, -20_000)
    expect(one.text("Reply 4.")).to_have_count(1)
    expect(one.text("Reply 5.")).to_be_in_viewport()
    expect(one.page.locator(".said")).to_have_count(35)


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 375, "height": 760}}],
                         ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(visit, look, request):
    from axe_core_python.sync_playwright import Axe

    name = request.node.callspec.id
    one = visit(**look).new({f"look {name}": [RAIN, SAID + ""]})
    one.say(f"look {name}")
    expect(one.text("has the most rain of the three")).to_be_visible()
    one.idle()
    one.shot(name)
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
    found = Axe().run(one.page)["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIVE = """([name, kind, pixel]) => {
  const bytes = Uint8Array.from(atob(pixel), (one) => one.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, {type: 'image/png'}));
  const event = kind === 'paste' ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true})
                                 : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
  document.querySelector('textarea').dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", pytest.param("drop", marks=pytest.mark.slow)])
def test_a_picture_that_is_pasted_or_dropped_goes_to_the_model(visit, kind):
    one = visit().new({f"see {kind}": ["<solution>A dot.</solution>"]})
    one.page.evaluate(GIVE, [f"{kind}.png", kind, PIXEL])
    expect(one.page.locator(".composer .q-chip").get_by_text(f"{kind}.png")).to_be_visible()
    one.say(f"see {kind}")
    expect(one.text("A dot.")).to_be_visible()
    assert [len(message.images) for message in one.site.model.sent[-1] if message.images] == [1]
    expect(one.page.locator(".said img")).to_be_visible()
