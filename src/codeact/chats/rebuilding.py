"""What an agent's file has, and that file made anew of what the database has."""

import json
from pathlib import Path

from codeact.chats.store import Store
from codeact.errors import ConfigError, InterpreterError, TrajectoryError
from codeact.messages import Image, Message
from codeact.resuming import read
from codeact.trajectory import Trajectory, Turn

__all__ = ["kept", "rebuilt"]


def kept(path: Path) -> tuple[int, tuple[str, ...]]:
    """How many turns an agent's file has, -1 where there is nothing to go on with, and what was only told aside."""
    try:
        return len(read(path).trajectory.turns), ()
    except (ConfigError, TrajectoryError):
        pass
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
        notes = [data["text"] for line in lines if (data := json.loads(line))["type"] == "note"]
        return -1, tuple(dict.fromkeys(notes))
    except (OSError, ValueError, KeyError, TypeError):
        return -1, ()


def rebuilt(store: Store, key: str) -> Trajectory:
    """The trajectory of the current branch, of what the database has.

    Raises:
        InterpreterError: It has no beginning.
    """
    trajectory: Trajectory | None = None
    for entry in store.all_of(key, ("started", "user", "turn")):
        if entry.kind == "started":
            trajectory = Trajectory(tuple(map(Message.from_json, entry.data["prompt"])))
        elif trajectory is not None and entry.kind == "user":
            trajectory = trajectory.reply(entry.data["text"], tuple(map(Image.from_json, entry.data.get("images", ()))))
        elif trajectory is not None:
            turn = Turn.from_json(entry.data)
            trajectory = trajectory.add(turn)
            if turn.observation.stop:
                trajectory = trajectory.end(turn.observation.stop)
    if trajectory is None:
        raise InterpreterError("the conversation has no beginning to go on from")
    return trajectory
