"""A session's own packages: a folder that it alone can read, and the way packages come into it.

`LocalBackend` holds one where `packages=` allows any, and installs with it at the start and for cells
(package_calls.py). What Python itself has stays as it is and is never replaced; the folder comes last on the path.
Nothing is installed into any Python.

Not protected against: a package that is not what its name promises. What it does when imported, it does inside the
walls.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from codeact.errors import PackageError
from codeact.interpreter.backend import Backend, Request
from codeact.interpreter.builds import build
from codeact.interpreter.folders import remove
from codeact.interpreter.package_folder import modules_folder
from codeact.interpreter.package_job import Job
from codeact.interpreter.pip import Found, NoWheel, Pip, empty_folder
from codeact.interpreter.requirements import Requirement, normalised, requirements
from codeact.interpreter.settings import Settings
from codeact.interpreter.wheels import BadWheel, Wheel, merge

__all__ = ["INSTALL_SECONDS", "Packages"]

log = logging.getLogger("codeact.packages")

INSTALL_SECONDS = 900.0
"""Of one request; a cell's own time ends it sooner."""
MAX_PACKAGES = 300
"""Of one session."""
MAX_BUILDS = 10
"""Of one request."""


class Packages:
    """Installs packages for one session.

    Args:
        settings: The session's.
        url: Of an index to ask instead of those the user configured.
        max_mb: Of all packages together.
        start: Makes the session of a build.
    """

    def __init__(self, settings: Settings, url: str | None, max_mb: int | None, start: Callable[[Request], Backend]):
        self._settings, self._url, self._max_mb, self._start = settings, url, max_mb or 1 << 20, start
        self._lock = threading.Lock()
        self._pip: Pip | None = None
        self.installed: dict[str, str] = {}
        """Name -> version of what was added."""
        self._n_bytes = 0

    def install(self, texts: Sequence[object], base: Path, level: int, job: Job) -> str:
        """Install what is asked for and is not there yet; one request of a session at a time.

        Args:
            base: Our folder of the session.
            level: Of its walls.

        Returns:
            What came of it, in a line.

        Raises:
            ValueError: Something else than packages was asked for.
            PackageError: It cannot be installed; nothing has changed.
            Stopped: The job was stopped; nothing has changed.
        """
        wanted = requirements(texts)
        while not self._lock.acquire(timeout=0.1):
            job.check()
        try:
            log.info("installing %s", ", ".join(one.text for one in wanted))
            work, wheels = empty_folder(base / "installing"), base / "wheels"
            try:
                return self._install(wanted, modules_folder(base), wheels, work, level, job)
            finally:
                remove(work)
        finally:
            self._lock.release()

    def _install(self, wanted: Sequence[Requirement], modules: Path, wheels: Path, work: Path, level: int,
                 job: Job) -> str:
        pip = self._pip = self._pip or Pip(self._settings.python, self._url, self._max_mb)
        job.check()
        found = self._resolved(pip, wanted, wheels, work, level, job)
        added = [one for one in found if normalised(one.name) not in self.installed]
        if not added:
            return "Nothing to install: what was asked for is there already."
        if len(self.installed) + len(added) > MAX_PACKAGES:
            raise PackageError(f"it takes {len(added)} packages more; a session can have {MAX_PACKAGES}")
        self._unpack(added, pip.fetch(added, wheels, work, job), modules, work, job)
        return "Successfully installed " + " ".join(f"{one.name}-{one.version}" for one in added)

    def _resolved(self, pip: Pip, wanted: Sequence[Requirement], wheels: Path, work: Path, level: int,
                  job: Job) -> list[Found]:
        pinned = {**pip.installed, **self.installed}
        built: set[str] = set()
        while True:
            try:
                return pip.resolve([one.text for one in wanted], pinned, wheels, work, job)
            except NoWheel as error:
                missing = _missing(error)
                if missing.text in built or len(built) >= MAX_BUILDS or missing.name in map(normalised, pinned):
                    raise PackageError(f"{error}{self._hint(pip, wanted)}") from None
                built.add(missing.text)
                self._build(missing, pip, wheels, work, level, job)
            except PackageError as error:
                raise PackageError(f"{error}{self._hint(pip, wanted)}") from None

    def _hint(self, pip: Pip, wanted: Sequence[Requirement]) -> str:
        """Why what is there may stand in the way."""
        there = {normalised(name): version for name, version in {**pip.installed, **self.installed}.items()}
        kept = [f"{one.name} {there[one.name]}" for one in wanted if one.name in there]
        return "" if not kept else (f"\nInstalled already: {', '.join(kept)}. What is installed stays as it is, as a "
                                    "running session cannot change to another version.")

    def _build(self, missing: Requirement, pip: Pip, wheels: Path, work: Path, level: int, job: Job) -> None:
        """Have a wheel built, look at it, and put it where pip finds it."""
        into = empty_folder(work / "built")
        path = build(missing, pip=pip, settings=self._settings, level=level, start=self._start, into=into,
                     max_mb=self._max_mb, job=job)
        try:
            wheel = Wheel(path)
        except BadWheel as error:
            raise PackageError(f"the build of {missing.text} made no proper wheel: {error}") from None
        if normalised(wheel.name) != missing.name or wheel.addresses:
            raise PackageError(f"the build of {missing.text} made something else" if not wheel.addresses else
                               f"{missing.text} wants packages by their address: {wheel.addresses[0]}")
        wheels.mkdir(mode=0o700, exist_ok=True)
        os.replace(path, wheels / path.name)

    def _unpack(self, added: Sequence[Found], paths: Sequence[Path], modules: Path, work: Path, job: Job) -> None:
        """Unpack all wheels of a request aside, then let them appear together."""
        staging = empty_folder(work / "staging")
        n_bytes = self._n_bytes
        try:
            wheels = {normalised(wheel.name): wheel for wheel in map(Wheel, paths)}
            if set(wheels) != {normalised(one.name) for one in added}:
                raise PackageError("the index sent other packages than it had promised")
            for number, wheel in enumerate(wheels.values()):
                job.check()
                n_bytes += wheel.n_bytes
                if n_bytes > self._max_mb << 20:
                    raise PackageError(f"it takes more than {self._max_mb} MB, the limit of a session's packages")
                wheel.unpack(empty_folder(staging / str(number)))
        except BadWheel as error:
            raise PackageError(str(error)) from None
        job.check()
        for number in range(len(wheels)):
            merge(staging / str(number), modules)
        self.installed.update({normalised(one.name): one.version for one in added})
        self._n_bytes = n_bytes

    def close(self) -> None:
        """Wait until nothing is being installed any more; whoever does has been told to stop."""
        if self._lock.acquire(timeout=60):
            self._lock.release()

    def install_at_start(self, texts: Sequence[str], base: Path, level: int) -> None:
        """As `install`, with nobody to tell but the log."""
        job = Job(log.info, INSTALL_SECONDS)
        try:
            for first in range(0, len(texts), 20):
                self.install(texts[first:first + 20], base, level, job)
        finally:
            job.close()


def _missing(error: NoWheel) -> Requirement:
    """The requirement that no wheel meets, as pip words it; it may be a dependency's."""
    try:
        text = error.requirement.partition(";")[0].partition("(from ")[0]
        return Requirement(re.sub(r"[()]", "", text).strip())
    except ValueError:
        raise PackageError(str(error)) from None

