"""The sessions of a service: one request at a time, limits on their number, saving and coming back."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")

from codeact.errors import InterpreterError, InterpreterGone
from codeact.server.faults import Fault
from codeact.server.sessions import Sessions


class Py:
    """What the service needs of an interpreter, without processes."""

    level = 3
    made: list["Py"] = []

    def __init__(self, **arguments):
        self.arguments, self.variables, self.closed = arguments, {}, False
        self.stopped = threading.Event()
        Py.made.append(self)

    def interrupt(self):
        self.stopped.set()

    def close(self):
        self.closed = True


class Savable(Py):
    """One that can be saved."""

    unsavable = False
    broken = ""

    def save(self, path):
        if self.unsavable:
            raise InterpreterError("a variable cannot be saved")
        Path(path).write_text(repr(self.variables))

    @classmethod
    def load(cls, path, **arguments):
        if cls.broken:
            raise InterpreterError(cls.broken)
        py = cls(**arguments)
        py.variables = eval(Path(path).read_text())
        return py


@pytest.fixture(autouse=True)
def fresh():
    Py.made = []


def use(sessions, id, style="default"):
    """A session, made or found, with its interpreter ready, and free again."""
    session = sessions.claim(id, style=style, known=True)
    try:
        return session, sessions.ready(session)
    finally:
        session.release()


@contextmanager
def fault(code: str):
    with pytest.raises(Fault) as caught:
        yield
    assert caught.value.code == code


def test_a_session_is_made_with_the_services_arguments_and_its_own_style():
    sessions = Sessions({"network": "none"}, open=Py)
    session, py = use(sessions, "a", "chat")
    assert py.arguments == {"network": "none", "style": "chat"}
    assert session.began_anew
    assert use(sessions, "a")[1] is py
    assert not session.began_anew


def test_a_second_request_is_told_at_once_that_the_session_is_in_use():
    sessions = Sessions(open=Py)
    session = sessions.claim("a", style="default")
    with fault("busy"):
        session.claim()
    with fault("busy"):
        sessions.claim("a", style="default", known=True)
    session.release()
    session.claim()


def test_a_name_is_given_once():
    sessions = Sessions(open=Py)
    use(sessions, "a")
    with fault("exists"):
        sessions.claim("a", style="default")


def test_a_session_that_does_not_start_is_forgotten_and_takes_no_room():
    def open(**arguments):
        raise InterpreterGone("no Python")

    sessions = Sessions(open=open, max_live=1)
    for _ in range(3):
        session = sessions.claim("a", style="default")
        with pytest.raises(InterpreterGone):
            sessions.ready(session)
        session.release()
    assert sessions.all() == []


def test_there_are_no_more_sessions_than_allowed_and_a_deleted_one_makes_room():
    sessions = Sessions(open=Py, max_live=2)
    use(sessions, "a")
    use(sessions, "b")
    with fault("too_many_sessions"):
        use(sessions, "c")
    sessions.delete("a")
    use(sessions, "c")
    assert [session.id for session in sessions.all()] == ["b", "c"]
    assert [py.closed for py in Py.made] == [True, False, False]


def test_a_slow_start_holds_nobody_up():
    slow, go = threading.Event(), threading.Event()

    def open(**arguments):
        if arguments["style"] == "mint":
            slow.set()
            assert go.wait(60)
        return Py(**arguments)

    sessions = Sessions(open=open)
    starting = threading.Thread(target=use, args=(sessions, "slow", "mint"))
    starting.start()
    assert slow.wait(60)
    use(sessions, "quick")
    assert {session.id: session.state for session in sessions.all()} == {"slow": "starting", "quick": "idle"}
    go.set()
    starting.join()
    assert sessions.get("slow").state == "idle"


def test_one_that_is_deleted_while_it_starts_is_closed_when_it_has_started():
    starting, go = threading.Event(), threading.Event()

    def open(**arguments):
        starting.set()
        assert go.wait(60)
        return Py(**arguments)

    sessions = Sessions(open=open)
    user = threading.Thread(target=use, args=(sessions, "a"))
    user.start()
    assert starting.wait(60)
    deleting = threading.Thread(target=sessions.delete, args=("a",))
    deleting.start()
    go.set()
    user.join()
    deleting.join()
    assert Py.made[0].closed
    assert sessions.all() == []


def test_one_that_is_deleted_while_it_runs_is_interrupted():
    sessions = Sessions(open=Py)
    _, py = use(sessions, "a")
    session = sessions.claim("a", style="default", known=True)
    deleting = threading.Thread(target=sessions.delete, args=("a",))
    deleting.start()
    assert py.stopped.wait(60)
    session.release()
    deleting.join()
    assert py.closed
    with fault("unknown_session"):
        sessions.get("a")
    with fault("unknown_session"):
        session.claim()


def test_an_idle_session_is_saved_and_comes_back_with_a_note():
    sessions = Sessions({"network": "none"}, open=Savable, idle_seconds=0.001)
    session, py = use(sessions, "a", "chat")
    py.variables["x"] = 1
    session.used -= 1
    assert sessions.put_idle_away() == 1
    assert (session.state, py.closed) == ("saved", True)
    file = session.saved
    assert file.exists()
    back = use(sessions, "a")[1]
    assert back is not py
    assert back.variables == {"x": 1}
    assert back.arguments == {"network": "none", "style": "chat"}
    assert session.note == "[This session was saved while it was idle, and is back.]"
    assert not session.began_anew
    assert not file.exists()
    sessions.close()


def test_a_session_in_use_or_used_lately_is_not_saved():
    sessions = Sessions(open=Savable, idle_seconds=1000)
    session, _ = use(sessions, "a")
    assert sessions.put_idle_away() == 0
    session.used -= 2000
    session.claim()
    assert sessions.put_idle_away() == 0
    session.turn.release()
    assert sessions.put_idle_away() == 1
    sessions.close()


def test_a_session_that_a_request_has_taken_since_it_was_seen_idle_is_not_saved():
    sessions = Sessions(open=Savable)
    session, py = use(sessions, "a")
    with session.claimed():
        assert not sessions._put_away(session)
        assert (session.py, py.closed) == (py, False)
    sessions.close()


def test_a_session_that_cannot_be_saved_stays(monkeypatch, caplog):
    sessions = Sessions(open=Savable, idle_seconds=0.001)
    session, py = use(sessions, "a")
    monkeypatch.setattr(Savable, "unsavable", True)
    session.used -= 1
    assert sessions.put_idle_away() == 0
    assert use(sessions, "a")[1] is py
    assert "a variable cannot be saved" in caplog.text
    session.used -= 1
    assert Sessions(open=Py).put_idle_away() == 0


def test_what_could_not_be_saved_is_not_tried_again_before_it_was_idle_for_as_long_once_more(monkeypatch):
    sessions = Sessions(open=Savable, idle_seconds=1000)
    session, _ = use(sessions, "a")
    monkeypatch.setattr(Savable, "unsavable", True)
    session.used -= 2000
    assert sessions.put_idle_away() == 0
    monkeypatch.setattr(Savable, "unsavable", False)
    assert sessions.put_idle_away() == 0
    session.used -= 2000
    assert sessions.put_idle_away() == 1
    sessions.close()


def test_a_session_stays_whose_files_do_not_all_fit_into_what_is_saved(tmp_path, caplog):
    class Large(Savable):
        workspace = tmp_path

        def save(self, path):
            super().save(path)
            return SimpleNamespace(left_out={"large": "it is too large", "pipe": "it is no regular file"})

    sessions = Sessions(open=Large, idle_seconds=0.001)
    session, py = use(sessions, "a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    session.used -= 1
    assert sessions.put_idle_away() == 0
    assert "its file 'large' would be lost: it is too large" in caplog.text
    assert not py.closed
    assert os.listdir(sessions._folder) == []
    (tmp_path / "large").unlink()
    session.used -= 1
    assert sessions.put_idle_away() == 1
    sessions.close()


def test_one_that_cannot_be_brought_back_begins_anew_and_says_so(monkeypatch, caplog):
    sessions = Sessions(open=Savable, idle_seconds=0.001)
    session, _ = use(sessions, "a")
    session.used -= 1
    sessions.put_idle_away()
    monkeypatch.setattr(Savable, "broken", "another version")
    back = use(sessions, "a")[1]
    assert (back.variables, session.began_anew) == ({}, True)
    assert "begins anew" in session.note
    assert "another version" in session.note
    sessions.close()


def test_where_there_is_no_room_the_one_idle_longest_is_saved():
    sessions = Sessions(open=Savable, max_live=2)
    for id in ("a", "b", "c"):
        use(sessions, id)
    assert [session.state for session in sessions.all()] == ["saved", "idle", "idle"]
    use(sessions, "a")
    assert [session.state for session in sessions.all()] == ["idle", "saved", "idle"]
    sessions.close()
    assert all(py.closed for py in Py.made)


def test_where_all_are_in_use_there_is_no_room():
    sessions = Sessions(open=Savable, max_live=1)
    use(sessions, "a")
    held = sessions.claim("a", style="default", known=True)
    with fault("too_many_sessions"):
        use(sessions, "b")
    assert [session.id for session in sessions.all()] == ["a"]
    held.release()
    use(sessions, "b")
    sessions.close()


def test_a_deleted_session_leaves_no_file():
    sessions = Sessions(open=Savable, idle_seconds=0.001)
    session, _ = use(sessions, "a")
    session.used -= 1
    sessions.put_idle_away()
    file = session.saved
    sessions.delete("a")
    assert not file.exists()
    sessions.close()
    assert not file.parent.exists()


def test_a_branch_is_a_session_of_its_own():
    class Branching(Py):
        def branch(self):
            twin = Branching(**self.arguments)
            twin.variables = dict(self.variables)
            return twin

    sessions = Sessions(open=Branching, max_live=2)
    session, py = use(sessions, "a", "chat")
    py.variables["x"] = 1
    session.claim()
    twin = sessions.branch(session, "b")
    assert (twin.id, twin.style, twin.py.variables) == ("b", "chat", {"x": 1})
    assert twin.py is not py
    with fault("exists"):
        sessions.branch(session, "b")
    with fault("too_many_sessions"):
        sessions.branch(session, None)
    assert len(Py.made) == 2


def test_a_branch_whose_name_was_taken_while_it_was_made_leaves_nothing():
    class Branching(Py):
        def branch(self):
            sessions.claim("b", style="chat").release()
            return Branching(**self.arguments)

    sessions = Sessions(open=Branching, max_live=2)
    session, _ = use(sessions, "a")
    with session.claimed(), fault("exists"):
        sessions.branch(session, "b")
    assert [py.closed for py in Py.made] == [False, True]
    assert use(sessions, "b")[1].closed is False   # there is room for it
    sessions.close()


def test_what_a_session_cannot_do_is_told():
    sessions = Sessions(open=Py, max_live=2)
    session, _ = use(sessions, "a")
    session.claim()
    with fault("impossible"):
        sessions.branch(session, None)
    session.release()
    use(sessions, "b")   # the room was given back


def test_a_service_that_ends_takes_no_more_requests_and_stops_what_runs():
    sessions = Sessions(open=Py)
    session, py = use(sessions, "a")
    session.claim()
    session.is_running = True

    def run():
        assert py.stopped.wait(60)
        session.is_running = False
        session.release()

    running = threading.Thread(target=run)
    running.start()
    sessions.stop_all()
    running.join()
    with fault("closing"):
        sessions.claim("b", style="default")
    session.claim()
    with fault("closing"):
        sessions.ready(session)
    session.release()
    sessions.close()
    sessions.close()
    assert py.closed
