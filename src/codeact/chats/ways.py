"""Ways a conversation went: what changes where it stands makes a branch, so that nothing is ever lost.

An edited cell, a message said in another way, an undo, a branch at any turn; each with the interpreter of that moment.
"""

from __future__ import annotations

from codeact.actions import CodeAction, ToolCall, action_from_json
from codeact.agent import of_cell
from codeact.chats.awake import BUSY
from codeact.chats.said import asked, images_of
from codeact.chats.talk import Talk, judge_code, judge_text, title_of
from codeact.chats.values import Branch, Entry, Summary
from codeact.errors import ChatBusy, ChatRefused, CodeActError
from codeact.events import Note
from codeact.recording import Recorder
from codeact.resuming import state_path

__all__ = ["Ways"]

_CHANGED = "[I changed your cell and ran it in the interpreter, as shown. Go on from its result.]"


class Ways(Talk):
    """Conversations that can be led another way."""

    def edit(self, key: str, owner: str, turn: int, code: str) -> str:
        """Change the cell of a turn and go on from there, on a branch: it runs with the state of that moment.

        Returns:
            The branch.
        """
        judge_code(code)
        with self._alone(key, owner) as summary:
            if not 0 <= turn < summary.n_turns:
                raise ChatRefused(f"there is no turn {turn}: there are {summary.n_turns}, numbered from 0")
            self._check_limits(key, owner)
            said = self._store.said_at(key, turn)
            at_seq = said.seq - 1 if said else None
            branch = self._branch(summary, turn, at_seq, f"edited: {code.strip().splitlines()[0]}")
            live = self._live(self._store.summary(key, owner))
            text, pictures = (asked(said.data), images_of(said)) if said is not None else (_CHANGED, ())
            task = live.task(text, pictures)
            if said is not None:
                self._store.add(key, [("user", said.data, turn)])
            live.begin(("cell", {"code": code}, turn), live.cell(code, task))
        return branch

    def edit_message(self, key: str, owner: str, turn: int, text: str) -> str:
        """Say the message that began a turn in another way, on a branch; gives the branch."""
        judge_text(text)   # before there is a branch for it
        with self._alone(key, owner) as summary:
            if (said := self._store.said_at(key, turn)) is None:
                raise ChatRefused(f"no message began turn {turn}")
            self._check_limits(key, owner)
            branch = self._branch(summary, turn, said.seq - 1, f"said anew: {title_of(text)}")
            self.send(key, owner, text, images=images_of(said), attached=said.data.get("files", ()))
        return branch

    def retry(self, key: str, owner: str) -> int:
        """Have the last message done again, on a branch; gives the number of its entry."""
        with self._alone(key, owner) as summary:
            last = self._last_said(key, 1)
            self._check_limits(key, owner)
            self._branch(summary, last.turn or 0, last.seq - 1, "done again")
            return self.send(key, owner, last.data["text"], images=images_of(last), attached=last.data.get("files", ()))

    def undo(self, key: str, owner: str, n: int = 1) -> None:
        """Take back the last messages and all that was done on them; they stay on their branch."""
        with self._alone(key, owner) as summary:
            last = self._last_said(key, n)
            self._branch(summary, last.turn or 0, last.seq - 1, f"before: {title_of(last.data['text'])}")

    def branch(self, key: str, owner: str, turn: int, *, label: str = "") -> str:
        """Go on from after so many turns on a branch of its own, with the interpreter's state of that moment.

        Files are not put back; they are the same for all branches.

        Raises:
            ChatBusy: Something runs.
            ChatRefused: There are not so many turns.
        """
        with self._alone(key, owner) as summary:
            if not 0 <= turn <= summary.n_turns:
                raise ChatRefused(f"a branch cannot begin with {turn} turns: there are {summary.n_turns}")
            return self._branch(summary, turn, None, label)

    def branches(self, key: str, owner: str) -> list[Branch]:
        """All ways it went, oldest first."""
        self._store.summary(key, owner)
        return self._store.branches(key)

    def switch(self, key: str, owner: str, branch: str) -> None:
        """Go on with another branch, as it was left.

        Raises:
            ChatBusy: Something runs.
        """
        with self._alone(key, owner):
            self._to_sleep(key)
            self._store.switch(key, branch)
        self._news.tell(key)

    # ------------------------------------------------------------------------------------------------------------------

    def _branch(self, summary: Summary, turn: int, at_seq: int | None, label: str) -> str:
        key = summary.id
        live = self._live(summary)
        if live.is_running:
            raise ChatBusy(BUSY)
        trajectory = live.agent.trajectory
        if at_seq is None:
            at_seq = self._store.end_of(key, turn)
        n_cells, aside = self._cells_around(key, turn, at_seq)
        new = self._store.branch(key, turn, at_seq, label)
        path = live.file(new)
        if turn and trajectory is not None:
            trajectory.cut(turn).save(path)
            try:
                if n_cells:
                    live.agent.interpreter.undo(n_cells)  # type: ignore[attr-defined]
                live.agent.interpreter.save(state_path(path, turn))  # type: ignore[attr-defined]
            except (CodeActError, OSError, ValueError):
                pass   # its cells are run again when it is woken
        if aside:
            with Recorder(path) as recorder:
                for told in aside:
                    recorder.write(Note(told).to_json())
        self._to_sleep(key)
        self._store.add(key, [("branched", {"branch": new, "from_branch": summary.branch, "at_turn": turn}, turn)])
        self._news.tell(key)
        return new

    def _last_said(self, key: str, n: int) -> Entry:
        said = list(self._store.all_of(key, ("user",)))
        if not 1 <= n <= len(said):
            raise ChatRefused("there is nothing to take back" if not said else f"there are {len(said)} messages")
        return said[-n]

    def _cells_around(self, key: str, turn: int, at_seq: int) -> tuple[int, list[str]]:
        """Cells that ran after an entry, and what is to be told of the user's own between the last turn and it."""
        n, own = 0, list[list[str]]()
        for entry in self._store.all_of(key, ("turn", "cell", "cell_done", "told")):
            ran = entry.kind == "cell" or (
                entry.kind == "turn" and isinstance(action_from_json(entry.data["action"]), CodeAction | ToolCall)
                and entry.data["observation"].get("status") != "none")
            was_lost = entry.kind == "cell_done" and "why" in entry.data   # no state of the interpreter's has it
            if entry.seq > at_seq:
                n += ran - was_lost
            elif entry.kind == "told":   # of all the cells before it
                own.clear()
            elif entry.turn == turn and entry.kind == "cell":
                own.append([entry.data["code"], ""])
            elif entry.turn == turn and entry.kind == "cell_done" and own:
                own[-1][1] = entry.data["text"]
        return n, [of_cell(code, result) for code, result in own]
