"""Plug-ins by file name."""

import subprocess
import sys
from types import ModuleType

import pytest

from codeact import plugins
from codeact.errors import ConfigError, UnknownPlugin
from codeact.formats.code import CodeFormat


def test_the_file_name_is_the_name():
    assert {"openai", "scripted"} <= set(plugins.available("models"))
    assert not any(name.startswith("_") for name in plugins.available("models"))
    assert plugins.load("models", "scripted").__name__ == "codeact.models.scripted"
    assert plugins.create("formats", "code") == CodeFormat()


@pytest.mark.parametrize("name", ["opemai", "", "_stopping", "../cli", "scripted.py"])
def test_an_unknown_name_is_told_with_what_there_is(name):
    with pytest.raises(UnknownPlugin, match=r"available: .*openai.*scripted"):
        plugins.load("models", name)


def test_a_module_outside_the_package_is_found_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.py").write_text("def create(name, *, size=1): return (name, size)")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.create("models", "mine.model:big", size=3, colour=None) == ("big", 3)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("scripted:x", {"base_url": "y"}, "base_url.*it takes"),
        ("scripted", {}, "path"),
        ("json.decoder:x", {}, "no function `create`"),
    ],
)
def test_what_a_plugin_does_not_take_is_told(spec, options, message):
    with pytest.raises(ConfigError, match=message):
        plugins.create("models", spec, **options)


def test_a_module_that_another_thread_is_importing_is_waited_for(tmp_path):
    """In a fresh process, as everything is loaded here already."""
    code = """
import threading
from codeact import plugins
faults = []
start = threading.Barrier(8)
def load():
    start.wait()
    try:
        plugins.create("formats", "json")
        plugins.load("backends", "local").create
    except Exception as error:
        faults.append(repr(error))
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(faults)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_type_error_of_a_plug_ins_own_is_told_as_it_is():
    module = ModuleType("own_fault")

    def create(*, size: int) -> object:
        return len(size)

    module.create = create
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        plugins.make(module, spec="model 'own_fault'", size=3)
