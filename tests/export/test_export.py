"""Trajectories as notebooks and documents: read as they were, valid, and the notebook runs again."""

import base64
import json
from pathlib import Path

import pytest

from codeact import Agent, Interpreter, Observation, Stop, Trajectory, Turn
from codeact.actions import CodeAction, Malformed, Say, ToolCall
from codeact.cli import main
from codeact.environments.chat import ChatEnvironment
from codeact.events import ignore
from codeact.export import markdown, notebook
from codeact.export.parts import Failed, Printed, Rich, pieces
from codeact.loop import NEVER
from codeact.messages import Completion, Image, Message
from codeact.models.scripted import ScriptedModel

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")
PROMPT = (Message("system", "be good"), Message("user", "What is *6 * 7*?", (Image("image/png", PNG),)))


def execute(code):
    return f"I run it.\n<execute>\n{code}\n</execute>"


CELLS = [
    "print('one'); 6 * 7",
    f"""
import base64
class Dot:
    def _repr_png_(self): return base64.b64decode("{base64.b64encode(PNG).decode()}")
    def __repr__(self): return "a dot"
class Table:
    def _repr_html_(self): return "<table><tr><td>1</td></tr></table>"
    def __repr__(self): return "a table"
print('before'); display(Dot()); print('after'); Table()""",
    "print('so far'); 1 / 0",
    "raise ValueError('two\\nlines: here')",
    "x =",
    "import time\ntime.sleep(60)",
    "open('made.txt', 'w').write('hello')",
    "x = 5",
    "print('Out[1]: not a value'); 'a value'",
]


def saw(seen):
    """An observation's pieces, short."""
    def short(one):
        match one:
            case Printed(text):
                return ("printed", text)
            case Rich(bundle, is_value):
                return ("value" if is_value else "display", sorted(bundle))
            case Failed(name, message):
                return (name, message)
    return [short(one) for one in pieces(seen)]  # fmt: skip


@pytest.fixture(scope="module")
def run():
    """A conversation with every kind of cell, run for real."""
    replies = [execute(code) for code in CELLS]
    with Agent(ScriptedModel([*replies, "<solution>\n**42**\n</solution>"]), timeout=1.0) as agent:
        agent.about["model"] = "scripted:test"
        return agent.run("Do it all").trajectory


def test_what_cells_put_out_stands_in_its_order_and_its_kind(run):
    one, rich, failed, raised, syntax, slow, wrote, quiet, fake = (saw(turn.observation) for turn in run.turns[:-1])
    assert one == [("printed", "one\n"), ("value", ["text/plain"])]
    assert rich == [("printed", "before\n"), ("display", ["image/png", "text/plain"]), ("printed", "after\n"), ("value", ["text/html", "text/plain"])]
    assert failed == [("printed", "so far\n"), ("ZeroDivisionError", "division by zero")]
    assert raised[0][0] == "ValueError"
    assert raised[0][1].startswith("two\nlines: here")
    assert syntax[0][0] == "SyntaxError"
    assert slow[0][0] == "TimeoutError"
    assert wrote == [("value", ["text/plain"])], "the note about files is for the model"
    assert run.turns[6].observation.files == ("made.txt",)
    assert quiet == [("printed", run.turns[7].observation.text)] if run.turns[7].observation.text else quiet == []
    assert fake == [("printed", "Out[1]: not a value\n"), ("value", ["text/plain"])]


def test_the_notebook_is_valid_and_says_what_was_said(run, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    notebook.save(run, tmp_path / "run.ipynb")
    read = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    nbformat.validate(read)
    assert (read.nbformat, read.nbformat_minor) == (4, 5)
    words = [cell.source for cell in read.cells if cell.cell_type == "markdown"]
    assert "scripted:test" in words[0]
    assert words[1] == "**You**\n\nDo it all"
    assert words.count("I run it.") == len(CELLS)
    assert words[-1] == "**42**"
    code = [cell for cell in read.cells if cell.cell_type == "code"]
    assert [cell.source.strip() for cell in code] == [cell.strip() for cell in CELLS]
    assert code[0].outputs[0] == {"output_type": "stream", "name": "stdout", "text": "one\n"}
    assert code[0].outputs[1].data["text/plain"] == "42"
    assert base64.b64decode(code[1].outputs[1].data["image/png"]) == PNG
    assert code[1].outputs[3].output_type == "execute_result"
    assert code[1].outputs[3].data["text/html"].startswith("<table>")
    assert code[2].outputs[1].ename == "ZeroDivisionError"
    assert code[2].outputs[1].traceback[0] == "Traceback (most recent call last):"
    assert [cell.metadata.get("tags") for cell in code[:3]] == [None, None, ["raises-exception"]]
    assert "be good" not in json.dumps(read), "the system's prompt is not the user's"


@pytest.mark.slow
def test_the_notebook_runs_again_from_its_first_cell_to_its_last(run, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    short = Trajectory(run.prompt, tuple(turn for turn in run.turns if "sleep" not in turn.completion.text), run.stop)
    notebook.save(short, tmp_path / "run.ipynb")
    read = nbformat.read(tmp_path / "run.ipynb", as_version=4)
    before = [[one.output_type for one in cell.outputs] for cell in read.cells if cell.cell_type == "code"]
    done = nbclient.NotebookClient(read, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert [[one.output_type for one in cell.outputs] for cell in code][:-2] == before[:-2]
    assert code[-1].outputs[-1].data["text/plain"] == "'a value'"
    assert (tmp_path / "made.txt").read_text() == "hello"


def one(action, observation, text="x", **more):
    return Turn(Completion(text, **more), action, observation)


MADE = Trajectory(PROMPT, (
    one(ToolCall("search", {"q": "a"}, thought="I look", positional=(1,)), Observation("found")),
    one(Malformed("wrong"), Observation("the right form", status="none"), text="<execute>```` no"),
    one(CodeAction("print('x')", "I see"), Observation("x"), reasoning="hm"),
    Turn(Completion("x"), Say("and now?"), Observation("", stop=Stop.ANSWER, status="none"), reply=Message("user", "go on", (Image("image/jpeg", b"\xff\xd8"),))),
), Stop.TURN_LIMIT)  # fmt: skip


def test_tools_reasoning_pictures_and_ends_have_their_place(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    made = notebook.from_trajectory(MADE, tools=["book"])
    nbformat.validate(nbformat.from_dict(made))
    sources = [cell["source"] for cell in made["cells"]]
    assert "`book`, `search`" in sources[0]
    assert sources[1].endswith("![image-1](attachment:image-1)")
    assert made["cells"][1]["attachments"]["image-1"]["image/png"] == base64.b64encode(PNG).decode()
    assert "search(1, q='a')" in sources
    assert made["cells"][sources.index("search(1, q='a')")]["metadata"]["tags"] == ["skip-execution"]
    assert "*Reasoning*\n\nhm" in sources
    assert sources[-2].startswith("**You**\n\ngo on")
    assert sources[-1] == "*codeact:* The conversation ended here: turn limit."


HOSTILE = [
    {"application/javascript": "alert(1)", "text/plain": "s"}, {"text/JavaScript; charset=utf-8": "alert(1)"}, {"application/json": "{broken"},
    {"application/json": "NaN"}, {"application/json": "[" * 100_000}, {"application/vnd.x+json": '{"a": 1}'}, {"text/plain": "\udc80\x00\x07half"}, {"x": ""}, {"application/pdf": b"\x00\xff"}, {},
]  # fmt: skip


def test_hostile_outputs_leave_the_notebook_valid_and_without_scripts(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    text = "\x1b[31mred\x1b[0m\x00\udc80 ``` ```` </script> Out[1]: "
    bad = Trajectory(PROMPT, (one(CodeAction("print('\udc80')"), Observation(text, outputs=tuple(HOSTILE), files=("a\x1b`b",))),), Stop.ANSWER)
    notebook.save(bad, tmp_path / "bad.ipynb")
    markdown.save(bad, tmp_path / "bad.md")
    words = (tmp_path / "bad.ipynb").read_text(encoding="utf-8")
    nbformat.validate(nbformat.read(tmp_path / "bad.ipynb", as_version=4))
    assert "alert" not in words
    assert "\\u0000" not in words
    assert "\\udc80" not in words
    document = (tmp_path / "bad.md").read_text(encoding="utf-8")
    assert "`````text\nred ``` ````".replace(" ", "") in document.replace("?", "").replace(" ", "")
    assert not set("\x1b\x00") & set(document)


def test_an_empty_conversation_is_a_notebook_too(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(notebook.from_trajectory(Trajectory(()))))
    assert markdown.from_trajectory(Trajectory(()))[0] == "# A conversation by codeact\n"


def test_a_document_has_its_figures_beside_it_and_fences_that_hold(run, tmp_path):
    figures = markdown.save(run, tmp_path / "my run.md")
    text = (tmp_path / "my run.md").read_text()
    assert [figure.name for figure in figures] == ["figure-1.png"]
    assert figures[0].read_bytes() == PNG
    assert "![figure-1.png](my%20run_files/figure-1.png)" in text
    assert "```python\nprint('one'); 6 * 7\n```\n\n```text\none\n```\n\n```text\n42\n```" in text
    assert "> **You**\n>\n> Do it all" in text
    assert "*Files written: `made.txt`*" in text
    fenced = Trajectory(PROMPT, (one(CodeAction("print('````')"), Observation("`````")),))
    assert "`````python\nprint('````')\n`````\n\n``````text\n`````\n``````" in markdown.from_trajectory(fenced)[0]


def test_an_output_of_another_style_is_kept_as_text():
    with Interpreter(style="mint") as py:
        env = ChatEnvironment(py, "x")
        seen = env.step(CodeAction("print('a')\n1/0"), observe=ignore, cancel=NEVER)
    assert "".join(piece.text if isinstance(piece, Printed) else piece.traceback for piece in pieces(seen)) == seen.text


# The verb -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.save("run.jsonl")
    return Path("run.jsonl")


def test_the_verb_writes_both_kinds_and_nothing_over(saved, capsys):
    assert main(["export", "run.jsonl", "out.ipynb"]) == main(["export", "run.jsonl", "out.md"]) == 0
    assert "out.md written, with 1 figure in out_files" in capsys.readouterr().out
    assert json.loads(Path("out.ipynb").read_text())["nbformat"] == 4
    assert main(["export", "run.jsonl", "out.md"]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["export", "--force", "run.jsonl", "out.md"]) == 0


@pytest.mark.parametrize(("words", "said"), [
    (["run.jsonl", "out.pdf"], "ends in .ipynb or .md"), (["none.jsonl", "out.md"], "none.jsonl"), (["bad.jsonl", "out.md"], "line 1"), (["run.jsonl"], "OUT"),
    (["empty.jsonl", "out.md"], "no conversation in"), (["run.jsonl", "out.md", "--number", "2"], "it has 1"), (["run.jsonl", "no/out.md"], "no/out"),
])  # fmt: skip
def test_wrong_usage_says_what_is_wrong(saved, capsys, words, said):
    Path("bad.jsonl").write_bytes(b"\xff\x00{")
    Path("empty.jsonl").write_text("\n")
    assert main(["export", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("out.md").exists()


def test_a_file_that_is_not_there_is_told_without_numbers(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none.jsonl"), str(tmp_path / "out.md")]) == 2
    assert capsys.readouterr().err == f"codeact export: {tmp_path}/none.jsonl: No such file or directory\n"


def test_a_file_that_is_no_trajectory_is_told_with_what_is_taken(tmp_path, capsys):
    (tmp_path / "text.jsonl").write_text('"hi"\n')
    assert main(["export", str(tmp_path / "text.jsonl"), str(tmp_path / "out.md")]) == 2
    assert "line 1: expected a JSON object, found str\nIt takes a file that --save wrote" in capsys.readouterr().err
