"""What may be asked of pip, and what is refused."""

import pytest

from codeact.interpreter.requirements import MAX_AT_ONCE, MAX_CHARS, Requirement, policy, requirements


@pytest.mark.parametrize(("text", "name", "kept"), [
    ("einops", "einops", "einops"), ("einops>=0.7", "einops", "einops>=0.7"), ("  Py_YAML == 6.0 ", "py-yaml", "Py_YAML==6.0"), ("httpx[http2,cli]~=0.27", "httpx", "httpx[http2,cli]~=0.27"),
    ("a", "a", "a"), ("torch==2.1.0+cpu", "torch", "torch==2.1.0+cpu"), ("x>=1,<2,!=1.5", "x", "x>=1,<2,!=1.5"), ("x==1.*", "x", "x==1.*"), ("zope.interface", "zope-interface", "zope.interface"),
])  # fmt: skip
def test_names_with_versions_and_extras_are_taken(text, name, kept):
    found = Requirement(text)
    assert (found.name, found.text) == (name, kept)


@pytest.mark.parametrize("text", [
    "", " ", "-r x", "--index-url=x", "-e .", "-", "./x", "../x", "/etc/passwd", "~/x", "x/y", "a\\b", "x @ https://a.example/x.whl", "x@file:///etc", "git+https://a.example/x", "https://a.example",
    "x.whl", "x-1.0.tar.gz", "x.zip", "x\n", "\nx", "x\n-r y", "x\r-r y", "x\0", "x>=1\n--target=/", "x\t", "x y", "x;y", "x; python_version<'3'", "x==1 --hash=sha256:0", "x==", "x=1", "==1", "x[", "x[]", "x[a b]",
    "x===1", "x>=-1", "ü", "x\u2028y", "x" * (MAX_CHARS + 1), "x" * 101, "$(id)", "`id`", "%(x)s", "${HOME}", "x==$HOME", "_x", "x_", ".", "..", None, 5, b"x", ["x"], True,
])  # fmt: skip
def test_everything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"cannot be installed|named by a text"):
        Requirement(text)


def test_too_many_and_none_are_refused():
    with pytest.raises(ValueError, match="at most"):
        requirements(["x"] * (MAX_AT_ONCE + 1))
    with pytest.raises(ValueError, match="which package"):
        requirements([])


@pytest.mark.parametrize(("packages", "mode", "named"), [
    ("none", "", ()), ("allow", "allow", ()), ((), "", ()), (["a", "a", "b>=1"], "given", ("a", "b>=1")), (["*"], "allow", ()), (["a", "*"], "allow", ("a",))
])  # fmt: skip
def test_a_policy_is_read(packages, mode, named):
    assert policy(packages) == (mode, named)
