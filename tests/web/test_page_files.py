"""Files on the page in Chromium: given by drop, pasted, written by cells, looked at, taken away."""

import io
import zipfile

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

from codeact.web.page import turns

ANSWER = "<solution>That is all.</solution>"
WRITE = """<execute>
import matplotlib.pyplot as plt
from pathlib import Path

plt.figure(figsize=(2, 1))
plt.plot([1, 3, 2])
plt.savefig("line.png")
Path("notes").mkdir(exist_ok=True)
Path("notes/first note.txt").write_text("a note of <b>mine</b>\\n")
Path("table.tsv").write_text("city\\tmm\\nRome\\t799\\n")
Path("raw.bin").write_bytes(bytes(range(256)))
</execute>"""
GIVE = """([name, words, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([words], name, {type: 'text/plain'}));
  const event = kind === 'paste' ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true})
                                 : new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true});
  document.querySelector('textarea').dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", pytest.param("paste", marks=pytest.mark.slow)])
def test_a_file_that_is_dropped_or_pasted_lies_where_cells_read_it(visit, kind):
    one = visit().new({f"read by {kind}": ["<execute>\nprint(open('words.txt').read().upper())\n</execute>", ANSWER]})
    one.button("Files").click()
    expect(one.page.get_by_text("No files yet.")).to_be_visible()
    one.page.evaluate(GIVE, ["words.txt", f"given by {kind}", kind])
    expect(one.page.locator(".composer .q-chip").get_by_text("words.txt")).to_be_visible()
    expect(one.page.locator(".q-drawer--right").get_by_text("words.txt")).to_be_visible()
    one.say(f"read by {kind}")
    expect(one.text(f"GIVEN BY {kind.upper()}")).to_be_visible()
    expect(one.page.locator(".said")).to_contain_text("words.txt")
    expect(one.page.locator(".composer .q-chip")).to_have_count(0)


def test_what_a_cell_writes_is_listed_looked_at_by_its_kind_and_taken_away(visit):
    one = visit().new({"write files": [WRITE, ANSWER]})
    one.button("Files").click()
    one.say("write files")
    expect(one.text("That is all.")).to_be_visible()
    panel, box = one.page.locator(".q-drawer--right"), one.page.get_by_role("dialog")
    expect(panel.get_by_text("notes/first note.txt")).to_be_visible()   # without being opened anew
    one.shot("files-panel")
    for name, seen in (("line.png", box.locator("img")), ("notes/first note.txt", box.get_by_text("a note of <b>mine</b>")),
                       ("table.tsv", box.get_by_role("cell", name="799")), ("raw.bin", box.get_by_text("download it"))):
        panel.get_by_role("button", name=f"Preview {name}").click()
        expect(seen).to_be_visible()
        one.shot(f"preview-{name.split('.')[-1]}")
        box.get_by_role("button", name="Close").click()
        expect(box).to_have_count(0)
    with one.page.expect_download() as found:
        panel.get_by_role("link", name="Download raw.bin").click()
    assert found.value.path().read_bytes() == bytes(range(256))
    with one.page.expect_download() as found:
        panel.get_by_role("link", name="Download notes/first note.txt").click()
    assert found.value.suggested_filename == "first note.txt"
    with one.page.expect_download() as found:
        panel.get_by_role("link", name="all as a zip").click()
    with zipfile.ZipFile(io.BytesIO(found.value.path().read_bytes())) as packed:
        assert sorted(packed.namelist()) == ["line.png", "notes/first note.txt", "raw.bin", "table.tsv"]
        assert packed.read("raw.bin") == bytes(range(256))


STRANGE = """<execute>
from pathlib import Path
Path("<img src=x> name.txt").write_text("of a strange name")
Path("n" * 200).write_text("of a long name")
print("printed")
</execute>"""


def test_the_files_a_cell_wrote_stand_below_it_and_open_with_a_press(visit):
    one = visit().new({"write strangely": [STRANGE, ANSWER]})
    one.say("write strangely")
    expect(one.text("That is all.")).to_be_visible()
    written = one.page.get_by_role("list", name="Files written")
    expect(written.get_by_role("listitem")).to_have_count(2)
    expect(one.page.get_by_text("[files written")).to_have_count(0)   # not twice
    box = one.page.get_by_role("dialog")
    written.get_by_role("button", name="<img src=x> name.txt").click()
    expect(box.get_by_text("of a strange name")).to_be_visible()
    with one.page.expect_download() as found:
        box.get_by_role("link", name="Download").click()
    assert found.value.path().read_text() == "of a strange name"
    one.shot("file-chips-box")
    box.get_by_role("button", name="Close").click()
    expect(box).to_have_count(0)
    one.button("A cell of your own").click()
    one.page.get_by_role("dialog").get_by_role("textbox").fill("open('mine.csv', 'w').write('a,b\\n1,2\\n');")
    one.page.get_by_role("dialog").get_by_role("button", name="Run").click()
    written.last.get_by_role("button", name="mine.csv").click()
    expect(one.page.get_by_role("dialog").get_by_role("cell", name="2")).to_be_visible()
    one.page.get_by_role("dialog").get_by_role("button", name="Close").click()
    one.page.reload()
    expect(written).to_have_count(2)
    one.shot("file-chips")


def test_a_message_that_cannot_be_drawn_does_not_end_what_follows(visit, monkeypatch):
    drawn = turns.said

    def said(data):
        if "cannot be drawn" in data["text"]:
            raise RuntimeError("a fault of the page's own")
        drawn(data)

    monkeypatch.setattr(turns, "said", said)
    one = visit().new({"cannot be drawn": [ANSWER]})
    one.say("cannot be drawn")
    expect(one.page.get_by_text("This part could not be shown")).to_be_visible()
    expect(one.text("That is all.")).to_be_visible()
    expect(one.button("Send")).to_be_visible()


def test_enter_pressed_before_the_page_is_connected_sends_the_message_once(visit):
    one = visit().new({"typed early": [ANSWER]})
    one.page.evaluate("window.did_handshake = false")   # as between a load and its handshake
    message = one.page.get_by_label("Message", exact=True)
    message.fill("typed early")
    message.press("Enter")
    message.press("Enter")
    expect(one.page.locator(".said")).to_have_count(0)
    one.page.evaluate("window.did_handshake = true")
    expect(one.text("That is all.")).to_be_visible()
    expect(one.page.locator(".said")).to_have_count(1)
    expect(message).to_have_value("")


def test_a_file_whose_name_is_none_is_refused_in_words(visit):
    one = visit().new()
    one.page.locator(".q-uploader input[type=file]").first.set_input_files(
        {"name": "..", "mimeType": "text/plain", "buffer": b"x"})
    expect(one.page.get_by_text("'..' is no name for a file")).to_be_visible()
    expect(one.page.locator(".composer .q-chip")).to_have_count(0)
