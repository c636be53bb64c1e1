"""What of a cell's text is left where something better shows it."""

import pytest

pytest.importorskip("nicegui", reason="nicegui is not installed")

from codeact.web.page.outputs import _without

PLAIN = "   a  b\n0  1  2"


@pytest.mark.parametrize(("text", "left"), [
    (PLAIN.strip(), ""), (f"before\n{PLAIN}\nafter", "before\n\nafter"), (f"{PLAIN.strip()}\nafter", "\nafter"), ("other", "other"),
])  # fmt: skip
def test_a_table_is_not_shown_as_text_too_wherever_it_stands(text, left):
    assert _without(text, {"text/html": "<table></table>", "text/plain": PLAIN}) == left
