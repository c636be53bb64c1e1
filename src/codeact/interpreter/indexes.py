"""Where a session's packages come from: the index that the user configured for pip, or named for this session.

`Packages` reads it once. pip on the host gets all of it, in its environment and never as an argument, as arguments can
be seen by every user of the machine. A build inside the walls gets no passwords, keys or files of the user's.

Not protected against: a password in the path of an index, which a build inside the walls would see. Text that goes to a
cell is cleared of all of it (`Index.clear`).
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

__all__ = ["DEFAULT_INDEX", "Index", "checked_url"]

DEFAULT_INDEX = "https://pypi.org/simple"
FILE_HOSTS = {"pypi.org": ("files.pythonhosted.org",), "test.pypi.org": ("test-files.pythonhosted.org",)}
"""Hosts of files, for indexes that keep them elsewhere."""

_PLACES = ("index-url", "extra-index-url", "find-links")
_TAKEN = (*_PLACES, "no-index", "trusted-host", "cert", "client-cert", "proxy", "timeout", "default-timeout", "retries")
"""What counts of a user's configuration of pip."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>)]+")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def checked_url(url: str) -> str:
    """An index given by its address; raises ValueError for what is none."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if (not port_is_right or parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable()
            or " " in url):
        raise ValueError("index_url: it is the address of a package index, as 'https://pypi.org/simple'")
    return url


class Index:
    """Places of packages.

    Args:
        listing: What `pip config list` printed.
        url: Counts instead of what is configured.
    """

    def __init__(self, listing: str = "", url: str | None = None):
        self.settings = _settings(listing)
        if url is not None:
            for name in (*_PLACES, "no-index"):
                self.settings.pop(name, None)
            self.settings["index-url"] = url

    def environment(self, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
        """For pip on the host.

        Args:
            variables: Of this process: those about proxies, and about whom to believe, are passed on.
        """
        names = [*AUTHORITIES, *PROXIES, *map(str.lower, PROXIES)]
        made = {name: variables[name] for name in names if name in variables}
        netrc = variables.get("NETRC") or os.path.expanduser("~/.netrc")
        return {**made, "NETRC": netrc, **_variables(self.settings)}

    def public_environment(self) -> dict[str, str]:
        """For pip inside the walls: addresses without passwords, and none that leads to files of this machine."""
        public = {name: self.settings.get(name, "") for name in ("trusted-host", "timeout", "default-timeout")}
        for name in _PLACES:
            public[name] = " ".join(filter(None, map(_public, self.settings.get(name, "").split())))
        return _variables({name: text for name, text in public.items() if text})

    def hosts(self) -> list[str]:
        """The hosts that a build needs, as entries of a network list."""
        found: list[str] = []
        for address in self._addresses():
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and parts.hostname:
                host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
                port = parts.port or (443 if parts.scheme == "https" else 80)
                found += [f"{host}:{port}", *(f"{other}:443" for other in FILE_HOSTS.get(parts.hostname, ()))]
        return list(dict.fromkeys(found))

    @property
    def authorities(self) -> str | None:
        """The file of certificates the user has pip believe."""
        return self.settings.get("cert")

    def clear(self, text: str) -> str:
        """A text of pip's without addresses, and without what stands in those of this index."""
        text = _ADDRESS.sub(lambda found: _file_name(found[0]), text)
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, "...")
        return text

    def _addresses(self) -> list[str]:
        if "no-index" in self.settings and self.settings["no-index"].lower() not in ("0", "false", "no", "off", ""):
            return self.settings.get("find-links", "").split()
        first = self.settings.get("index-url", DEFAULT_INDEX)
        return " ".join([first, *(self.settings.get(name, "") for name in _PLACES[1:])]).split()

    def _secrets(self) -> set[str]:
        found: set[str] = set()
        for address in [*self._addresses(), self.settings.get("proxy", "")]:
            try:
                parts = urlsplit(address)
                found |= {parts.username or "", parts.password or "", parts.netloc.rpartition("@")[0], parts.query}
            except ValueError:
                continue
            found.add(parts.path.rstrip("/"))
        return {spelling for secret in found if len(secret) > 2 for spelling in (secret, unquote(secret))}


def _settings(listing: str) -> dict[str, str]:
    """What counts of `pip config list`: of all, then of `install`, then of the environment."""
    read: dict[str, dict[str, str]] = {}
    for line in listing.splitlines():
        key, mark, text = line.partition("=")
        section, _, name = key.rpartition(".")
        if not mark or name not in _TAKEN:
            continue
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, str):
            read.setdefault(section, {})[name] = " ".join(value.split())
    return {**read.get("global", {}), **read.get("install", {}), **read.get(":env:", {})}


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {"PIP_" + name.upper().replace("-", "_"): value for name, value in settings.items()}


def _public(address: str) -> str:
    """An address without a password; empty for what is not on the network."""
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return ""
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return ""


def _file_name(address: str) -> str:
    """What may be told of an address: the file it names, if it is a package's."""
    name = Path(re.split(r"[?#]", address)[0]).name
    return name if re.fullmatch(r"[\w.+!-]+\.(whl|tar\.gz|zip|metadata)", name) else "the index"
