"""A conversation by its exchanges: a message of the person's, and all turns on it."""

from collections.abc import Sequence

from codeact.trajectory import Trajectory, Turn

__all__ = ["exchanges"]


def exchanges(trajectory: Trajectory) -> list[tuple[str, Sequence[Turn]]]:
    """What the user said, each time with the turns on it."""
    said = "\n\n".join(message.content for message in trajectory.prompt if message.role == "user")
    found: list[tuple[str, Sequence[Turn]]] = []
    turns: list[Turn] = []
    for turn in trajectory.turns:
        turns.append(turn)
        if turn.reply is not None:
            found.append((said, turns))
            said, turns = turn.reply.content, []
    return [*found, (said, turns)] if said or turns else found
