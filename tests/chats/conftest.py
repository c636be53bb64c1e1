"""Conversations of a server in a folder of the test's."""

import pytest
from talk import OPTIONS, Calculator

from codeact.chats.chats import Chats


@pytest.fixture
def make(tmp_path):
    made = []

    def open_chats(**options):
        model = options.pop("calculator", Calculator())
        chats = Chats(home=tmp_path / "home", defaults=OPTIONS, model=lambda name: model, **{"sandbox": "none", **options})
        made.append(chats)
        return chats

    yield open_chats
    for chats in made:
        chats.close()


@pytest.fixture
def chats(make):
    return make()
