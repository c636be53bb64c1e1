"""The ways out of the page, with accounts: here, everywhere, and for a page that was left open."""

import subprocess
import sys

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect
from test_web_process import Process

PASSWORD = "correct horse battery"
SERVE = "import sys, codeact.web.staying as s; s.AGAIN_SECONDS = 1.0; from codeact.cli.serve import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server with accounts, which looks every second who may stay."""
    data = ["--data", str(tmp_path_factory.mktemp("home"))]
    added = [sys.executable, "-m", "codeact", "serve", "user", "add", "alice", *data]
    subprocess.run(added, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True, timeout=60)
    process = subprocess.Popen([sys.executable, "-c", SERVE, "--port", "0", "--auth", "--sandbox", "none", *data],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Process(process).url
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def log_in(address, browser):
    """Opens tabs in browsers of their own, in which alice has logged in."""
    contexts = []

    def start():
        contexts.append(browser.new_context())
        page = contexts[-1].new_page()
        page.goto(f"{address}/")
        page.get_by_label("Name").fill("alice")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="alice").wait_for()
        return page

    yield start
    for context in contexts:
        context.close()


def leave(page, how):
    page.get_by_role("button", name="alice").click()
    page.get_by_role("menuitem", name=how, exact=True).or_(page.get_by_text(how, exact=True)).first.click()
    page.get_by_role("button", name="Log in").wait_for()


def test_who_logs_out_is_asked_for_the_password_and_other_browsers_stay(address, log_in):
    one, other = log_in(), log_in()
    leave(one, "Log out")
    one.goto(f"{address}/")
    expect(one.get_by_role("button", name="Log in")).to_be_visible()
    other.reload()
    expect(other.get_by_role("button", name="alice")).to_be_visible()


def test_who_logs_out_everywhere_ends_pages_that_were_left_open(log_in):
    one, other = log_in(), log_in()
    leave(one, "Log out everywhere")
    expect(other.get_by_role("button", name="Log in")).to_be_visible(timeout=20_000)


def test_with_accounts_and_no_model_the_page_sets_none_for_everybody(log_in):
    page = log_in()
    expect(page.get_by_text("who runs it can name one")).to_be_visible()
    expect(page.get_by_role("button", name="Use it")).to_have_count(0)
