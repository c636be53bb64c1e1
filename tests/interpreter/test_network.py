"""What the entries of a list mean, and which addresses nobody is taken to."""

import ipaddress
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact import addresses
from codeact.addresses import Refused, Unresolved, resolve, why_not_public, why_refused
from codeact.interpreter.network import AllowList, host_of


@pytest.mark.parametrize(("entry", "host", "port", "allowed"), [
    ("api.example.com", "api.example.com", 443, True),
    ("api.example.com", "api.example.com", 80, True),
    ("api.example.com", "api.example.com", 8443, False),
    ("api.example.com", "API.Example.COM.", 443, True),
    ("API.Example.com.", "api.example.com", 443, True),
    ("api.example.com", "www.api.example.com", 443, False),
    ("api.example.com", "example.com", 443, False),
    ("api.example.com", "api.example.com.evil.test", 443, False),
    ("api.example.com", "evil-api.example.com", 443, False),
    ("api.example.com:8443", "api.example.com", 8443, True),
    ("api.example.com:8443", "api.example.com", 443, False),
    ("*.example.org", "a.example.org", 443, True),
    ("*.example.org", "a.b.example.org", 80, True),
    ("*.example.org", "example.org", 443, False),
    ("*.example.org", "badexample.org", 443, False),
    ("*.example.org", "example.org.evil.test", 443, False),
    ("*.example.org:443", "a.example.org", 443, True),
    ("*.example.org:443", "a.example.org", 80, False),
    ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "xn--bcher-kva.example", 443, True),
    ("1.1.1.1", "1.1.1.1", 443, True),
    ("1.1.1.1:53", "1.1.1.1", 53, True),
    ("1.1.1.1", "1.1.1.2", 443, False),
    ("2606:4700::1111", "[2606:4700:0::1111]", 443, True),
    ("[2606:4700::1111]:853", "[2606:4700::1111]", 853, True),
    ("[2606:4700::1111]:853", "[2606:4700::1111]", 443, False),
    ("*.example.org", "1.1.1.1", 443, False),
])  # fmt: skip
def test_an_entry_allows_what_it_says(entry, host, port, allowed):
    spelled = host_of(host)
    assert spelled is not None
    assert AllowList([entry]).allows(spelled, port) is allowed


@pytest.mark.parametrize(("entry", "why"), [
    ("", "it is empty"), (" ", "no name"), ("*", "network='all'"), ("*:443", "network='all'"), ("*.com", "top-level"), ("*.*.com", "no name"), ("a*.example.com", "no name"),
    ("http://example.com", "only the host"), ("example.com/path", "only the host"), ("10.0.0.0/8", "only the host"),
    ("user@example.com", "no name"), (" example.com", "no name"), ("example.com\n", "no name"), ("exa mple.com", "no name"), ("example..com", "no name"),
    ("-example.com", "no name"), ("example.com:0", "port"), ("example.com:65536", "port"), ("example.com:", "port"), ("example.com:https", "port"), ("example.com:*", "port"),
    ("example.com:0443", "port"), ("localhost", "a dot"), ("intranet", "a dot"), ("10.1.2.3", "private"), ("127.0.0.1:8080", "loopback"), ("169.254.169.254", "link-local"),
    ("::1", "loopback"), ("[::ffff:10.0.0.1]:80", "private"), ("fd00::1", "private"), ("127.1", "no name"), ("2130706433", "no name"), ("0x7f.1", "no name"), ("010.0.0.1", "no name"),
    ("fe80::1%eth0", "no name"), ("*.1.1.1.1", "nothing below"), ("stra\N{LATIN SMALL LETTER SHARP S}e.example", "xn--"), ("x" * 64 + ".example", "no name"), ("a." * 130 + "b", "no name"),
    (None, "a text"), (443, "a text"), (b"example.com", "a text"),
])  # fmt: skip
def test_an_entry_that_makes_no_sense_is_told_with_what_would(entry, why):
    with pytest.raises(ValueError, match=why):
        AllowList([entry])


def test_a_list_says_what_it_allows_and_not_more_than_can_be_read():
    assert str(AllowList(["a.example", "*.b.example:8443", "[2606:4700::1111]:853", "a.example"])) == "a.example, *.b.example:8443, [2606:4700::1111]:853"
    assert str(AllowList(f"h{number}.example" for number in range(100))).endswith("h19.example and 80 more")
    with pytest.raises(ValueError, match="at most 1000"):
        AllowList(f"h{number}.example" for number in range(1001))


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_is_an_entry_or_a_value_error(text):
    try:
        rules = AllowList([text])
    except ValueError:
        return
    assert AllowList([str(rules)]).rules == rules.rules


@given(st.text(alphabet="a.:[]-_%0x1fF*@\u0130\uff0e ", max_size=20))
@settings(deadline=None)
def test_a_host_has_one_spelling(text):
    spelled = host_of(text)
    if spelled is not None:
        assert spelled.isascii()
        assert host_of(f"[{spelled}]" if ":" in spelled else spelled) == spelled


PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::808:808", "::ffff:8.8.8.8"]
OTHER = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1",
    "2001::1", "2606:4700::1111%1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_can_be_reached(address):
    assert why_not_public(ipaddress.ip_address(address)) == ""


@pytest.mark.parametrize("address", OTHER)
def test_all_other_addresses_are_refused(address):
    assert why_not_public(ipaddress.ip_address(address)) != ""
    assert why_refused(ipaddress.ip_address(address)) != ""


def test_a_public_address_of_this_machines_own_is_refused(monkeypatch):
    monkeypatch.setattr(addresses, "why_not_public", lambda address: "")
    assert why_refused(ipaddress.ip_address("127.0.0.1")) == "this machine's own"


def test_a_name_is_asked_for_once_and_only_good_addresses_come_back():
    asked = []

    def resolver(host, port):
        asked.append((host, port))
        return ["10.0.0.1", "1.1.1.1", "::1", "nonsense", "1.1.1.1", "2606:4700::1111"]

    assert resolve("a.example", 443, resolver=resolver, check=why_not_public) == ["1.1.1.1", "2606:4700::1111"]
    assert asked == [("a.example", 443)]


def test_a_name_that_leads_to_a_private_address_says_so():
    with pytest.raises(Refused, match=r"a.example leads to 169.254.169.254, which is link-local"):
        resolve("a.example", 80, resolver=lambda host, port: ["169.254.169.254", "10.0.0.1"])


@pytest.mark.parametrize("answer", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long"), []])
def test_a_name_that_leads_nowhere_says_so(answer):
    def resolver(host, port):
        if isinstance(answer, list):
            return answer
        raise answer

    with pytest.raises(Unresolved, match=r"a\.example"):
        resolve("a.example", 80, resolver=resolver)
