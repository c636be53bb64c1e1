"""A package laid out as one might imagine the original's: written for tests, with invented tasks."""

from pathlib import Path

FOLDER = "scripts/eval/m3tooleval"

BASE = '''
import package_that_nobody_has

class Tool:
    def __init__(self, name, description, function, fn_signature):
        self.name, self.description, self.function, self.fn_signature = name, description, function, fn_signature

class Task:
    def __init__(self, name, tools, instruction, expected_output, is_single_tool_task=False):
        self.name, self.tools, self.instruction = name, tools, instruction
        self.expected_output, self.is_single_tool_task = expected_output, is_single_tool_task
'''
DECODER = '''
from ..base import Task, Tool
TOOLS = {"reverse_string": Tool("reverse_string", "Turns it.", lambda s: s[::-1], "reverse_string(string: str) -> str")}
TASKS = [Task("message_decoder/turned", TOOLS, "Turn ab.", "ba"), Task("message_decoder/pair", TOOLS, "?", ("a", 1))]
'''
TRAVEL = '''
from ..base import Task, Tool
PLACES = ['"A"', '"B"']
def place(name):
    name = name if name.startswith('"') else f'"{name}"'
    if name not in PLACES:
        raise ValueError(name)
    return name
FLIGHTS = [{"from_location": '"A"', "to_location": '"B"', "date": "2024-02-03", "price": 7},
           {"from_location": '"A"', "to_location": '"B"', "date": "2024-02-03", "price": 5}]
HOTELS = [{"location": '"A"', "preferences": ["view"], "price_per_night": 9, "rating": 3}]
def find_flights(a, b, date):
    a, b = place(a), place(b)
    return [f for f in FLIGHTS if (f["from_location"], f["to_location"], f["date"]) == (a, b, date)]
def book_hotel(location, *wishes):
    return [h for h in HOTELS if h["location"] == place(location) and all(w in h["preferences"] for w in wishes)]
TOOLS = [Tool("find_flights", "Flights.", find_flights, "find_flights(a, b, date)"),
         Tool("book_hotel", "Hotels.", book_hotel, "book_hotel(location, *wishes)")]
def get_tasks():
    yield Task("travel_itinerary_planning/trip", TOOLS, "From A to B?", 5)
'''
WEB = '''
from ...base import Task, Tool
print("junk", "x" * 100000)
PAGES = {"/": "home\\n- b [Clickable '/b']", "/b": "1\\n2\\n3\\n4\\n5\\n6"}
class Site:
    page, at = "/", 0
    def click_url(self, url):
        self.page, self.at = url, 0
        return f"[Opened page: {url}]\\n" + self.view() if url in PAGES else "[URL not found.]"
    def view(self):
        lines = PAGES[self.page].split("\\n")
        shown = "\\n".join(lines[self.at * 5:self.at * 5 + 5])
        return f"----------\\n[Web Page Name: {self.page}]\\n[Viewing page 1 of 1]\\n\\n{shown}\\n----------"
    def scroll_down(self):
        if (self.at + 1) * 5 >= len(PAGES[self.page].split("\\n")):
            return "[Reached the bottom of the page.]\\n"
        self.at += 1
        return self.view()
site = Site()
TASK = Task("web_browsing/six", [Tool(n, n, getattr(site, n), n + "()") for n in ("click_url", "scroll_down", "view")],
            "How many lines?", 6)
'''


def write(root: Path, **changed: str) -> Path:
    """The package below `root`; `changed` has other texts of base, decoder, travel, web."""
    files = {"tasks/base.py": changed.get("base", BASE), "tasks/__init__.py": "", "tasks/impl/__init__.py": "",
             "tasks/impl/decoder.py": changed.get("decoder", DECODER), "tasks/impl/travel.py": changed.get("travel", TRAVEL),
             "tasks/impl/web/__init__.py": changed.get("web", WEB), "main.py": "raise SystemExit"}
    for name, text in files.items():
        path = root / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
