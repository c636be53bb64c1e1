"""The list of hosts a session may reach: what `network=["api.example.com", "*.example.org:443"]` means.

`Interpreter` reads the list with it, proxy.py asks it before each connection. It judges names and ports as they are
written; where a name leads is for addresses.py to judge.

Not protected against: what stands behind an allowed name. Data can be sent there, and a host may pass requests on to
others (a shared CDN, an open redirector that the host itself follows).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from codeact.addresses import Address, why_not_public

__all__ = ["DEFAULT_PORTS", "AllowList", "Rule", "host_of"]

DEFAULT_PORTS = (80, 443)
"""Of an entry that names no port."""
MAX_ENTRIES = 1000
MAX_TOLD = 20
"""Entries named in a message."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes resolvers take a name for an IPv4 address."""


@dataclass(frozen=True)
class Rule:
    """One entry of a list."""

    host: str
    """A name in lower case, or an address."""
    below: bool
    """Whether it means all names below this one (`*.`), and not itself."""
    ports: tuple[int, ...]

    def allows(self, host: str, port: int) -> bool:
        """Whether it covers a host, as `host_of` writes it."""
        return port in self.ports and (host.endswith("." + self.host) if self.below else host == self.host)

    def covers(self, other: Rule) -> bool:
        """Whether it allows all that another rule does."""
        if self.below:   # what is below a name that is below, is below
            inside = other.host.endswith("." + self.host) or (other.below and other.host == self.host)
        else:
            inside = not other.below and other.host == self.host
        return inside and set(other.ports) <= set(self.ports)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.ports != DEFAULT_PORTS else self.host
        return ("*." if self.below else "") + host + ("" if self.ports == DEFAULT_PORTS else f":{self.ports[0]}")


class AllowList:
    """The hosts that may be reached.

    Args:
        entries: `host` (ports 80 and 443), `host:port`, `*.domain` (every name below it, not itself), or a public
            address; an IPv6 address with a port in brackets.

    Raises:
        ValueError: An entry is none of these; the message names it and says what would be right.
    """

    def __init__(self, entries: Iterable[str]):
        self.rules = tuple(dict.fromkeys(_rule(entry) for entry in entries))
        if len(self.rules) > MAX_ENTRIES:
            raise ValueError(f"network=[...] has {len(self.rules)} entries; at most {MAX_ENTRIES} are taken")

    def allows(self, host: str, port: int) -> bool:
        """Whether a host, as `host_of` writes it, may be asked for at this port."""
        return any(rule.allows(host, port) for rule in self.rules)

    def covers(self, rule: Rule) -> bool:
        """Whether all that a rule allows may be reached."""
        return all(any(one.covers(Rule(rule.host, rule.below, (port,))) for one in self.rules) for port in rule.ports)

    def __str__(self) -> str:
        more = f" and {len(self.rules) - MAX_TOLD} more" if len(self.rules) > MAX_TOLD else ""
        return ", ".join(map(str, self.rules[:MAX_TOLD])) + more

    def __bool__(self) -> bool:
        return bool(self.rules)


def host_of(text: str) -> str | None:
    """A host in the one spelling that rules compare, without brackets: an address, or a name in lower case with no
    dot at its end. None for what is neither; non-ASCII names come as their `xn--` form or not at all."""
    if text.startswith("[") != text.endswith("]"):
        return None
    if text.startswith("["):
        address = _address(text[1:-1])
        return str(address) if address is not None and address.version == 6 else None
    address = _address(text)
    if address is not None:
        return str(address) if address.version == 4 else None
    name = text.lower().removesuffix(".")
    if not text.isascii() or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    return None if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


def port_of(text: str) -> int | None:
    """A port, written in the one way there is; None for what is none."""
    return int(text) if _PORT.fullmatch(text) and int(text) < 65536 else None


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def _rule(entry: object) -> Rule:
    if not isinstance(entry, str):
        raise ValueError(f"network=[{entry!r}]: an entry is a text, such as 'api.example.com'")
    host, port_text = _split(entry)
    ports: tuple[int, ...] = DEFAULT_PORTS
    if port_text is not None:
        port = port_of(port_text)
        if port is None:
            raise _wrong(entry, "a port is a number from 1 to 65535")
        ports = (port,)
    below = host.startswith("*.")
    name = host_of(_ascii(entry, host[2:] if below else host))
    if host == "*":
        raise _wrong(entry, "for every host say network='all'")
    if name is None:
        raise _wrong(entry, "it is no name or address of a host")
    address = _address(name)
    if address is not None and below:
        raise _wrong(entry, "there is nothing below an address")
    if address is not None and (what := why_not_public(address)):
        raise _wrong(entry, f"this address is {what}, and only public ones can be reached")
    if address is None and "." not in name:
        raise _wrong(entry, "it would open a whole top-level domain" if below else
                     "a name has a dot in it, and leads to a public address")
    return Rule(name, below, ports)


def _split(entry: str) -> tuple[str, str | None]:
    """Host and port; an IPv6 address comes out in brackets."""
    if not entry:
        raise _wrong(entry, "it is empty")
    if "/" in entry:
        raise _wrong(entry, "no scheme, no path and no range of addresses, only the host")
    found = re.fullmatch(r"(\[[^\]]*\])(?::(.*))?", entry, re.S)
    if found:
        return found[1], found[2]
    if entry.count(":") > 1:
        return f"[{entry}]", None
    host, colon, port = entry.partition(":")
    return host, port if colon else None


def _ascii(entry: str, host: str) -> str:
    """A name as it stands in the DNS."""
    if host.isascii():
        return host
    try:
        encoded = host.encode("idna").decode()
        same = encoded.encode().decode("idna") == host.lower().removesuffix(".")
    except UnicodeError:
        same = False
    if not same:   # what this Python encodes may be another name than what browsers make of it (ß, ς)
        raise _wrong(entry, "this name has no single form in ASCII; write it as its xn-- form")
    return encoded


def _wrong(entry: str, why: str) -> ValueError:
    shown = entry if len(entry) <= 100 else entry[:100] + "..."
    return ValueError(f"network=[{shown!r}]: {why}; right are 'api.example.com', '*.example.org', "
                      "'example.org:8443' or a public address")
