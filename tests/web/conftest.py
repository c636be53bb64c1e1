"""Servers for a file's tests, which end with the test."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chats"))
sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

pytest.importorskip("nicegui", reason="the extra `web` is not installed")
pytest.importorskip("uvicorn")

from serving import TOKEN, run_server

from codeact.chats.values import Options


@pytest.fixture
def serve(tmp_path):
    ends = []

    def start(**options):
        served, end = run_server(options.pop("home", tmp_path / f"home{len(ends)}"), **options)
        ends.append(end)
        return served

    yield start
    for end in ends:
        end()


@pytest.fixture
def served(serve):
    return serve()


# The page, in a browser ------------------------------------------------------------------------------------------------

CHROMIUM = "/usr/bin/chromium"
GUARDED = '''
from codeact import tool
@tool(needs_approval=True)
def erase(name: str) -> str:
    """Erase something."""
    return f"erased {name}"
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A server with a page: one for all tests, as the page's framework has one of everything a process."""
    from page_models import Scripted

    home = tmp_path_factory.mktemp("site")
    (home / "guarded.py").write_text(GUARDED)
    model = Scripted()
    site, end = run_server(home / "home", page=True, model=model, sandbox="auto",
                           tools_allowed=[str(home / "guarded.py")])
    site.model = model
    yield site
    end()


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one file's tests: while it is there, an event loop runs in this thread, and no other can."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    playwright.expect.set_options(timeout=15_000)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A tab: what a person does with a conversation."""

    def __init__(self, site, page, folder):
        self.site, self.page, self._folder = site, page, folder
        self.faults = []
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, path="/"):
        self.page.goto(f"{self.site.url}{path}?token={TOKEN}")
        return self

    def new(self, script=None, **options):
        """Open a conversation of its own; `script` maps messages to replies."""
        self.site.model.script.update(script or {})
        self.site.model.go.clear()
        self.key = self.site.chats.create("local", Options(model="test", **options)).id
        self.open(f"/c/{self.key}")
        self.box.wait_for()
        return self

    @property
    def box(self):
        return self.page.get_by_role("textbox", name="Message", exact=True)

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True).locator("visible=true").first

    def say(self, text):
        self.box.fill(text)
        self.box.press("Enter")

    def text(self, text):
        return self.page.locator("main, .q-page, body").first.get_by_text(text)

    def idle(self):
        self.button("Send").wait_for()

    def shot(self, name):
        self.page.screenshot(path=str(self._folder / f"{name}.png"), animations="disabled")


@pytest.fixture
def visit(site, browser, request, tmp_path_factory):
    """Opens tabs; a fault in a page's scripts is a fault of the test."""
    folder = Path(os.environ.get("CODEACT_ARTIFACTS") or tmp_path_factory.getbasetemp()) / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    contexts, visits = [], []

    def start(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce", **options})
        contexts.append(context)
        visits.append(Visit(site, context.new_page(), folder))
        return visits[-1]

    yield start
    site.model.go.set()
    for context in contexts:
        context.close()
    assert [fault for one in visits for fault in one.faults] == []
