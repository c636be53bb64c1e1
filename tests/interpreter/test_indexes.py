"""What of a user's configuration of pip goes to pip, to a build, and to nobody."""

import pytest

from codeact.interpreter.indexes import Index
from codeact.interpreter.pip_words import PipWords

LISTING = """\
global.index-url='https://me:s3cret%21@pypi.corp.example/t0ken-path/simple'
global.extra-index-url='https://pypi.org/simple\\nfile:///srv/wheels'
global.cert='/srv/ca.pem'
global.target='/somewhere'
install.find-links='/srv/links'
:env:.timeout='5'
:env:.proxy='http://u:pr0xypass@proxy.example:3128'
global.timeout='60'
nonsense
x.index-url=__import__('os').system('id')
"""


def test_pip_on_the_host_gets_what_counts_in_variables():
    assert Index(LISTING).environment({"OPENAI_API_KEY": "k", "https_proxy": "http://p.example", "NETRC": "/n"}) == {
        "https_proxy": "http://p.example", "NETRC": "/n", "PIP_CERT": "/srv/ca.pem", "PIP_TIMEOUT": "5", "PIP_PROXY": "http://u:pr0xypass@proxy.example:3128",
        "PIP_INDEX_URL": "https://me:s3cret%21@pypi.corp.example/t0ken-path/simple", "PIP_EXTRA_INDEX_URL": "https://pypi.org/simple file:///srv/wheels",
        "PIP_FIND_LINKS": "/srv/links"}  # fmt: skip


def test_a_build_gets_no_password_no_proxy_and_no_files():
    assert Index(LISTING).public_environment() == {
        "PIP_INDEX_URL": "https://pypi.corp.example/t0ken-path/simple", "PIP_EXTRA_INDEX_URL": "https://pypi.org/simple", "PIP_TIMEOUT": "5"}
    assert Index(LISTING).hosts() == ["pypi.corp.example:443", "pypi.org:443", "files.pythonhosted.org:443"]


def test_an_index_that_is_named_counts_instead():
    index = Index(LISTING, "http://own.example:8080/simple")
    assert {name: text for name, text in index.environment({}).items() if "URL" in name or "LINKS" in name} == {"PIP_INDEX_URL": "http://own.example:8080/simple"}
    assert index.hosts() == ["own.example:8080"]


def test_the_default_is_the_public_index():
    assert Index().hosts() == ["pypi.org:443", "files.pythonhosted.org:443"]
    assert Index("global.no-index='1'\nglobal.find-links='/srv'").hosts() == []


@pytest.mark.parametrize("line", [
    "ERROR: Could not fetch https://me:s3cret%21@pypi.corp.example/t0ken-path/simple/x/: 401", "ERROR: url: /t0ken-path/simple/x/", "ERROR: s3cret! s3cret%21 pr0xypass",
    "Collecting https://me:s3cret%21@a.example/x-1.0-py3-none-any.whl", "ERROR: me:s3cret!@"])
def test_nothing_secret_is_told(line):
    told: list[str] = []
    words = PipWords(told.append, Index(LISTING).clear)
    words.feed(line.encode() + b"\n")
    words.feed(b"")
    shown = " ".join(told + words.errors)
    assert not any(secret in shown for secret in ("s3cret", "t0ken", "pr0xypass", "corp.example"))
    assert shown


def test_floods_and_garbage_of_pips_are_bounded():
    told: list[str] = []
    words = PipWords(told.append, Index().clear)
    words.feed(b"ERROR: " + b"x" * 10_000_000)
    words.feed(b"\n" + b"Collecting a\n" * 20_000 + b"ERROR: y\n" * 100 + b"\xff\xfe\n")
    words.feed(b"")
    assert len(told) < 6000
    assert len(words.errors) <= 30
    assert all(len(line) <= 500 for line in words.errors)


def test_what_has_no_wheel_and_why_a_request_fails_are_heard():
    words = PipWords(lambda line: None, Index().clear)
    words.feed(b"ERROR: Could not find a version that satisfies the requirement x>=2 (from versions: 1.0)\nERROR: No matching distribution found for x>=2\n")
    assert (words.no_match, words.is_unreachable) == ("x>=2", False)
    words.feed(b"The conflict is caused by:\n    a 1 depends on b\n\nTo fix this\nWARNING: Retrying (Retry(total=0)) after connection broken\n")
    assert "    a 1 depends on b" in words.errors
    assert not any("To fix" in line for line in words.errors)
    assert words.is_unreachable
