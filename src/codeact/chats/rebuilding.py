"""What an agent's file has, and that file made anew of what the database has."""

import json
from pathlib import Path

from codeact.chats.said import asked, images_of
from codeact.chats.store import Store
from codeact.errors import ConfigError, InterpreterError, TrajectoryError
from codeact.messages import Image, Message
from codeact.resuming import read
from codeact.trajectory import Trajectory, Turn

__all__ = ["kept", "rebuilt"]


def kept(path: Path) -> tuple[Trajectory | None, tuple[str, ...]]:
    """What an agent's file has; None where there is nothing to go on with, and what was only told aside, then."""
    try:
        return read(path).trajectory, ()
    except (ConfigError, TrajectoryError):
        pass
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
        notes = [data["text"] for line in lines if (data := json.loads(line))["type"] == "note"]
        return None, tuple(dict.fromkeys(notes))
    except (OSError, ValueError, KeyError, TypeError):
        return None, ()


def rebuilt(store: Store, key: str) -> Trajectory:
    """The trajectory of the current branch, of what the database has.

    Raises:
        InterpreterError: It has no beginning.
    """
    trajectory: Trajectory | None = None
    images: tuple[Image, ...] = ()
    for entry in store.all_of(key, ("started", "user", "told", "turn")):
        if entry.kind == "started":
            trajectory = Trajectory(tuple(map(Message.from_json, entry.data["prompt"])))
        elif trajectory is not None and entry.kind == "user":
            images = (*images, *images_of(entry))
            trajectory = trajectory.reply(asked(entry.data), images if trajectory.turns else images_of(entry))
        elif trajectory is not None and entry.kind == "told":   # all that it was told, instead of the message alone
            trajectory = trajectory.reply(entry.data["text"], images)
        elif trajectory is not None:
            images = ()
            turn = Turn.from_json(entry.data)
            trajectory = trajectory.add(turn)
            if turn.observation.stop:
                trajectory = trajectory.end(turn.observation.stop)
    if trajectory is None:
        raise InterpreterError("the conversation has no beginning to go on from")
    return trajectory
