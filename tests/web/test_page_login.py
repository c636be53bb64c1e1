"""The pages before the page, in Chromium: to log in, and for who came without the token, or with a wrong one."""

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect
from serving import TOKEN
from test_page_ways import serious

from codeact.web.gate import Policy
from codeact.web.login import add_user


@pytest.fixture
def look(browser, tmp_path_factory, request):
    import os
    from pathlib import Path

    folder = Path(os.environ.get("CODEACT_ARTIFACTS") or tmp_path_factory.getbasetemp()) / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)

    class Tab:
        def __init__(self, url, **options):
            self.page = browser.new_context(**{"viewport": {"width": 900, "height": 640}, **options}).new_page()
            self.page.goto(url)
            request.addfinalizer(self.page.context.close)

        def shot(self, name):
            self.page.screenshot(path=str(folder / f"{name}.png"))

    return Tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_to_log_in_looks_as_the_others_and_its_fields_have_labels(serve, look, scheme):
    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", "correct horse battery")
    one = look(f"{served.url}/login?to=/healthz", color_scheme=scheme)
    shade = one.page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
    assert shade == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    one.shot(f"login-{scheme}")
    expect(one.page.get_by_label("Name")).to_be_focused()
    one.page.get_by_label("Name").fill("alice")
    one.page.get_by_label("Password").fill("a wrong one")
    one.page.get_by_role("button", name="Log in").click()
    expect(one.page.get_by_role("alert")).to_have_text("That name or password is not right.")
    one.shot(f"login-wrong-{scheme}")
    assert serious(one) == []
    one.page.get_by_label("Name").fill("alice")
    one.page.get_by_label("Password").fill("correct horse battery")
    one.page.get_by_role("button", name="Log in").click()
    expect(one.page).to_have_url(f"{served.url}/healthz")


def test_who_comes_without_the_token_or_with_a_wrong_one_can_give_it_and_is_where_they_wanted_to_be(serve, look):
    served = serve()
    one = look(f"{served.url}/api/v1/me?token=an-old-one", color_scheme="dark")
    expect(one.page.get_by_role("alert")).to_contain_text("not, or no longer, the server's")
    one.shot("token-wrong")
    assert serious(one) == []
    other = look(f"{served.url}/api/v1/me", viewport={"width": 375, "height": 700})
    expect(other.page.get_by_role("alert")).to_have_count(0)
    other.shot("token")
    assert serious(other) == []
    for tab in (one, other):
        tab.page.get_by_label("Token").fill(TOKEN)
        tab.page.get_by_role("button", name="Go on").click()
        expect(tab.page.get_by_text('"owner"')).to_be_visible()
        assert tab.page.url == f"{served.url}/api/v1/me"


def test_behind_a_proxy_nobody_is_asked_for_a_token(serve, look):
    served = serve(policy=Policy(header="X-User", proxies=("10.0.0.1",)))
    one = look(f"{served.url}/")
    expect(one.page.get_by_role("alert")).to_contain_text("reached through a proxy")
    expect(one.page.get_by_role("textbox")).to_have_count(0)
