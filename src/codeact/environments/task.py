"""A task with a known answer, and an interpreter with its tools: the environment of evaluations and data generation.

Actions go the way they go in a chat. An answer is judged by the suite: a right one ends the rollout, a wrong one is
told to the model, which may go on as long as it has turns and answers. Words without an action are no answer here:
the model is shown the right form, as for a reply that cannot be read.

Source: paper sections 2.3 (M3ToolEval: ten turns, wrong answers are told) and 3.1 (MINT: five turns, two answers).
"""

from collections.abc import Mapping, Sequence

from codeact.actions import Action, Answer, CodeAction, Malformed, Say, ToolCall
from codeact.environments.chat import ChatEnvironment
from codeact.events import Observer
from codeact.messages import Message
from codeact.prompts import render
from codeact.protocols import ActionFormat, Runner, Stopper, Tool
from codeact.tasks import Settings, Suite, Task
from codeact.trajectory import Observation, Stop

__all__ = ["TaskEnvironment"]


class TaskEnvironment:
    """One task of a suite, done in one interpreter.

    Args:
        runner: Where code runs; it has the task's tools.
        tools: The same tools, for the prompt.
        settings: The suite's own if None.
        checker: Whose verdict ends the rollout; the suite's first if None.
    """

    def __init__(
        self,
        suite: Suite,
        task: Task,
        runner: Runner,
        *,
        format: ActionFormat,
        tools: Sequence[Tool] = (),
        settings: Settings | None = None,
        checker: str | None = None,
    ) -> None:
        self.suite = suite
        self.task = task
        self.settings = settings or suite.settings
        self.checker = checker or suite.checkers[0]
        self.tools = tuple(tools)
        self._acting = ChatEnvironment(
            runner, task.instruction, format=format, tools=tools, timeout=self.settings.timeout_seconds
        )
        self.answers: list[tuple[str, Mapping[str, bool]]] = []
        """What was answered so far, with each checker's verdict."""
        self._n_turns = 0

    @property
    def format(self) -> ActionFormat:
        """How actions are spelled."""
        return self._acting.format

    @property
    def verdicts(self) -> dict[str, bool]:
        """By checker: whether one of the answers was right."""
        return {name: any(verdict[name] for _, verdict in self.answers) for name in self.suite.checkers}

    def reset(self) -> Sequence[Message]:
        """What the model first sees."""
        self._n_turns = 0
        self.answers.clear()
        return self.suite.prompt(self.task, self.format.instructions(self.tools))

    def step(self, action: Action, *, observe: Observer, cancel: Stopper) -> Observation:
        """Do what the action asks; see `protocols.Environment`."""
        self._n_turns += 1
        match action:
            case CodeAction() | ToolCall():
                return self._acting.step(action, observe=observe, cancel=cancel)
            case Answer(text):
                return self._judge(text)
            case Say():
                forms = getattr(self.format, "forms", "")
                return Observation(render("no_action", forms=forms, left=self._left()), status="none")
            case Malformed(message):
                return Observation(f"{message}\n\n{self._left()}", status="none")

    def _judge(self, text: str) -> Observation:
        verdict = self.suite.check(self.task, text)
        self.answers.append((text, verdict))
        if verdict[self.checker] or len(self.answers) == self.settings.max_answers:
            return Observation("", stop=Stop.ANSWER, status="none")
        return Observation(render("wrong_answer", left=self._left()), status="none")

    def _left(self) -> str:
        left = self.settings.max_turns - self._n_turns
        turns = f"You have {left} {'reply' if left == 1 else 'replies'} left"
        if self.settings.max_answers is None:
            return f"{turns}."
        answers = self.settings.max_answers - len(self.answers)
        return f"{turns}, and {answers} {'answer' if answers == 1 else 'answers'}."
