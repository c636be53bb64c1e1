"""What came to no end, as a person sees it: in the tab where it happened, after a reload, in a shared conversation."""

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
ANSWER = "<solution>That is all.</solution>"


def test_what_was_written_before_a_stop_is_there_once_and_marked_also_after_a_reload(visit):
    one = visit().new({"think": ["I was thinking of{hold}"], "and now": [ANSWER]})
    one.say("think")
    expect(one.text("I was thinking of")).to_be_visible()
    one.button("Stop").click()
    expect(one.text("Stopped.")).to_be_visible()
    one.idle()
    for _ in range(2):
        expect(one.text("I was thinking of")).to_have_count(1)
        expect(one.text("Stopped.")).to_have_count(1)
        expect(one.page.locator(".live")).to_have_count(0)
        one.page.reload()
        one.box.wait_for()
    one.say("and now")
    expect(one.text("That is all.")).to_be_visible()
    one.idle()
    one.page.reload()
    expect(one.text("That is all.")).to_be_visible()
    expect(one.text("I was thinking of")).to_have_count(1)
    expect(one.text("Stopped.")).to_have_count(1)
    one.shot("stopped-kept")
    other = visit().open(f"/s/{one.site.chats.share(one.key, 'local')}")
    expect(other.text("I was thinking of")).to_be_visible()
    expect(other.text("Stopped.")).to_be_visible()


def test_a_question_that_the_servers_end_left_open_is_shown_as_not_answered(visit):
    one = visit().new()
    store, asked = one.site.chats.store, {"type": "approval", "tool": "erase", "arguments": {"name": "it"}, "granted": None, "call": "c1"}
    why = {"why": "the server ended"}
    store.add(one.key, [("user", {"text": "erase it", "images": [], "files": []}, 0), ("code", {"type": "code", "code": "erase('it')"}, None),
                        ("approval", asked, 0)], state="waiting")
    one.site.chats.update(one.key, "local", title="told")   # so that it looks
    expect(one.page.get_by_role("alertdialog")).to_contain_text("erase")
    store.add(one.key, [("answered", {"call": "c1", "granted": False, **why}, 0),
                        ("cut", {"pieces": [{"type": "code", "code": "erase('it')"}, {**asked, "granted": False}], **why}, 0),
                        ("interrupted", why, 0)], state="interrupted")
    one.site.chats.update(one.key, "local", title="told again")
    for _ in range(2):
        expect(one.text("erase(name=it) was not allowed: nobody answered.")).to_be_visible()
        expect(one.text("The server ended here; say something to go on.")).to_be_visible()
        expect(one.page.get_by_role("alertdialog")).to_have_count(0)
        expect(one.page.locator(".turn")).to_have_count(1)
        one.page.reload()
        one.box.wait_for()
