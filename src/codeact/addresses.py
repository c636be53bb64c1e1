"""Which addresses of the network sessions may be taken to, and the way from a name to such an address.

The proxy of a session (interpreter/proxy.py) and tools that fetch (tools/builtin/_http.py) ask `resolve` once for each
request and connect to what it gives, so that a name cannot mean one address when it is checked and another when it is
used (DNS rebinding). What is not public is refused, whatever name led there.

Not protected against: public addresses behind which something private stands (a provider's own NAT64 prefix, an
internal service that trusts this machine's address); the owner of an allowed name, who says where it leads.

Source: IANA special-purpose address registries (RFC 6890); RFC 6052 for NAT64.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

__all__ = ["Address", "Check", "Refused", "Resolver", "Unresolved", "plain", "resolve", "why_not_public", "why_refused"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]
"""Every address of a name, as text; raises OSError where there is none."""
Check = Callable[[Address], str]
"""Why nobody may be taken to an address; empty where one may."""

MAX_ADDRESSES = 4
"""Of one name that are tried."""

# A table of our own: what `ipaddress` calls global differs between Python's releases
_IPV4 = [(ipaddress.IPv4Network(network), what) for network, what in (
    ("0.0.0.0/8", "unspecified"), ("10.0.0.0/8", "private"), ("100.64.0.0/10", "private (carrier-grade NAT)"),
    ("127.0.0.0/8", "loopback"), ("168.63.129.16/32", "a cloud's metadata service"),
    ("169.254.0.0/16", "link-local (metadata services)"), ("172.16.0.0/12", "private"), ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "reserved"), ("192.31.196.0/24", "reserved"), ("192.52.193.0/24", "reserved"),
    ("192.88.99.0/24", "reserved"), ("192.168.0.0/16", "private"), ("192.175.48.0/24", "reserved"),
    ("198.18.0.0/15", "reserved"), ("198.51.100.0/24", "reserved"), ("203.0.113.0/24", "reserved"),
    ("224.0.0.0/4", "multicast"), ("240.0.0.0/4", "reserved"))]
_IPV6_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given out to the public; of it, these are not:"""
_IPV6 = [(ipaddress.IPv6Network(network), what) for network, what in (
    ("2001::/23", "reserved (Teredo and others)"), ("2001:db8::/32", "reserved"), ("2002::/16", "reserved (6to4)"),
    ("2620:4f:8000::/48", "reserved"), ("3fff::/20", "reserved"))]
_IPV6_NAMES = [(ipaddress.IPv6Network(network), what) for network, what in (
    ("::/128", "unspecified"), ("::1/128", "loopback"), ("fc00::/7", "private"), ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"))]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Refused(Exception):
    """A name leads to addresses that nobody is taken to; the message says which and why."""


class Unresolved(Exception):
    """A name leads nowhere."""


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where packets to it go there (mapped, NAT64); else itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def why_not_public(address: Address) -> str:
    """What an address is that is not public; empty for one that is."""
    meant = plain(address)
    if isinstance(meant, ipaddress.IPv4Address):
        return next((what for network, what in _IPV4 if meant in network), "")
    if meant.scope_id is not None:
        return "of one link"
    if meant not in _IPV6_GLOBAL:
        return next((what for network, what in _IPV6_NAMES if meant in network), "reserved")
    return next((what for network, what in _IPV6 if meant in network), "")


def why_refused(address: Address) -> str:
    """The check that proxies use: an address has to be public, and not one of this machine's own."""
    return why_not_public(address) or ("this machine's own" if _is_own(address) else "")


def _is_own(address: Address) -> bool:
    """Whether packets to an address would stay here: then they would be sent from it. Sends nothing."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(address), 9))
            return ipaddress.ip_address(sock.getsockname()[0]) == address
    except OSError:
        return False   # no way there at all


def ask_system(host: str, port: int) -> list[str]:
    """The resolver of this machine."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


def resolve(host: str, port: int, *, resolver: Resolver = ask_system, check: Check = why_refused) -> list[str]:
    """Ask once for a name and give the addresses that may be connected to, in the order to try them.

    Args:
        host: A name, or an address as text.

    Raises:
        Refused: There are addresses, and none of them is allowed.
        Unresolved: There are none.
    """
    try:
        answers = dict.fromkeys(resolver(host, port))
    except (OSError, UnicodeError) as error:
        raise Unresolved(f"{host} does not resolve ({getattr(error, 'strerror', None) or error})") from None
    good: list[str] = []
    bad = ""
    for text in answers:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if why := check(address):
            bad = bad or f"{host} leads to {address}, which is {why}; only public addresses can be reached"
        else:
            good.append(str(address))
    if not good:
        raise Refused(bad) if bad else Unresolved(f"{host} has no address")
    return good[:MAX_ADDRESSES]
