"""A model that repeats itself is told so once; if it goes on, the rollout ends.

`StuckWatch` wraps any environment. A turn is a repetition when the same action had the same result before, numbers of
cells and addresses of objects aside; a cell that waits for something and sees it change is none.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from codeact.actions import Action, CodeAction, Malformed, ToolCall
from codeact.events import Note, Observer
from codeact.messages import Message
from codeact.protocols import ActionFormat, Environment, Stopper
from codeact.trajectory import Observation, Stop

__all__ = ["StuckWatch"]

_REMEMBERED_TURNS = 8
_CHANGING = re.compile(r"\bOut\[\d+\]|<cell \d+>|\b0x[0-9a-f]{6,}\b")

_TOLD = "[You have now done exactly this {n} times, with the same result each time. Do something else: look at what \
you have assumed, try another way, or say in your answer what stands in the way. The same once more ends the task.]"


class StuckWatch:
    """An environment that notices repetition.

    Args:
        patience: So many equal turns, among the last few, and the model is told; the next one ends the rollout.
    """

    def __init__(self, env: Environment, *, patience: int = 3) -> None:
        self.env = env
        self.patience = patience
        self._seen: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED_TURNS)
        self._told: set[tuple[str, str]] = set()  # several, as a model may go to and fro between two

    @property
    def format(self) -> ActionFormat:
        """The format of the environment within."""
        return self.env.format

    def reset(self) -> Sequence[Message]:
        """Forget what was seen, and begin."""
        self._seen.clear()
        self._told.clear()
        return self.env.reset()

    def step(self, action: Action, *, observe: Observer, cancel: Stopper) -> Observation:
        """Do what the action asks; see `protocols.Environment`."""
        observation = self.env.step(action, observe=observe, cancel=cancel)
        if observation.stop:
            return observation
        turn = (_spelled(action), _CHANGING.sub("", observation.text))
        self._seen.append(turn)
        n = self._seen.count(turn)
        if n < self.patience:
            return observation
        if turn in self._told:
            observe(Note("the model repeats itself, also after it was told: stopped"))
            return replace(observation, stop=Stop.STUCK)
        self._told.add(turn)
        observe(Note(f"the model has done the same {n} times; it is told"))
        return replace(observation, text=f"{observation.text}\n{_TOLD.format(n=n)}")


def _spelled(action: Action) -> str:
    match action:
        case CodeAction(code):
            return code.strip()
        case ToolCall(name, arguments, positional=positional):
            return f"{name} {positional!r} {arguments!r}"
        case Malformed():
            return "malformed"
    return repr(action)
