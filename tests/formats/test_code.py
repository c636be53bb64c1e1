"""The code format: every way a reply was found to be spelled, and what is read in it."""

# ruff: noqa: RUF001

import gzip
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats._envelope import MINT
from codeact.formats._python import parses
from codeact.formats.code import CodeFormat, create

CODE = CodeFormat()
DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("<execute>\nprint(1)\n</execute>", CodeAction("print(1)")),
        ("<execute> print(1) </execute>", CodeAction("print(1)")),
        ("<thought> Look. </thought>\n<execute>\nx = 1\n</execute>", CodeAction("x = 1", "Look.")),
        ("I look.\n\n<execute>\nx = 1\n</execute>\n", CodeAction("x = 1", "I look.")),
        ("<EXECUTE>\nx = 1\n</ execute >", CodeAction("x = 1")),
        ("<execute>\r\nif x:\r\n    y()\r\n</execute>", CodeAction("if x:\n    y()")),
        ("<execute>\n    if x:\n        y()\n</execute>", CodeAction("if x:\n    y()")),
        # the server took the stop string away
        ("Look.\n<execute>\nprint(1)\n", CodeAction("print(1)", "Look.")),
        ("<solution>\n42", Answer("42")),
        # a fence inside the tags
        ("<execute>\n```python\nprint(1)\n```\n</execute>", CodeAction("print(1)")),
        ("<execute>\n```python\nprint(1)\n</execute>", CodeAction("print(1)")),
        # tags inside a fence of another kind
        ("```scss\n<execute>\nprint(1)\n</execute>\n```", CodeAction("print(1)", "```scss")),
        # several blocks are one cell
        ("<execute>a = 1</execute>\nthen\n<execute>b = 2</execute>", CodeAction("a = 1\nb = 2")),
        ("<execute></execute><execute>b = 2</execute>", CodeAction("b = 2")),
        # Markdown by habit
        ("Sure:\n```python\nprint(1)\n```\nThat prints one.", CodeAction("print(1)", "Sure:")),
        ("```py\na = 1\n```\n```python3\nb = 2\n```", CodeAction("a = 1\nb = 2")),
        ("```\nprint(1)\n```", CodeAction("print(1)")),
        ("1. So:\n   ```python\n   if x:\n       y()\n   ```", CodeAction("if x:\n    y()", "1. So:")),
        ("````python\nprint('''\n```\n''')\n````", CodeAction("print('''\n```\n''')")),
        ("```python\nprint(1)\n", CodeAction("print(1)")),
        ("~~~python\nprint(1)\n~~~", CodeAction("print(1)")),
        ("Answer:\n```\n   Jan  10\n   Feb  20\n```", Say("Answer:\n```\n   Jan  10\n   Feb  20\n```")),
        ("It is\n```\n42\n```", Say("It is\n```\n42\n```")),
        ("```bash\nls\n```", Say("```bash\nls\n```")),
        # reasoning models
        ("<think>use <execute>1</execute>?</think>\n<execute>2</execute>", CodeAction("2", "use <execute>1</execute>?")),
        ("maybe 3</think>It is <solution>3</solution>", Answer("3", "maybe 3\nIt is")),
        ("<think>a</think>hello", Say("hello")),
        # answers
        ("The answer is <solution> 42 </solution>.", Answer("42", "The answer is")),
        ("<solution>42</solution>\n<execute>check()</execute>", Answer("42")),
        ("Hello! What can I do?", Say("Hello! What can I do?")),
        ("Assistant:\nHello!", Say("Hello!")),
        # a tag that is only mentioned
        ("I can use the <execute> tag, if you like.", Say("I can use the <execute> tag, if you like.")),
        ("Write `<execute>` first:\n<execute>\nx = 1\n</execute>", CodeAction("x = 1", "Write `<execute>` first:")),
        ("With <execute> tags:\n<execute>\nx = 1\n</execute>", CodeAction("x = 1", "With <execute> tags:")),
        # tags that are not quite right
        ('<execute language="python">\nx = 1\n</execute>', CodeAction("x = 1")),
        ("<execute>\nx = 1\n<execute>", CodeAction("x = 1")),
        ("<execute>\n<execute>\nx = 1\n</execute>\n</execute>", CodeAction("x = 1")),
        ("<solution>\nThe answer is <solution> 42 </solution>.\n</solution>", Answer("42")),
        ("<thought>It is <solution> 34 </solution>. </thought>\nIt is <solution> 34 </solution>.", Answer("34", "It is")),
        ("<execute>\n</execute>\n<solution>4</solution>", Answer("4")),
        # what stands around code inside of the tags
        ("<execute>\npython\nif x:\n    y()\n</execute>", CodeAction("if x:\n    y()")),
        ("<execute>\nHere it is:\n```python\nx = 1\n```\nDone.\n</execute>", CodeAction("x = 1")),
        ("<execute>\nimport math\nn = 1\n```\n", CodeAction("import math\nn = 1")),
        ('<execute>\n{"code": "x = 1\\ny = 2"}\n</execute>', CodeAction("x = 1\ny = 2")),
        # marks that some models were trained to write
        ("[PYTHON]\ndef f():\n    return 1\n[/PYTHON]\n[TESTS]\nassert f()\n[/TESTS]", CodeAction("def f():\n    return 1")),
        ("Sure.\n[PYTHON]\nx = 1\n", CodeAction("x = 1", "Sure.")),
        ("<|python_tag|>print(1)", CodeAction("print(1)")),
        ("<execute_ipython>\nprint(1)\n</execute_ipython>", CodeAction("print(1)")),
        ("<code>\nI am no code\n</code>", Say("<code>\nI am no code\n</code>")),
        ('{"code": "print(1)"}', CodeAction("print(1)")),
        ('```json\n{"code": "print(1)"}\n```', CodeAction("print(1)")),
        ('{"name": "python", "arguments": {"code": "print(1)"}}', CodeAction("print(1)")),
        ('{"city": "Lisbon"}', Say('{"city": "Lisbon"}')),
        ("Use `x = 1` or ```y = 2``` there.", Say("Use `x = 1` or ```y = 2``` there.")),
    ],
)
def test_a_clear_reply_is_read(reply, action):
    assert CODE.parse(reply) == action


@pytest.mark.parametrize(
    ("reply", "code", "ignored"),
    [
        ("<execute>f()</execute>\nObservation:\n3\n<solution>3</solution>", "f()", "Observation:\n3\n<solution>3</solution>"),
        ("<execute>f()</execute>Observation:\n3", "f()", "Observation:\n3"),
        ("<execute>f()</execute>\n<solution>3</solution>", "f()", "<solution>3</solution>"),
        ("<execute>f()</execute>\nOut[3]: 3\n\n<execute>g()</execute>", "f()", "Out[3]: 3\n\n<execute>g()</execute>"),
        ("<execute>f()</execute>\n [INST: Observation: x", "f()", "[INST: Observation: x"),
        ("```python\nf()\n```\nUser: 3\n```python\ng()\n```", "f()", "User: 3\n```python\ng()\n```"),
        ("<execute>f()</execute>\nI hope this works.", "f()", ""),
        ("<execute>f()</execute>\n\nAssistant:\n<thought>Now g.</thought>\n<execute>g()</execute>", "f()",
         "Assistant:\n<thought>Now g.</thought>\n<execute>g()</execute>"),
        ("<execute>f()</execute>\n**Output:**\n```\n3\n```", "f()", "**Output:**\n```\n3\n```"),
        ("```python\nf()\n```\n<tool_response>3</tool_response>", "f()", "<tool_response>3</tool_response>"),
        # the server took the stop string away, and the model went on
        ("<execute>\nf()\nObservation:\n3", "f()", "Observation:\n3"),
        # cut off in a later block: what is whole is run
        ("<execute>a = 1</execute>\n<execute>\nprint('b", "a = 1", "print('b"),
        ("<execute>a = 1</execute>\n<execute>\nprint('b')", "a = 1\nprint('b')", ""),
    ],
)
def test_what_runs_ahead_of_the_result_is_set_aside(reply, code, ignored):
    action = CODE.parse(reply)
    assert isinstance(action, CodeAction)
    assert (action.code, action.ignored) == (code, ignored)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("Assistant:\n", "is empty"),
        ("<thought> </thought>", "is empty"),
        ("<execute></execute>", "no code"),
        ("<execute>\n```python\n```\n</execute>", "no code"),
        ("<solution> </solution>", "answer in it is empty"),
        ("<execute>", "<execute> in it has no partner"),
        ("print(1)\n</execute>", "<execute> in it has no partner"),
        ("<think>so much to think", "before your thinking did"),
        ("Observation:\nIt is known that there are 3.", "claims an observation"),
        ("Assistant:\nObservation:\nPage: Lisbon\nSummary: a city", "claims an observation"),
        ("```python\n```", "is no code"),
        ("<execute>\npython\n</execute>", "is no code"),
    ],
)
def test_an_unclear_reply_is_malformed_and_the_right_form_is_shown(reply, reason):
    action = CODE.parse(reply)
    assert isinstance(action, Malformed)
    assert reason in action.message
    assert CODE.forms in action.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("print(“hello”)", 'print("hello")'),
        ("print(‘it’s’)", "print('it’s')"),
        ("x = “a ‘b’ c”", 'x = "a ‘b’ c"'),
        ('y = "a “b”"\nprint(“c”)', 'y = "a “b”"\nprint("c")'),
        ("print(“a”)  # ‘why’", 'print("a")  # ‘why’'),
        ("if a &lt; b &amp;&amp; c:\n    pass", "if a &lt; b &amp;&amp; c:\n    pass"),
        ("if a &lt; b:\n    pass", "if a < b:\n    pass"),
        ("print(&quot;a&quot;)", 'print("a")'),
        ("my\\_name = 2 \\* 3", "my_name = 2 * 3"),
        ("my\\_name = re.findall(r'\\*', s)", "my_name = re.findall(r'\\*', s)"),
        ("my\\_list\\[0\\] = f'{my\\_name}'", "my_list[0] = f'{my_name}'"),
        ("x\u00a0= 1\u200b", "x = 1"),
        ("x = my\\_list(“a”)", 'x = my_list("a")'),
        ("for x in y:\n    print(“a \"b\"”)", 'for x in y:\n    print("a \\"b\\"")'),
        # what parses stays, and what cannot be mended stays, too
        ("print('“a”', '&lt;', '\\\\_')", "print('“a”', '&lt;', '\\\\_')"),
        ("x = a &lt; b", "x = a &lt; b"),
        ("if x\n    my\\_name()", "if x\n    my\\_name()"),
        ("let x = “a”", "let x = “a”"),
        ("%pip install a\\_b\nawait f(“x”)", '%pip install a\\_b\nawait f("x")'),
        ("%%bash\necho “a”", "%%bash\necho “a”"),
        ("files = !ls *.csv\nprint(files)", "files = !ls *.csv\nprint(files)"),
    ],
)
def test_code_that_chat_has_damaged_is_mended_where_it_parses_afterwards_and_not_before(written, meant):
    assert CODE.parse(f"<execute>\n{written}\n</execute>") == CodeAction(meant)
    assert CodeFormat(MINT).parse(f"<execute>\n{written}\n</execute>") == CodeAction(written)


def test_code_too_long_to_parse_is_run_as_it_stands():
    code = "print(“a”)\n" * 50_000
    assert CODE.parse(f"<execute>\n{code}</execute>") == CodeAction(code.strip())


@pytest.mark.parametrize("reply", ["Look.\n<execute>\nx = 1", "```python\nx = 1", "I will now", "<solution>4", "<think>"])
def test_a_reply_that_was_cut_off_is_not_guessed_at(reply):
    assert isinstance(CODE.parse(reply, truncated=True), Malformed)


def test_what_was_closed_before_the_cut_counts():
    assert CODE.parse("<execute>a = 1</execute>\n<execute>b =", truncated=True) == CodeAction("a = 1")
    assert CODE.parse("```python\na = 1\n```\nNow", truncated=True) == CodeAction("a = 1")


@given(st.text())
def test_no_reply_breaks_the_parser(reply):
    for format in (CODE, CodeFormat(MINT)):
        for truncated in (False, True):
            assert isinstance(format.parse(reply, truncated=truncated), CodeAction | Answer | Say | Malformed)


@given(st.lists(st.sampled_from([*CODE.stop, "<execute>", "<solution>", "<think>", "</think>", "```", "```python", "\n", "x = 1", "Observation:", "`"])))
def test_no_mixture_of_marks_breaks_the_parser(pieces):
    assert isinstance(CODE.parse("".join(pieces)), CodeAction | Answer | Say | Malformed)


@pytest.mark.parametrize(
    "piece",
    ["<execute>\n", "a <execute> ", "```python\n", "```\n", "<think>", "\n", " ", "<", "< / ", "<thought>", "(", "-"],
)
def test_no_long_reply_takes_long_to_read(piece):
    began = time.process_time()
    for format in (CODE, CodeFormat(MINT)):
        for reply in (piece * 10_000, f"```\n{piece * 10_000}\n```", f"<execute>\n{piece * 10_000}"):
            format.parse(reply)
    assert time.process_time() - began < 5  # quadratic ones took minutes


@pytest.mark.parametrize(
    "action",
    [
        CodeAction("x = 1"),
        CodeAction("def f():\n    return '</b>'\n\nf()", "I define f."),
        Answer("42"),
        Answer("two\nlines", "as computed"),
        Say("Hello"),
    ],
)
def test_what_is_spelled_is_read_back(action):
    assert CODE.parse(CODE.spell(action)) == action


@pytest.mark.parametrize("action", [ToolCall("f", {}), Malformed("no")])
def test_what_has_no_spelling_is_refused(action):
    with pytest.raises(ValueError, match="cannot spell"):
        CODE.spell(action)


def test_formats_are_made_by_name():
    assert create() == CODE
    assert create(envelope="mint") == CodeFormat(MINT)
    with pytest.raises(ValueError, match="available: chat, mint, m3tooleval, fences"):
        create(envelope="xml")


def recorded() -> list[Path]:
    return sorted((DATA / "mint" / "trajectories").glob("*.jsonl.gz"))


needs_data = pytest.mark.skipif(not recorded(), reason="no recorded trajectories in CODEACT_DATA or ../shared/data")


@needs_data
def test_recorded_replies_give_the_actions_that_the_recorder_counted():
    counted_as = {CodeAction: "use_tool", Answer: "propose_solution", Malformed: "invalid_action"}
    n_records, different = 0, []
    for path in recorded():
        with gzip.open(path, "rt") as lines:
            for record in map(json.loads, lines):
                state = record["state"]
                said = [message["content"] for message in state["history"] if message["role"] == "assistant"]
                counts = Counter(counted_as[type(CodeFormat(MINT).parse(reply))] for reply in said)
                n_records += 1
                if any(counts[kind] != count for kind, count in state["agent_action_count"].items()):
                    different.append((path.name, counts, state["agent_action_count"]))
    assert n_records == 960
    # One record has a reply that was empty and so is not in its history (notes of the data, "Turns").
    assert len(different) == 1
    (_, ours, theirs) = different[0]
    assert theirs["invalid_action"] == ours["invalid_action"] + 1


def recorded_replies():
    """Model, and every reply of its recorded runs."""
    for path in recorded():
        with gzip.open(path, "rt") as lines:
            for record in map(json.loads, lines):
                for message in record["state"]["history"]:
                    if message["role"] == "assistant":
                        yield path.name, message["content"]


@needs_data
def test_our_own_reading_keeps_every_action_that_the_recorder_read():
    n_actions, n_mended = 0, 0
    for _, reply in recorded_replies():
        theirs, ours = CodeFormat(MINT).parse(reply), CODE.parse(reply)
        if isinstance(theirs, CodeAction):
            n_actions += 1
            assert isinstance(ours, CodeAction)
            # The same code, or its first blocks, where the recorder ran on behind an invented result, or a last block more.
            kept, said = lines_of(ours.code), lines_of(theirs.code)
            if kept != said[: len(kept)] and said != kept[: len(said)]:
                n_mended += 1
                assert parses(ours.code)
                assert not parses(theirs.code)
        elif isinstance(theirs, Answer):
            assert isinstance(ours, CodeAction | Answer)
            if isinstance(ours, Answer):
                assert ours.text in theirs.text or not theirs.text
    assert n_actions > 2000
    assert n_mended > 300


def lines_of(code):
    return [line.strip() for line in code.split("\n")]


@needs_data
def test_our_own_reading_makes_use_of_replies_that_the_recorder_refused():
    kinds: Counter[str] = Counter()
    runnable: Counter[str] = Counter()
    for name, reply in recorded_replies():
        theirs, ours = CodeFormat(MINT).parse(reply), CODE.parse(reply)
        if isinstance(theirs, Malformed):
            kinds[type(ours).__name__] += 1
            if not reply.removeprefix("Assistant:").strip() or reply.removeprefix("Assistant:").lstrip().startswith("Observation:"):
                assert isinstance(ours, Malformed)
        elif isinstance(theirs, CodeAction):
            runnable[name, "theirs"] += parses(theirs.code)
            runnable[name, "ours"] += parses(ours.code)
    # Words for the user are usable too: a chat ends with them.
    assert kinds == {"CodeAction": 88, "Say": 104, "Malformed": 27}
    # One model escapes underscores as if it wrote Markdown: most of its code parses only when that is undone.
    vicuna = "vicuna-13b-v1.5.jsonl.gz"
    assert runnable[vicuna, "ours"] - runnable[vicuna, "theirs"] > 390
    assert all(runnable[name, "ours"] >= runnable[name, "theirs"] for name, _ in runnable)
