"""Conversations of a server in a folder of the test's; PostgreSQL, where its program is at hand."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from talk import OPTIONS, Calculator

from codeact.chats.chats import Chats
from ports import free_port


@pytest.fixture
def make(tmp_path):
    made = []

    def open_chats(**options):
        model = options.pop("calculator", Calculator())
        chats = Chats(defaults=OPTIONS, model=lambda name: model, **{"home": tmp_path / "home", "sandbox": "none", **options})
        made.append(chats)
        return chats

    yield open_chats
    for chats in made:
        chats.close()


@pytest.fixture
def chats(make):
    return make()


@pytest.fixture
def postgres(postgres_server):
    """The URL of an empty database."""
    import sqlalchemy as sa

    engine = sa.create_engine(postgres_server)
    with engine.begin() as connection:
        connection.execute(sa.text("drop schema public cascade"))
        connection.execute(sa.text("create schema public"))
    engine.dispose()
    return postgres_server


@pytest.fixture(scope="session")
def postgres_server():
    """The URL of a server of the tests' own, on loopback."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    beside = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    program = shutil.which("initdb") or (str(beside[-1]) if beside else None)
    if program is None:
        pytest.skip("no PostgreSQL server is installed")
    as_user = {}
    if os.geteuid() == 0:   # it refuses to run as root
        try:
            import pwd

            nobody = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    if as_user:
        os.chown(folder, as_user["user"], as_user["group"])
    run = {"check": True, "capture_output": True, "cwd": folder, "timeout": 120, **as_user}
    control = str(Path(program).with_name("pg_ctl"))
    try:
        subprocess.run([program, "-D", f"{folder}/data", "-U", "chats", "-A", "trust", "-E", "UTF8", "--no-sync"], **run)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        subprocess.run([control, "-D", f"{folder}/data", "-w", "-o", options, "-l", f"{folder}/log", "start"], **run)
        yield f"postgresql+psycopg://chats@127.0.0.1:{port}/postgres"
        subprocess.run([control, "-D", f"{folder}/data", "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
