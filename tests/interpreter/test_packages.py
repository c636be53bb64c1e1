"""Packages of a session's own: from an index of the test's on loopback, at every level that works here."""

import os
import random
import re
import signal
import site
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from origins import proxying
from package_index import PackageIndex, sdist, wheel

from codeact import Agent, Interpreter, Limits, PackageError, SandboxUnavailable
from codeact.interpreter import pip as pip_module
from codeact.interpreter import proxy
from codeact.interpreter.package_job import Job
from codeact.interpreter.packages import Packages
from codeact.interpreter.pip import Found
from codeact.interpreter.settings import Settings
from codeact.models.scripted import ScriptedModel

PLANTED = "codeact-test-secret-5f3a"


@pytest.fixture
def index():
    made = PackageIndex(wheel("cardinal"), wheel("cardinal", "2.0"), wheel("swift", requires=("cardinal<2",)), wheel("needs_gone", requires=("gone",)))
    yield made
    made.close()


@pytest.fixture
def make():
    made = []

    def make(packages="allow", **options):
        made.append(Interpreter(packages=packages, imports=(), **options))
        return made[-1]

    yield make
    for py in made:
        py.close()


@pytest.fixture
def py(make, index):
    return make(index_url=index.url)


@pytest.fixture(autouse=True)
def own_environment_stays_as_it_is():
    """Whatever is done here, no Python of ours changes; pip itself is among what the tests ask to replace."""
    def seen() -> dict[str, int]:
        ours = re.compile(r"(cardinal|swift|needs_gone|wants_old|sly|json|sitecustomize|evil|lure|reach|rough|smooth|bulky|pip)\b.*")
        places = {*sys.path, *site.getsitepackages(), site.getusersitepackages(), os.getcwd()}
        return {entry.path: entry.stat().st_mtime_ns for folder in places if os.path.isdir(folder)
                for entry in os.scandir(folder) if ours.match(entry.name)}

    before = seen()
    yield
    assert seen() == before


# Installing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["%pip install swift", "pip install swift", "import sys\n!{sys.executable} -m pip install swift | tail -1"])
def test_a_cell_installs_what_it_names_however_it_says_so(py, cell):
    result = py.run(cell)
    assert result.error is None, result.text
    assert py.run("import swift, cardinal\n(swift.__version__, cardinal.__version__)").text.endswith("('1.0', '1.0')")
    assert py.packages == {"swift": "1.0", "cardinal": "1.0"}


def test_what_is_going_on_is_told_as_it_goes(py):
    seen = []
    result = py.run("%pip install 'cardinal>=2'\nprint('and then')", on_output=lambda piece: seen.append(piece.text))
    assert result.stdout.splitlines()[-2:] == ["Successfully installed cardinal-2.0", "and then"]
    assert "Collecting cardinal>=2\n" in result.stdout
    assert "Downloading cardinal-2.0-py3-none-any.whl" in result.stdout
    assert "".join(seen) == result.stdout


def test_packages_named_at_the_start_are_there_and_no_others_can_be_added(make, index):
    py = make(["swift", "cardinal<2"], index_url=index.url)
    assert py.run("import swift, cardinal; cardinal.__version__").text.endswith("'1.0'")
    refused = py.run("%pip install cardinal")
    assert refused.error.name == "UsageError"
    assert 'Interpreter(packages="allow") or --allow-packages' in refused.error.message


def test_packages_named_at_the_start_are_there_for_the_helper_file(make, index, tmp_path):
    helpers = tmp_path / "helpers.py"
    helpers.write_text("import cardinal\nversion = cardinal.__version__\n")
    assert make(["cardinal"], index_url=index.url, preload=helpers).run("version").text.endswith("'2.0'")


def test_a_star_among_them_lets_cells_add_more(make, index):
    py = make(["cardinal<2", "*"], index_url=index.url)
    assert py.run("%pip install swift\nimport swift").error is None
    assert py.packages == {"cardinal": "1.0", "swift": "1.0"}


def test_without_leave_nothing_is_installed_nor_asked_of_an_index(make, index):
    py = make("none")
    for cell in ("%pip install cardinal", "!pip install cardinal", "pip install cardinal"):
        assert "packages cannot be installed in this session" in py.run(cell).error.message
    # A cell that speaks to the host by itself
    forged = py.run("import gc\nworker, = [one for one in gc.get_objects() if type(one).__name__ == 'Worker']\nworker._call('%pip', ['install', ['cardinal']], {})")
    assert forged.error is not None
    assert py.packages == {}
    assert index.asked == []


def test_programs_that_cells_start_find_them_last_on_the_path(py):
    py.run("%pip install cardinal")
    result = py.run("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import cardinal, sys; print(cardinal.__version__, sys.path[-1] in cardinal.__file__)'],"
                    " capture_output=True, text=True)")
    assert "stdout='2.0 True\\n', stderr=''" in result.text
    assert py.run("import sys; sys.path[-1] in __import__('cardinal').__file__").text.endswith("True")


def test_nothing_of_theirs_takes_the_place_of_the_standard_library(make):
    index = PackageIndex(wheel("sly", files={"json.py": "raise SystemExit('not json')", "sitecustomize.py": "raise SystemExit('not ours')", "sly.py": "here = 1",
                                             "evil.pth": "import os; os._exit(3)\n"}))
    py = make(index_url=index.url)
    assert py.run("%pip install sly").error is None
    assert py.run("import sys\n!{sys.executable} -c 'import json, sly; print(json.dumps(sly.here))'").text.endswith("1")
    index.close()


def test_what_is_installed_already_stays_as_it_is(py, index):
    index.files.update([wheel("pip", "0.1"), wheel("wants_old", requires=("pip<1",))])
    assert py.run("%pip install pip").text.splitlines()[-1] == "Nothing to install: what was asked for is there already."
    for name in ("pip<1", "wants_old"):
        refused = py.run(f"%pip install '{name}'")
        assert refused.error.name == "UsageError"
        assert "Installed already: pip " in refused.error.message or "(constraint) pip==" in refused.error.message
    py.run("%pip install cardinal==1.0")
    refused = py.run("%pip install cardinal==2.0")
    assert "Installed already: cardinal 1.0. What is installed stays as it is" in refused.error.message
    assert py.packages == {"cardinal": "1.0"}


def test_uninstalling_and_listing_have_their_answers(py):
    py.run("%pip install cardinal")
    assert "go when it ends" in py.run("%pip uninstall -y cardinal").error.message
    assert "go when it ends" in py.run("!pip uninstall cardinal").error.message
    assert "cardinal" in py.run("%pip list").stdout
    assert "Version: 2.0" in py.run("%pip show cardinal").stdout


def test_a_package_that_does_not_exist_is_told(make, index, tmp_path):
    py = make(index_url=index.url)
    for name in ("gone", "needs_gone"):
        result = py.run(f"%pip install {name}")
        assert result.error.name == "UsageError"
        assert "gone has no wheel" in result.error.message
    with pytest.raises(PackageError, match="gone has no wheel"):
        make(["gone"], index_url=index.url)


@pytest.mark.parametrize("packages", ["cardinal", ["-r x"], ["./x"], [5], ["git+https://a.example/x"], ["x\n--index-url=y"]])
def test_a_list_that_makes_no_sense_is_told(packages):
    with pytest.raises(ValueError, match=r"packages='cardinal'|cannot be installed|named by a text"):
        Interpreter(packages=packages, imports=())


@pytest.mark.parametrize("url", ["", "pypi.org", "file:///etc", "https://", "http://a b/", "https://a.example:99999/", "-r"])
def test_an_index_that_is_none_is_told(url):
    with pytest.raises(ValueError, match="address of a package index"):
        Interpreter(packages="allow", index_url=url, imports=())


def test_an_index_without_packages_is_told():
    with pytest.raises(ValueError, match=r"packages=\.\.\. says which"):
        Interpreter(index_url="https://a.example/simple", imports=())


# States ---------------------------------------------------------------------------------------------------------------


def test_they_are_there_after_a_crash_a_restore_and_in_a_new_session(py):
    mark = py.checkpoint()
    py.run("%pip install cardinal\nimport cardinal")
    assert py.run("import os; os._exit(1)").restored
    assert py.run("cardinal.__version__").text.endswith("'2.0'")
    py.restore(mark)
    assert py.run("import cardinal; cardinal.__version__").text.endswith("'2.0'")
    py.reset()
    assert py.run("import cardinal; cardinal.__version__").text.endswith("'2.0'")
    session = py._backend._session
    signal.pidfd_send_signal(session.keeper.pidfd, signal.SIGKILL)
    while py._backend._session is session:
        py.run("1")   # until its end is noticed, before a cell or in it
    assert py.run("import cardinal; cardinal.__version__").text.endswith("'2.0'")


def test_a_cell_that_is_run_again_installs_nothing(py, index):
    """A thread forbids a frozen copy, so that going back is to replay."""
    py.run("import threading\nstop = threading.Event()\nthreading.Thread(target=stop.wait, daemon=True).start()")
    py.run("%pip install cardinal\nimport cardinal\nversion = cardinal.__version__")
    asked = len(index.asked)
    died = py.run("import os; os._exit(1)")
    assert (died.restored, died.lost) == (True, [])
    assert py.run("version").text.endswith("'2.0'")
    assert len(index.asked) == asked


def test_they_go_with_the_session(make, index):
    py = make(["cardinal"], index_url=index.url)
    folder = Path(py.run("import cardinal; print(cardinal.__file__)").stdout.strip()).parent
    assert folder.is_dir()
    py.close()
    assert not folder.exists()
    assert not folder.parent.parent.exists()


def test_sessions_do_not_share_them_and_install_at_the_same_time(make, index):
    one, two, other = make(index_url=index.url), make(index_url=index.url), make(index_url=index.url)
    threads = [threading.Thread(target=py.run, args=(f"%pip install cardinal=={version}",)) for py, version in ((one, "1.0"), (two, "2.0"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.run("import cardinal; cardinal.__version__").text.endswith("'1.0'")
    assert two.run("import cardinal; cardinal.__version__").text.endswith("'2.0'")
    folder = one.run("import cardinal; print(cardinal.__file__)").stdout.strip()
    assert other.run("import cardinal").error.name == "ModuleNotFoundError"
    if other.level:
        assert other.run(f"open({folder!r})").error is not None


def test_sessions_that_want_none_pay_nothing(make):
    py = make("none")
    assert py._backend._packages is None
    assert not (py._backend._session.base.path / "packages").exists()
    assert "PYTHONPATH" not in py.run("import os; dict(os.environ)").text


def test_the_cells_time_ends_pip_and_all_it_started(make, index):
    py = make(index_url=index.url)
    index.hold.clear()
    result = py.run("%pip install cardinal", timeout=3)
    assert result.status == "timeout"
    py._backend._packages.close()
    assert not any(b"pip_program.py" in line for line in _programs())
    index.hold.set()
    assert py.packages == {}
    assert py.run("%pip install cardinal\nimport cardinal").error is None


def test_closing_ends_an_installation(make, index):
    py = make(index_url=index.url)
    index.hold.clear()
    running = threading.Thread(target=py.run, args=("%pip install cardinal",))
    running.start()
    assert index.held.wait(30)
    py.close()
    running.join(30)
    assert not running.is_alive()
    assert not any(b"pip_program.py" in line for line in _programs())


def _programs() -> list[bytes]:
    """The command lines of our children; threads and processes may end while they are looked at."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError):
            for child in Path(f"/proc/self/task/{task}/children").read_text().split():
                with suppress(OSError):
                    found.append(Path(f"/proc/{child}/cmdline").read_bytes())
    return found


# Bounds ---------------------------------------------------------------------------------------------------------------


def test_more_than_its_limit_is_refused_and_leaves_nothing(make, index):
    index.files.update([wheel("bulky", files={"bulky.py": "#" * (3 << 20)})])
    py = make(index_url=index.url, limits=Limits(packages_mb=2))
    assert "more than 2 MB" in py.run("%pip install bulky").error.message
    assert py.run("import bulky").error.name == "ModuleNotFoundError"
    assert py.packages == {}
    assert py.run("%pip install cardinal").error is None


def test_a_download_is_stopped_as_soon_as_all_of_it_together_is_over_the_limit(make, index):
    bulky = [wheel(name, files={f"{name}.py": random.Random(name).randbytes(1 << 20).hex()}) for name in ("one", "two", "three")]
    index.files.update([*bulky, wheel("last")])
    answer, over = index.answer, threading.Event()
    index.answer = lambda request: (over.wait(120) if "/files/last" in request.path else None, answer(request))
    try:
        py = make(index_url=index.url, limits=Limits(packages_mb=3))
        assert "more than 3 MB" in py.run("%pip install one two three last", timeout=60).error.message
    finally:
        over.set()
    assert py.packages == {}


def test_another_package_than_the_index_had_promised_is_refused(tmp_path):
    name, data = wheel("other")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "modules").mkdir()
    packages, job = Packages(Settings(), None, None, lambda request: pytest.fail("nothing is built")), Job(print, 60)
    with pytest.raises(PackageError, match="other packages than it had promised"):
        packages._unpack([Found("cardinal", "1.0")], [tmp_path / name], tmp_path / "modules", tmp_path, job)
    job.close()
    assert not list((tmp_path / "modules").iterdir())
    assert packages.installed == {}


def test_too_many_at_once_are_refused(py, index):
    assert "at most 20" in py.run("%pip install " + " ".join(f"a{n}" for n in range(21))).error.message
    assert index.asked == []


NO_NAMES = ["-r /etc/passwd", "--target / cardinal", "./cardinal", "/etc", "cardinal --index-url http://a.example", "-e .", "git+https://a.example/x",
                                  "cardinal@https://a.example/x.whl", "cardinal.whl", "'cardinal\n--target=/'", "-c /etc/passwd", "cardinal; rm", "--python /usr/bin/python3 cardinal",
                                  "https://a.example/x-1.0-py3-none-any.whl", "..", "'cardinal; python_version > \"3\"'", "x" * 300]


def test_what_is_no_name_of_a_package_is_refused_before_anything_is_asked(py, index):
    py.run("import gc\nworker, = [one for one in gc.get_objects() if type(one).__name__ == 'Worker']")
    for line in NO_NAMES:
        result = py.run(f"get_ipython().run_line_magic('pip', {'install ' + line!r})")
        assert result.error is not None, line
        # And where the cell leaves out the part of the kernel that looks
        for text in (line, [line], {"a": line}, None):
            forged = py.run(f"worker._call('%pip', ['install', [{text!r}]], {{}}), worker._call('%pip', ['more'], {{}})")
            assert "'error': " in forged.text, line
            assert "'error': None" not in forged.text, line
    assert index.asked == []
    assert py.packages == {}


NO_CALLS = ["[]", "['install']", "['install', 'cardinal']", "['more']", "['other']", "[['install']]", "['install', ['a'] * 5000]", "[None]"]


def test_calls_that_make_no_sense_are_answered(py):
    py.run("import gc\nworker, = [one for one in gc.get_objects() if type(one).__name__ == 'Worker']")
    for arguments in NO_CALLS:
        result = py.run(f"worker._call('%pip', {arguments}, {{}})")
        assert "'done': True" in result.text, (arguments, result.text)
    assert py.run("%pip install cardinal").error is None


# What pip is told, and what it may do ---------------------------------------------------------------------------------


def test_nothing_of_ours_reaches_pip_and_what_the_user_configured_does(make, monkeypatch, tmp_path):
    secret_index = PackageIndex(wheel("cardinal"), password="tr0ub4dor")
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = http://user:tr0ub4dor@127.0.0.1:{secret_index.port}/simple\nextra-index-url =\n")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    started = []
    start = subprocess.Popen

    def watched(arguments, **options):
        if str(pip_module.PROGRAM) in map(str, arguments) and options.get("start_new_session"):
            started.append((arguments, options))
        return start(arguments, **options)

    monkeypatch.setattr(pip_module.subprocess, "Popen", watched)
    py = make("allow")
    seen = py.run("%pip install cardinal\nimport cardinal")
    assert seen.error is None, seen.text
    missing = py.run("%pip install missing")
    assert started
    for arguments, options in started:
        assert "tr0ub4dor" not in " ".join(map(str, arguments))
        assert PLANTED not in repr(options)
        assert {name: text for name, text in options["env"].items() if "tr0ub4dor" in text} == {
            "PIP_INDEX_URL": f"http://user:tr0ub4dor@127.0.0.1:{secret_index.port}/simple"}
        assert "PIP_TARGET" not in options["env"]
        assert options["env"]["PIP_CONFIG_FILE"] == "/dev/null"
        assert options["env"]["HOME"] != os.path.expanduser("~")
    for result in (seen, missing):
        assert "tr0ub4dor" not in result.text + result.stderr
        assert "127.0.0.1" not in result.stdout
    assert "tr0ub4dor" not in py.run("import os; dict(os.environ)").text
    assert not (tmp_path / "elsewhere").exists()
    secret_index.close()


def test_the_wrong_password_is_told_without_it(make):
    index = PackageIndex(wheel("cardinal"), password="right")
    py = make(index_url=f"http://user:wr0ngw0rd@127.0.0.1:{index.port}/simple")
    result = py.run("%pip install cardinal")
    assert result.error.name == "UsageError"
    assert "wr0ngw0rd" not in result.text
    index.close()


def test_a_wheel_that_wants_a_source_by_its_address_gets_nothing_run(py, index, tmp_path):
    mark = tmp_path / "mark"
    index.files.update([sdist("evil", extra=f"open({str(mark)!r}, 'w'); seen = 1"),
                        wheel("lure", requires=(f"evil @ http://127.0.0.1:{index.port}/files/evil-1.0.tar.gz",)),
                        wheel("lure2", requires=(f"cardinal @ http://127.0.0.1:{index.port}/files/cardinal-1.0-py3-none-any.whl",))])
    assert py.run("%pip install lure").error.name == "UsageError"
    assert "wanted by its address" in py.run("%pip install lure2").error.message
    assert not mark.exists()
    assert py.packages == {}


def test_a_wheel_that_reaches_out_is_refused(py, index):
    index.files.update([wheel("reach", files={"../../escape.py": "x = 1", "reach.py": "x = 1"})])
    assert "is no path inside it" in py.run("%pip install reach").error.message
    assert py.packages == {}


# Walls ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [3, 2, 1])
def test_at_each_level_they_can_be_read_and_not_changed(make, index, level):
    options = {}
    if level < 3 and os.getuid() == 0 and "/root" in os.path.realpath(sys.executable):
        options["python"] = "/usr/bin/python3"
    try:
        py = make(index_url=index.url, sandbox=level, **options)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    assert py.run("%pip install cardinal\nimport cardinal\ncardinal.__version__").text.endswith("'2.0'")
    for attempt in ("open(cardinal.__file__, 'w')", "import os; os.remove(cardinal.__file__)", "import os; os.mkdir(os.path.dirname(cardinal.__file__) + '/more')",
                    "import os; os.rename(cardinal.__file__, cardinal.__file__ + 'x')", "import os; os.symlink('/etc', os.path.dirname(cardinal.__file__) + '/link')",
                    "import os; open(os.path.dirname(cardinal.__file__) + '/../start/sitecustomize.py', 'a')"):
        assert isinstance(py.run(attempt).error.name, str), attempt
        assert py.run(attempt).error.name in ("PermissionError", "OSError")
    assert py.run("import sys\n!{sys.executable} -c 'import cardinal; print(cardinal.__version__)'").text.endswith("2.0")


# Builds ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def inside(monkeypatch):
    """An index that pip on the host finds through a proxy and a build inside through ours; its name leads nowhere else."""
    try:
        Interpreter(sandbox=3, imports=()).close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    index = PackageIndex()
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{index.port}")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "index.test")
    index.url = f"http://index.test:{index.port}/simple"
    with proxying() as serving:
        monkeypatch.setattr(proxy, "shared", lambda: serving)
        yield index
    index.close()


def test_what_has_no_wheel_is_built_inside_the_walls(make, inside, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    secret = tmp_path / "secret"
    secret.write_text(PLANTED)
    secret.chmod(0o644)
    probe = f"""
    import socket, urllib.request
    seen = []
    for attempt in (lambda: open({str(secret)!r}).read(), lambda: urllib.request.urlopen("http://elsewhere.test/").read(),
                    lambda: socket.create_connection(("127.0.0.1", {inside.port}), 2), lambda: open("/usr/planted", "w")):
        try:
            seen.append(str(attempt()))
        except Exception as error:
            seen.append(type(error).__name__)
    """.strip()
    inside.files.update([sdist("rough", extra=probe), wheel("smooth", requires=("rough",))])
    py = make(index_url=inside.url)
    result = py.run("%pip install smooth", timeout=120)
    assert result.error is None, result.text
    assert "Building rough from source, inside the walls\n" in result.stdout
    assert py.packages == {"smooth": "1.0", "rough": "1.0"}
    assert py.run("import rough; rough.seen").text.endswith("['FileNotFoundError', 'HTTPError', 'ConnectionRefusedError', 'OSError']")
    told = py.run("rough.environment").text
    assert PLANTED not in told
    assert "OPENAI" not in told
    # What was built is known from then on
    assert py.run("%pip install rough").text.endswith("there already.")


def test_a_name_that_the_index_does_not_have_is_told_as_that(make, inside):
    py = make(index_url=inside.url)
    assert "the package index has no nameless for this Python; is the name right?" in py.run("%pip install nameless").error.message
    with pytest.raises(PackageError, match=r"the package index has no nameless"):
        Interpreter(packages=["nameless"], index_url=inside.url)


def test_the_password_of_an_index_does_not_go_into_a_build(make, inside):
    inside.files.update([sdist("rough")])
    py = make(index_url=f"http://user:tr0ub4dor@index.test:{inside.port}/simple")
    result = py.run("%pip install rough", timeout=120)
    assert result.error is None, result.text
    assert "tr0ub4dor" not in py.run("import rough; rough.environment").text
    assert any("Authorization" not in headers for headers in inside.headers)


@pytest.mark.parametrize(("extra", "metadata", "error"), [
    ("seen = 1 / 0", "", "rough has no wheel, and could not be built from source: ZeroDivisionError: division by zero"),
    ("seen = 0; os.symlink('/etc/passwd', os.path.join(wheel_directory, 'rough-1.0-py3-none-any.whl')); raise SystemExit(0)", "", "could not be built"),
    ("seen = 0", "Requires-Dist: a @ http://169.254.169.254/a.whl\\n", "wants packages by their address"),
    ("seen = 0; wheel_directory = os.environ['HOME'] + '/wheels'; os.makedirs(wheel_directory, exist_ok=True); open(wheel_directory + '/pytest-99-py3-none-any.whl', 'wb').write(b'PK')", "", "rough"),
])  # fmt: skip
def test_a_build_that_goes_wrong_or_cheats_is_told_and_leaves_nothing(make, inside, extra, metadata, error):
    inside.files.update([sdist("rough", extra=extra, metadata=metadata)])
    py = make(index_url=inside.url)
    result = py.run("%pip install rough", timeout=120)
    assert result.error.name == "UsageError", result.text
    assert error in result.error.message
    assert py.packages == {}


def test_an_interrupt_ends_a_build(make, inside):
    inside.files.update([sdist("rough", extra="import time; time.sleep(1000); seen = 1")])
    py = make(index_url=inside.url)

    def when_it_builds(piece):
        if "Preparing metadata" in piece.text:
            py.interrupt()

    assert py.run("%pip install rough", timeout=300, on_output=when_it_builds).status == "interrupted"
    py._backend._packages.close()
    assert py.packages == {}


def test_where_namespaces_do_not_work_a_build_is_refused_and_nothing_weaker_tried(make, index, monkeypatch):
    from codeact.backends import local

    index.files.update([sdist("rough")])
    py = make(index_url=f"http://127.0.0.1:{index.port}/simple")
    assert "rough has no wheel, and cannot be built from source here" in py.run("%pip install rough").error.message

    def start(request):
        raise SandboxUnavailable("level 3 (namespaces): forbidden here")

    monkeypatch.setattr(py._backend._packages, "_start", start)
    assert local.LocalBackend is not start
    monkeypatch.setattr(pip_module.Index, "hosts", lambda self: ["a.example:443"])
    assert "cannot be built from source here: level 3 (namespaces): forbidden here" in py.run("%pip install rough").error.message


# Pythons --------------------------------------------------------------------------------------------------------------


def test_a_python_without_pip_borrows_ours(make, index, tmp_path):
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    py = make(["swift"], index_url=index.url, python=str(tmp_path / "bare/bin/python"))
    assert py.run("import swift, sys; swift.__version__ + ' ' + sys.prefix").text.endswith(f"'1.0 {tmp_path / 'bare'}'")
    assert not list((tmp_path / "bare").rglob("swift*"))


def test_no_pip_at_all_is_told(make, monkeypatch, index, tmp_path):
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)

    def missing(name):
        raise pip_module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(pip_module.metadata, "distribution", missing)
    with pytest.raises(PackageError, match=r"has no pip; installing packages takes pip 22\.2 or later there"):
        make(["swift"], index_url=index.url, python=str(tmp_path / "bare/bin/python"))


# The model ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("packages", "told"), [("none", "Packages cannot be installed: use what is there."), ("allow", "you can add with `%pip install NAME`")])
def test_a_model_is_told_whether_it_can_install(packages, told):
    with Agent(ScriptedModel(["done"]), packages=packages, imports=()) as agent:
        assert told in agent.run("task").trajectory.prompt[0].content


def test_a_model_is_told_what_was_installed(index):
    with Agent(ScriptedModel(["done"]), packages=["cardinal"], index_url=index.url, imports=()) as agent:
        assert "Installed for you: cardinal. Packages cannot be installed: use what is there." in agent.run("task").trajectory.prompt[0].content
