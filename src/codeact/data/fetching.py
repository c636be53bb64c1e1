"""One commit of a git repository, and of it one folder: the commit's hash pins all that comes.

Calls the program `git`; its settings (a proxy, say) are the user's. Nothing of what comes is run here.
"""

import os
import shutil
import subprocess
from pathlib import Path

from codeact.errors import ConfigError

__all__ = ["fetch"]

_SECONDS = 600
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=false", "-c", "advice.detachedHead=false")


def fetch(url: str, commit: str, folder: str, into: Path) -> str:
    """Check out `folder` of a commit below `into`, an empty folder.

    Args:
        commit: A hash of forty digits, or another name that the repository knows, as HEAD.

    Returns:
        The commit's hash.

    Raises:
        ConfigError: There is no git, no way to the repository, no such commit, or no room on the disk.
    """
    if url.startswith("-") or commit.startswith("-"):
        raise ConfigError(f"{url!r} at {commit!r} is no repository; give a URL or a path, and a commit")
    if shutil.which("git") is None:
        raise ConfigError("the program git is not installed; install it (apt-get install git), or give a folder that "
                          "holds the files already: codeact data get NAME --from DIR")
    _git(into, "init", "--quiet")
    _git(into, "sparse-checkout", "set", "--no-cone", f"/{folder}/")
    _git(into, "fetch", "--quiet", "--depth", "1", "--no-tags", "--", url, commit)
    _git(into, "checkout", "--quiet", "FETCH_HEAD")
    found = _git(into, "rev-parse", "HEAD")
    if len(commit) == 40 and found != commit:
        raise ConfigError(f"{url} gave the commit {found} for {commit}; it cannot be trusted, take another source")
    if not (into / folder).is_dir():
        raise ConfigError(f"{url} at {found} holds no folder {folder!r}")
    return found


def _git(folder: Path, *words: str) -> str:
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_DIR": str(folder / ".git"),
           "GIT_WORK_TREE": str(folder)}
    try:
        done = subprocess.run(["git", *_SAFE, *words], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(f"git {words[0]} took more than {_SECONDS} seconds; check the network, try again") from None
    if done.returncode == 0:
        return done.stdout.strip()
    lines = done.stderr.strip().splitlines()
    # What comes after it is advice, and not for here
    said = [line for line in lines if line.startswith("fatal: ")] or lines[-1:] or [f"exit code {done.returncode}"]
    raise ConfigError(f"git {words[0]} failed: {said[0].rstrip('.'):.300}. {_advice(done.stderr)}")


def _advice(said: str) -> str:
    if "No space left" in said:
        return "Make room on the disk, or set XDG_CACHE_HOME to a larger one"
    if any(words in said for words in ("Could not resolve", "unable to access", "Connection", "timed out")):
        return "Check the network (git knows http.proxy); or bring the files yourself and name them with --from DIR"
    if "not our ref" in said or "couldn't find remote ref" in said:
        return "The repository has no such commit"
    return "Look whether `git fetch` works there; or bring the files yourself and name them with --from DIR"
