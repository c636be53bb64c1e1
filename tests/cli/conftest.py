"""No test of the command line sees the settings of whoever runs it, or what serves models on their machine."""

import pytest


@pytest.fixture(autouse=True)
def no_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-settings"))
    monkeypatch.setattr("codeact.models._local.USUAL", ())
