"""A `docker` for tests on machines that have none: it checks the flags, and runs the program right here.

`put_on_path` writes it to a folder. What is real with it: the relay, its stream, and all that the kernel does. What is
not: the container. The user of `--user` is real when root runs it, bind mounts are there as they are.
"""

import os
import sys
from pathlib import Path

__all__ = ["put_on_path"]

SCRIPT = '''#!{python} -I
import csv, os, signal, sys

words = sys.argv[1:]
assert words.pop(0) == "run", words
alone = {{"--rm", "--interactive", "--read-only"}}
options, mounts, variables = {{}}, {{}}, {{}}
while words and words[0].startswith("--"):
    name = words.pop(0)
    value = True if name in alone else words.pop(0)
    if name == "--mount":
        fields = dict(field.partition("=")[::2] for field in next(csv.reader([value])))
        assert fields["type"] == "bind" and os.path.isdir(fields["source"]), fields
        mounts[fields["target"]] = fields
    elif name == "--env":
        variables.update([value.split("=", 1)])
    else:
        assert name not in options, name
        options[name] = value
image, *words = words
if image == "missing":
    sys.exit("docker: Error response from daemon: No such image: missing:latest.")
if image == "nodaemon":
    sys.exit("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
if image == "nopython":
    sys.exit('docker: Error response from daemon: exec: "python3": executable file not found in $PATH: unknown.')
if image == "old":
    sys.exit("this Python is 3.6; codeact's kernel needs 3.9 or later")
if image == "garbage":
    sys.stdout.buffer.write(bytes(range(256)) * 64)
    sys.stdout.flush()
    sys.stdin.buffer.read()
    sys.exit()
for name, value in [("--cap-drop", "ALL"), ("--security-opt", "no-new-privileges"), ("--read-only", True), ("--rm", True),
                    ("--interactive", True), ("--pull", "never"), ("--entrypoint", "python3")]:
    assert options[name] == value, (name, options.get(name))
assert "readonly" in mounts["/opt/codeact-kernel"]
uid, gid = map(int, options["--user"].split(":"))
assert uid and gid
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
words[0] = mounts[words[0]]["source"]
os.chdir("/")
os.execve("{inside}", ["{inside}", *words], {{"PATH": os.environ["PATH"], **variables}})
'''


def put_on_path(folder: Path) -> None:
    """Write it into a folder as `docker` and `podman`."""
    inside = "/usr/bin/python3" if os.getuid() == 0 and os.path.exists("/usr/bin/python3") else sys.executable
    for name in ("docker", "podman"):
        script = folder / name
        script.write_text(SCRIPT.format(python=sys.executable, inside=inside))
        script.chmod(0o755)
