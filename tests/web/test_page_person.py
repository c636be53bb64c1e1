"""The page as a person without a browser uses it: NiceGUI's `User`, in the loop of the server that has the page.

Its own fixture makes an application of its own; ours is mounted once a process, so the scenarios are run inside it.
"""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
from nicegui import core, ui
from nicegui.testing import User
from nicegui.testing.user_interaction import UserInteraction
from serving import TOKEN
from sqlalchemy.exc import OperationalError

from codeact.chats.values import Options
from codeact.web.page import conversation, turns
from codeact.web.page.trying import tried

ANSWER = "<solution>That is all.</solution>"


@pytest.fixture
def act(site):
    """Runs a scenario, `async def scenario(user)`; until its end what pages would tell their browser, `user` keeps."""
    kept = ui.navigate, ui.notify, ui.download

    async def played(scenario):
        transport = httpx.ASGITransport(site.app)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url=site.url, headers=headers) as client:
            user = User(client)
            try:
                await scenario(user)
            finally:
                if user.client:
                    user.client.delete()

    yield lambda scenario: asyncio.run_coroutine_threadsafe(played(scenario), core.loop).result(60)
    ui.navigate, ui.notify, ui.download = kept


@pytest.fixture
def defaults(site, monkeypatch):
    """Sets what a server's chats have by default, for a test."""
    def set_now(defaults=None, **powers):
        monkeypatch.setattr(site.chats, "powers", replace(site.chats.powers, **powers))
        if defaults is not None:
            monkeypatch.setattr(site.chats, "defaults", defaults)

    return set_now


def a_conversation(site, *messages):
    key = site.chats.create("local", Options(model="test")).id
    for text in messages:
        site.chats.send(key, "local", text)
        assert site.chats.wait(key, "local", 30)
    return key


async def seen(user, words):
    await user.should_see(words, retries=50)


def test_a_message_is_sent_and_its_answer_seen(site, act):
    site.model.script["hello there"] = [ANSWER]
    key = a_conversation(site)

    async def scenario(user):
        await user.open(f"/c/{key}")
        user.find(ui.textarea).type("hello there").trigger("keydown.enter")
        await seen(user, "That is all.")

    act(scenario)
    assert [one.answer for one in site.chats.turns(key, "local")] == ["That is all."]


def test_a_first_message_makes_its_conversation_and_enter_pressed_twice_makes_one(site, act):
    site.model.script["a first message"] = [ANSWER]
    opened = []

    async def scenario(user):
        await user.open("/")
        user.find(ui.textarea).type("a first message").trigger("keydown.enter").trigger("keydown.enter")
        await seen(user, "That is all.")
        opened.append(user.back_history[-1])

    act(scenario)
    assert [one.id for one in site.chats.find("local", search="a first message")] == [opened[0].removeprefix("/c/")]


def press(user, label):
    """The button that a screen reader calls so, or that shows these words."""
    found = {one for one in user.find(ui.button).elements if label in (one.props.get("aria-label"), one.text)}
    UserInteraction(user, found, None).click()


def test_undo_takes_the_last_message_back(site, act):
    site.model.script.update({"say one": ["<solution>One.</solution>"], "say two": ["<solution>Two.</solution>"]})
    key = a_conversation(site, "say one", "say two")

    async def scenario(user):
        await user.open(f"/c/{key}")
        await seen(user, "Two.")
        press(user, "Take the last message back")
        await user.should_not_see("Two.", retries=50)
        await user.should_see("One.")

    act(scenario)
    assert [one.answer for one in site.chats.turns(key, "local")] == ["One."]


def test_a_page_follows_again_when_the_database_has_been_gone_for_a_moment(site, act, monkeypatch):
    site.model.script["say two"] = ["<solution>Two.</solution>"]
    key, gone = a_conversation(site), []
    real = {name: getattr(site.chats, name) for name in ("entries", "find")}
    monkeypatch.setattr(conversation, "_AGAIN_SECONDS", 0.05)

    def fails_twice(name):
        def work(*of, **more):
            if gone.count(name) < 2:
                gone.append(name)
                raise OperationalError("select", {}, Exception("the server closed the connection"))
            return real[name](*of, **more)

        return work

    async def scenario(user):
        await user.open(f"/c/{key}")
        for name in real:
            monkeypatch.setattr(site.chats, name, fails_twice(name))
        await asyncio.to_thread(site.chats.send, key, "local", "say two")
        await seen(user, "Two.")
        while len(gone) < 4:
            await asyncio.sleep(0.05)
        site.chats.update(key, "local", title="a name that the list shows")
        await seen(user, "a name that the list shows")

    act(scenario)


def test_what_cannot_be_done_is_told(site, act):
    key = a_conversation(site)

    async def scenario(user):
        await user.open(f"/c/{key}")
        for label, told in (("Take the last message back", "there is nothing to take back"),
                            ("Do the last message again", "nothing")):
            user.notify.messages.clear()
            press(user, label)
            await seen(user, told)
        user.find(ui.textarea).type("   ").trigger("keydown.enter")
        press(user, "Variables")
        await seen(user, "No variables yet.")
        press(user, "Branches")
        await seen(user, "1. the first")

    act(scenario)
    assert site.chats.turns(key, "local") == []


def test_a_turn_is_shown_once_also_where_the_page_is_behind(site, act, monkeypatch):
    reply = "Some words.{hold}\n<execute>\nprint(6 * 7)\n</execute>"
    site.model.script["be behind"] = [reply, ANSWER]
    site.model.go.clear()
    key, summary = a_conversation(site), site.chats.summary
    monkeypatch.setattr(site.chats, "summary", lambda *of: replace(summary(*of), state="idle"))   # later than its entries

    async def scenario(user):
        await user.open(f"/c/{key}")
        user.find(ui.textarea).type("be behind").trigger("keydown.enter")
        await seen(user, "Some words.")
        site.model.go.set()
        await seen(user, "That is all.")
        shown = [one for one in user.client.elements.values() if "turn" in one.classes]
        assert len(shown) == 2

    act(scenario)


def test_what_a_model_invents_is_not_shown_as_real_while_it_writes_nor_after_a_stop(site, act):
    site.model.script["invent it"] = ["I look.\n<execute>\nprint(6 * 7)\n</execute>\nObservation: it is 43\n{hold}"]
    site.model.go.clear()
    key = a_conversation(site)

    async def scenario(user):
        await user.open(f"/c/{key}")
        user.find(ui.textarea).type("invent it").trigger("keydown.enter")
        await seen(user, "not real")
        await user.should_see("I look.")
        press(user, "Stop")
        await seen(user, "Stopped.")
        await user.should_not_see("it is 43")

    act(scenario)


def test_a_conversation_that_is_none_or_somebody_elses_is_not_shown(site):
    other = site.chats.create("another", Options(model="test")).id
    with site.client() as client:
        for path, said in ((f"/c/{other}", "no such conversation"), ("/c/0123456789abcdef", "no such conversation"),
                           ("/c/%00", "no such conversation"), ("/s/none-of-ours", "leads to no conversation"),
                           ("/nowhere", "nothing at this address")):
            answer = client.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, said in answer.text) == (404, True), path
            assert "script" not in answer.headers["content-security-policy"]
            assert '<a href="/">' in answer.text


def test_a_conversation_that_is_deleted_while_it_is_open_is_said_to_be(site, act):
    key = a_conversation(site)

    async def scenario(user):
        await user.open(f"/c/{key}")
        await user.should_see(ui.textarea)
        await asyncio.to_thread(site.chats.delete, key, "local")
        await seen(user, "This conversation was deleted.")
        user.find(ui.textarea).type("still there?").trigger("keydown.enter")
        await seen(user, "no conversation")

    act(scenario)


def test_where_models_are_offered_no_other_can_be_tried(site, act, defaults):
    key = a_conversation(site)
    defaults(any_model=False, models=("test", "larger"))

    async def scenario(user):
        await user.open(f"/c/{key}")
        press(user, "Settings")
        await user.should_see("Settings of this conversation", retries=50)
        [box] = (one for one in user.find(ui.select).elements if one.props["label"] == "Model")
        assert box.options == ["test", "larger"]
        press(user, "Try it")
        await seen(user, "It answers:")

    act(scenario)
    assert "is not offered by this server; offered: test, larger" in tried(lambda: site.chats.model_for("local")("scripted:/etc/passwd"))


def test_without_a_model_users_who_may_not_name_one_are_told_who_can(act, defaults):
    defaults(any_model=False, models=(), defaults=Options())

    async def scenario(user):
        await user.open("/")
        await seen(user, "This server has no model yet; who runs it can name one")
        await user.should_not_see("Use it")

    act(scenario)


def test_a_text_that_is_slow_to_set_is_not_set_anew_for_each_of_its_words(act, monkeypatch):
    clock, times_set = [0.0], []

    def set_slowly(written, text):
        clock[0] += 1.0
        times_set.append(text)

    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(turns.Written, "set", set_slowly)

    async def scenario(user):
        await user.open("/")
        with user.client.content:
            live = turns.LiveTurn()
            for n in range(100):
                live.take("text", {"text": f"{n} ", "channel": "reply"})
            assert times_set == ["0 "]
            clock[0] += 10.0
            live._tick()
            assert times_set[1:] == ["".join(f"{n} " for n in range(100))], "what came meanwhile is shown later"
            live.take("text", {"text": "end", "channel": "reply"})
            live.freeze()
            assert times_set[-1].endswith("99 end")

    act(scenario)


@pytest.mark.parametrize("label", ["A cell of your own", "Settings"])
def test_a_browser_that_closes_while_a_box_is_open_is_no_fault(site, act, caplog, label):
    key = a_conversation(site)

    async def scenario(user):
        await user.open(f"/c/{key}")
        press(user, label)
        await seen(user, "Cancel")
        user.client.delete()
        await asyncio.sleep(0)   # what waited for the box goes on
        while [task for task in asyncio.all_tasks() if "handle_event" in str(task.get_coro())]:
            await asyncio.sleep(0)
        user.client = None

    act(scenario)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
