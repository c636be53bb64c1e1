"""The native format: a model acts by calling the one tool `python` of its API, with the code as argument.

For APIs and servers that have tool calls of their own. Several calls in one reply are one cell. Where a server leaves
the call in the text (`<tool_call>{...}</tool_call>`), it is read there, and `spell` writes it so. A model that writes
code between the marks of the envelope instead is understood, too; answers always stand between those.

Source: the tool calls of chat APIs, and of the chat templates that write them as text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from codeact.actions import Action, CodeAction, ToolCall
from codeact.formats._blocks import Content, Contents, without_role
from codeact.formats._calls import armoured, call_of
from codeact.formats._describe import as_functions
from codeact.formats._envelope import named
from codeact.formats._json_calls import json_of
from codeact.formats._python import PYTHON, mended, parses
from codeact.formats._spelling import ANSWER_EXAMPLE, EnvelopedFormat
from codeact.formats._tags import TagsEnvelope
from codeact.formats._values import first_object, literal
from codeact.messages import Call
from codeact.protocols import NativeTool, Tool

__all__ = ["NativeFormat", "create"]

_PYTHON_TOOL = NativeTool(
    "python",
    "Run Python code in a session that lasts: variables, imports and files stay. You are shown what it printed, the "
    "value of its last expression, and the traceback if it failed.",
    {
        "type": "object",
        "properties": {"code": {"type": "string", "description": "The code to run."}},
        "required": ["code"],
        "additionalProperties": False,
    },
)
_NAMES = {
    "python", "run_python", "execute_python", "ipython", "code_interpreter", "execute", "execute_code", "run_code"
}  # fmt: skip
"""What models call it, whatever its name is."""

_FORMS = """\
To run Python, call the tool `python` with your code as its argument `code`.

To finish, call no tool, and end your reply with:
{answer}"""

_INSTRUCTIONS = """\
You act by running Python with the tool `python`. In each reply, say in a sentence or two what you are going to do, \
then do one of two things.

{forms}

After code you are shown what it printed, the value of its last expression, and the traceback if it failed; then it is \
your turn again. Do not guess the output of code, and give no answer in the same reply. If code fails, read the \
traceback and correct it."""

_IN_TEXT = TagsEnvelope(action="tool_call", stops_at_action=False)
_TOOL_CALLS = re.compile(r"\[TOOL_CALLS\]\s{0,20}(?=[\[{])")
_FUNCTION = re.compile(r"<function[= ](?:name=)?\"?([\w.]{1,100})\"?>")
_PARAMETER = re.compile(r"<parameter[= ](?:name=)?\"?(\w{1,100})\"?>\n?(.*?)\n?</parameter>", re.S)
_BEGINS = re.compile(r"[\[{]")
_THOUGHT_MARKS = re.compile(r"</?(?:think|thinking|thought)>", re.I)


def _complete(text: str) -> bool:
    try:
        return bool(_written(text))
    except ValueError:
        return False


def _is_bare(text: str) -> bool:
    return False


def _claims(label: str, body: str) -> bool:
    return label == "tool_call"


CALLS_IN_TEXT = Content("tool call", "json", _claims, str.strip, _complete, _is_bare, joins=True)


@dataclass(frozen=True)
class NativeFormat(EnvelopedFormat):
    """Actions are native tool calls of a chat API."""

    @property
    def content(self) -> Content:
        """Python, where it is written as text all the same."""
        return PYTHON

    @property
    def forms(self) -> str:
        """Both forms; also what a model is shown when its reply could not be read."""
        return _FORMS.format(answer=self.envelope.wrap("answer", ANSWER_EXAMPLE))

    @property
    def native_tools(self) -> tuple[NativeTool, ...]:
        """The one tool."""
        return (_PYTHON_TOOL,)

    @property
    def stop(self) -> tuple[str, ...]:
        """Only what ends an answer: a call is ended by the API."""
        return tuple(mark for mark in self.envelope.stop if mark in self.envelope.wrap("answer", "-"))

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        taught = _INSTRUCTIONS.format(forms=self.forms)
        return f"{taught}\n\n{as_functions(tools)}" if tools else taught

    def parse(self, text: str, *, truncated: bool = False, calls: Sequence[Call] = ()) -> Action:
        """Read the action in a reply; never raises."""
        if calls:
            return self._called(text, calls, truncated)
        if marked := _marked(text):
            found = _IN_TEXT.read(marked, CALLS_IN_TEXT, truncated=truncated)
            if found.kind == "nothing":
                return self._malformed(found.body)
            if found.kind == "action":
                try:
                    return _together(_written(found.body), found.thought, found.ignored)
                except ValueError as error:
                    return self._malformed(str(error))
        return super().parse(text, truncated=truncated)

    def _called(self, text: str, calls: Sequence[Call], truncated: bool) -> Action:
        thought = without_role(_THOUGHT_MARKS.sub("", text))
        try:
            return _together([_read(call.name, _object(call, truncated)) for call in calls], thought)
        except ValueError as error:
            cut = "; it was cut off, so write less in one reply" if truncated else ""
            return self._malformed(f"{error}{cut}")

    def _action(self, found: Contents) -> Action:
        return CodeAction(mended(found.body), found.thought, found.ignored)

    def _spellings(self, action: Action) -> Iterator[str]:
        if not isinstance(action, CodeAction | ToolCall):
            yield from super()._spellings(action)
            return
        call = action if isinstance(action, ToolCall) else ToolCall("python", {"code": action.code})
        written = json_of(call, tool="name", args="arguments")
        for body in (written, armoured(written, "\\u{:04x}")):
            yield _IN_TEXT.wrap("action", body, action.thought)


def _marked(text: str) -> str | None:
    """The reply with its textual calls between one kind of marks; None if it has none."""
    for marks in (_TOOL_CALLS, _FUNCTION):
        if "<tool_call>" not in text and (found := marks.search(text)):
            rest = text[found.end() if marks is _TOOL_CALLS else found.start() :]
            return f"{text[: found.start()]}\n<tool_call>\n{rest}"
    return text if "<tool_call>" in text else None


def _together(actions: Sequence[CodeAction | ToolCall], thought: str, ignored: str = "") -> Action:
    """Several calls as one action: code is one cell; a call of something else stands alone."""
    codes = [action.code for action in actions if isinstance(action, CodeAction)]
    if len(codes) == len(actions):
        return CodeAction("\n".join(codes), thought, ignored)
    if len(actions) == 1 and isinstance(actions[0], ToolCall):
        call = actions[0]
        return ToolCall(call.name, call.arguments, thought, ignored, call.positional)
    raise ValueError("it calls several tools; call `python` alone, once, and call functions inside of its code")


def _object(call: Call, truncated: bool) -> Any:
    """The arguments of a native call; text that is no JSON is taken for the code itself, if it is Python."""
    try:
        return json.loads(call.arguments, strict=False) if call.arguments.strip() else {}
    except (ValueError, RecursionError) as error:
        if call.name in _NAMES and not truncated and parses(call.arguments):
            return call.arguments
        raise ValueError(f"the arguments of the call of {call.name!r} are no JSON: {error}") from None


def _read(name: str, arguments: Any) -> CodeAction | ToolCall:
    """A call by what was written: of `python`, or of a function that the model takes for a tool."""
    if name not in _NAMES:
        return call_of(name, arguments)
    if isinstance(arguments, dict) and len(arguments) == 1:
        (arguments,) = arguments.values()
    elif isinstance(arguments, dict):
        arguments = arguments.get("code")
    if not isinstance(arguments, str) or not arguments.strip():
        raise ValueError(f"the call of {name!r} has no code in it")
    return CodeAction(mended(arguments.strip("\n").rstrip()))


def _written(text: str) -> list[CodeAction | ToolCall]:
    """Calls that a server left in the text.

    Raises:
        ValueError: There is none, or one cannot be read; worded for the model.
    """
    calls: list[CodeAction | ToolCall] = []
    if functions := list(_FUNCTION.finditer(text)):
        for function, end in zip(functions, [*(other.start() for other in functions[1:]), len(text)], strict=True):
            body = text[function.end() : end]
            values: Any = dict(_PARAMETER.findall(body))
            if function[1] not in _NAMES:
                values = {key: _parameter(value) for key, value in values.items()}
            if not values and "{" in body:
                values, _ = first_object(body, body.index("{"))
            calls.append(_read(function[1], values))
        return calls
    position = 0
    while begins := _BEGINS.search(text, position):
        value, position = first_object(text, begins.start())
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                raise ValueError("the call in it has no name")
            given = [item[key] for key in ("arguments", "parameters", "args", "input") if key in item]
            arguments = given[0] if given else {key: other for key, other in item.items() if key != "name"}
            if isinstance(arguments, str) and arguments.lstrip()[:1] == "{":
                arguments, _ = first_object(arguments.lstrip())
            calls.append(_read(item["name"], arguments))
    if not calls:
        raise ValueError("there is no call in it")
    return calls


def _parameter(text: str) -> Any:
    try:
        return literal(text)
    except ValueError:
        return text


def create(*, envelope: str = "chat") -> NativeFormat:
    """The native format by name; `envelope` marks answers: "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return NativeFormat(named(envelope))
