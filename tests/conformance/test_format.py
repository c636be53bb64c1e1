"""One set of questions for every action format in every envelope."""

import itertools
import keyword

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codeact import plugins
from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats._envelope import ENVELOPES
from codeact.messages import Call
from codeact.protocols import ActionFormat

FORMATS = plugins.available("formats")
ALL = [pytest.param(plugins.create("formats", name, envelope=envelope), id=f"{name}-{envelope}")
       for name, envelope in itertools.product(FORMATS, ENVELOPES)]  # fmt: skip
GENEROUS = [param for param in ALL if not param.id.endswith("mint")]
ACTIONS = CodeAction | ToolCall | Answer | Say | Malformed

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

words = st.from_regex(r"[a-z]{1,8}( [a-z,]{1,8}){0,5}", fullmatch=True)
statements = st.sampled_from([
    "x = 1", "print('a, b')", "def f(a):\n    return a < 2", "for i in range(3):\n    print(i)", "# a comment", "%pip list",
    "await g()", "s = '''\n  two\n'''", 'd = {"a": [1, 2]}', "'a\\\\_b'", "x\n\n\ny", "print(“smart”)", "if x &lt; 1:", "r'\\*'",
    "if broken", "f'{x}'", "!ls -l", "text = 'Action: none'", "a[0] = b", "1/0",
])  # fmt: skip
codes = st.lists(statements, min_size=1, max_size=4).map("\n".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from(["</execute>", "<solution>x</solution>", "```\n", "End Action", "\nAnswer: 4", "<tool_call>", "Thought:"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
tool_names = st.sampled_from(["search", "book_hotel", "github.search", "a.b.c", "größe"])
argument_names = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))
tool_calls = st.builds(
    ToolCall, tool_names, st.dictionaries(argument_names, values, max_size=3), thought=words | st.just(""),
    positional=st.lists(values, max_size=3).map(tuple),
)  # fmt: skip
code_actions = st.builds(CodeAction, codes, words | st.just(""))
answers = st.builds(Answer, words | st.sampled_from(["42", "two\nlines", "a < b", "[1, 2]", "100 %", "“so”"]), words | st.just(""))
says = st.builds(Say, words)
marks = st.sampled_from([
    "<execute>", "</execute>", "<solution>", "</solution>", "<thought>", "</thought>", "<think>", "</think>", "```", "```python",
    "```json", "Action:", "End Action", "Answer:", "Thought: ", "Observation:", "\n", "\r\n", " ", "x = 1", "`", '{"tool": "f"}',
    '{"code": "x"}', "f, 1", "f(1)", "{", "[", "<tool_call>", "</tool_call>", "[PYTHON]", "[/PYTHON]", "[TOOL_CALLS]", "<function=f>",
    "<parameter=a>", "“", "\u2019", "\\_", "&lt;", "Action Input:", "\x00", "\ud800", "(((((", "%%bash\n",
])  # fmt: skip


@pytest.fixture(autouse=True)
def _skip_what_cannot_be() -> None:
    """Formats run nothing: the back-ends, which this suite asks otherwise, have no part in it."""


def acts(format: ActionFormat) -> st.SearchStrategy:
    return tool_calls if type(format).__name__ in ("JsonFormat", "TextFormat") else code_actions


@pytest.mark.parametrize("format", GENEROUS)
@given(data=st.data())
@quick
def test_what_is_spelled_is_read_back(format, data):
    action = data.draw(acts(format) | answers | says)
    try:
        spelled = format.spell(action)
    except ValueError:
        # Code cannot be armoured, so what the parser would mend or cut is refused; calls always have a spelling.
        assert isinstance(action, CodeAction)
        assert any(odd in action.code for odd in ("“", "&lt;", "broken", "\\\\_", "Action:"))
    else:
        assert format.parse(spelled) == action


@pytest.mark.parametrize("format", [param for param in ALL if param.id.endswith("mint")])
@given(data=st.data())
@quick
def test_the_strict_envelope_reads_back_too_but_has_no_words(format, data):
    action = data.draw(acts(format) | answers)
    if not (format.native_tools and isinstance(action, CodeAction)):
        assert format.parse(format.spell(action)) == action
    with pytest.raises(ValueError, match="cannot spell"):
        format.spell(Say("hello"))


@pytest.mark.parametrize("format", ALL)
@given(text=st.text() | st.lists(marks | st.text(max_size=3), max_size=12).map("".join), truncated=st.booleans())
@example(text='{"tool":' * 50_000, truncated=False)
@example(text="<execute>" + "[" * 100_000, truncated=False)
@example(text="<execute>" + "-" * 100_000 + "1", truncated=False)
@example(text="<execute>f, " + "9" * 10_000, truncated=False)
@example(text='<execute>{"tool": "f", "args": [' + "9" * 10_000 + "]}", truncated=False)
@quick
def test_no_reply_breaks_the_parser(format, text, truncated):
    assert isinstance(format.parse(text, truncated=truncated), ACTIONS)


@pytest.mark.parametrize("format", [param for param in ALL if param.id in ("code-m3tooleval", "code-fences") or param.id.endswith("chat")])
@pytest.mark.parametrize(
    "piece",
    ["<execute>x</execute>\n", "a <solution> ", "Action: ", "\nAnswer: x", "*", "```\n", "[PYTHON]\nx\n", "<tool_call>", '{"a":', "(", "a, ",
     "“a”", "x\\_y\n", " ", "\n", "<", "[TOOL_CALLS][", "Observation:\n"],
)  # fmt: skip
def test_a_long_hostile_reply_is_read_in_one_pass(format, piece):
    # A search that begins anew at every mark would take minutes here.
    for reply in (piece * 20_000, f"<execute>\n{piece * 20_000}"):
        assert isinstance(format.parse(reply), ACTIONS)


@pytest.mark.parametrize("format", ALL)
@given(name=st.sampled_from(["python", "f", "", "a b"]), arguments=st.text() | st.sampled_from(["{", "[]", "{}", "null", "1", '{"code": 1}', "[" * 100_000]))
@quick
def test_no_native_call_breaks_the_parser(format, name, arguments):
    assert isinstance(format.parse("words", calls=[Call("1", name, arguments)] * 2), ACTIONS)


@pytest.mark.parametrize("format", ALL)
@given(data=st.data())
@quick
def test_a_reply_ends_at_the_stop_strings_whether_the_server_keeps_them_or_not(format, data):
    action = data.draw(acts(format) | answers)
    try:
        spelled = format.spell(action)
    except ValueError:
        return
    for mark in format.stop:
        if mark in spelled:
            kept = spelled[: spelled.index(mark) + len(mark)]
            assert format.parse(kept) == action
            if not format.envelope.strict:
                assert format.parse(kept.removesuffix(mark)) == action


@pytest.mark.parametrize("format", ALL)
@given(data=st.data())
@quick
def test_of_a_reply_that_was_cut_off_nothing_is_done_that_is_not_whole(format, data):
    action = data.draw(acts(format) | answers | says)
    try:
        spelled = format.spell(action)
    except ValueError:
        return
    cut = data.draw(st.integers(0, len(spelled)))
    read = format.parse(spelled[:cut], truncated=True)
    assert isinstance(read, Malformed) or read == action or (format.envelope.strict and read == Answer("", read.thought))


@pytest.mark.parametrize("format", GENEROUS)
@given(data=st.data())
@quick
def test_what_a_model_invents_after_its_action_changes_nothing_and_is_told(format, data):
    action = data.draw(acts(format))
    try:
        spelled = format.spell(action)
    except ValueError:
        return
    read = format.parse(f"{spelled}\nObservation: 3\nAnswer: it is 3")
    assert read.ignored.startswith("Observation: 3")
    assert type(read)(**{**vars(read), "ignored": ""}) == action


@pytest.mark.parametrize("format", ALL)
@pytest.mark.parametrize("action", [Malformed("no"), "not an action"])
def test_what_has_no_spelling_is_refused(format, action):
    with pytest.raises(ValueError, match="cannot spell"):
        format.spell(action)


@pytest.mark.parametrize("format", [param for param in ALL if not param.id.startswith("native")])
def test_the_other_kind_of_action_is_refused(format):
    other = CodeAction("x") if acts(format) is tool_calls else ToolCall("f")
    with pytest.raises(ValueError, match="cannot spell"):
        format.spell(other)


@pytest.mark.parametrize("format", ALL)
@pytest.mark.parametrize("reply", ["", "\n", "<think>so much to think", "<execute>\n\n</execute>"])
def test_what_cannot_be_read_is_answered_with_the_right_form(format, reply):
    if format.envelope.strict and "execute" in reply:
        reply = "nothing"     # the recorder ran empty code
    action = format.parse(reply)
    assert isinstance(action, Malformed)
    assert format.forms in action.message
    assert format.forms in format.instructions([])


@pytest.mark.parametrize("format", ALL)
def test_the_example_in_the_instructions_is_read_as_what_it_shows(format):
    taught = format.forms
    if format.native_tools:
        assert "`python`" in taught
        return
    example = taught.partition(":\n")[2].partition("\n\nTo finish")[0]
    action = format.parse(example)
    assert isinstance(action, CodeAction | ToolCall)
    assert format.spell(action) == example
    answer = taught.rpartition(":\n")[2]
    assert format.parse(answer) == Answer("the answer, for the user to read")


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_made_by_name(name):
    assert plugins.create("formats", name) == plugins.create("formats", name, envelope="chat")
    with pytest.raises(ValueError, match="available: chat, mint, m3tooleval, fences"):
        plugins.create("formats", name, envelope="xml")
