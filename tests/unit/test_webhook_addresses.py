"""Where webhooks may lead."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from aurora_atlan.actors.webhook_addresses import RefusedAddressError, WebhookUrl, is_public


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com", WebhookUrl("example.com", 443, "/", tls=True)),
        ("https://Example.com:443/a/b?c=d&e=%20", WebhookUrl("example.com", 443, "/a/b?c=d&e=%20", tls=True)),
        ("https://example.com:8443?x", WebhookUrl("example.com", 8443, "/?x", tls=True)),
        ("https://8.8.8.8/", WebhookUrl("8.8.8.8", 443, "/", tls=True)),
        ("https://[2606:4700::1111]:1024/", WebhookUrl("2606:4700::1111", 1024, "/", tls=True)),
    ],
)
def test_an_https_url_of_a_public_host_is_taken(text: str, expected: WebhookUrl):
    assert WebhookUrl.parse(text, private=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "http://example.com/",
        "ftp://example.com/",
        "https:///",
        "https://",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#fragment",
        "https://example.com\\@internal/",
        "https://example.com/a b",
        "https://example.com/\n",
        "https://ex\u00e4mple.com/",
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:80/",
        "https://example.com:1023/",
        "https://example.com:65536/",
        "https://example.com:443a/",
        "https://example..com/",
        f"https://{'a' * 64}.com/",
        f"https://example.com/{'x' * 1000}",
        "https://[::g]/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/",
        "https://LOCALHOST:8443/",
    ],
)
def test_every_other_url_is_refused(text: str):
    with pytest.raises(RefusedAddressError, match="must be an https URL of a public host"):
        WebhookUrl.parse(text, private=False)


def test_private_addresses_may_be_allowed_and_ones_own_machine_without_tls():
    for text in ("https://10.1.2.3/", "https://localhost:8443/", "http://localhost:8080/x", "http://127.0.0.1:8080"):
        assert WebhookUrl.parse(text, private=True).tls == text.startswith("https:")
    for text in ("http://10.1.2.3:8080/", "http://example.com:8080/", "http://localhost/", "https://localhost:22/"):
        with pytest.raises(RefusedAddressError):
            WebhookUrl.parse(text, private=True)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1"])
def test_addresses_of_the_internet_are_public(text: str):
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.1.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "100::1",
        "2001:db8::1",
        "2001:0:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "fc00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_addresses_of_a_network_of_ones_own_or_of_nobody_are_not(text: str):
    assert not is_public(ipaddress.ip_address(text))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def answer(_host: str, port: int, **_arguments: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_is_good_only_if_all_of_its_addresses_are(monkeypatch: pytest.MonkeyPatch):
    url = WebhookUrl.parse("https://example.com/", private=False)
    resolving(monkeypatch, "8.8.8.8", "1.1.1.1")
    assert list(map(str, url.resolve(private=False))) == ["8.8.8.8", "1.1.1.1"]

    resolving(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(RefusedAddressError, match=r"10\.0\.0\.1 is not a public address"):
        url.resolve(private=False)
    assert len(url.resolve(private=True)) == 2


def test_numbers_that_resolvers_take_for_addresses_are_seen_through():
    for host in ("127.1", "0x7f.1", "2130706433", "017700000001"):
        with pytest.raises(RefusedAddressError, match=r"127\.0\.0\.1 is not a public address"):
            WebhookUrl.parse(f"https://{host}/", private=False).resolve(private=False)


def test_without_tls_only_this_machine_is_spoken_to_whatever_its_name_leads_to(monkeypatch: pytest.MonkeyPatch):
    resolving(monkeypatch, "10.0.0.1")
    with pytest.raises(RefusedAddressError, match="not this machine"):
        WebhookUrl.parse("http://localhost:8080/", private=True).resolve(private=True)
