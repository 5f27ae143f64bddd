"""Whether a URL is at one of the hosts that are named: not nearly, and not by a trick."""

from __future__ import annotations

import pytest

from streams.catalogue.hosts import is_at, read_host

HOSTS = ("schema.example.org", "other.example.org:8443", "2001:db8::1", "[2001:db8::2]:8080")


@pytest.mark.parametrize(
    "uri",
    [
        "https://schema.example.org/x",
        "http://schema.example.org",
        "HTTPS://Schema.Example.ORG:443/x",
        "http://schema.example.org:80/x",
        "https://schema.example.org./x",
        "https://schema.example.org:/x",
        "https://other.example.org:8443/x?y#z",
        "http://other.example.org:8443/x",
        "http://[2001:DB8:0:0::1]/x",
        "http://[2001:db8::2]:8080/x",
    ],
)
def test_a_url_at_a_host(uri: str) -> None:
    assert is_at(uri, HOSTS)
    assert not is_at(uri, ())


@pytest.mark.parametrize(
    "uri",
    [
        "https://schema.example.org:8443/x",
        "https://schema.example.org:80/x",
        "http://schema.example.org:443/x",
        "https://schema.example.org:0/x",
        "https://schema.example.org:99999/x",
        "https://other.example.org/x",
        "https://schema.example.org@evil.example/x",
        "https://evil.example@schema.example.org/x",
        "https://schema.example.org:443@evil.example/x",
        "https://evil.example#@schema.example.org/x",
        "https://evil.example?schema.example.org",
        "https://evil.example\\@schema.example.org/x",
        "https://schema.example.org\\.evil.example/x",
        "https://schema.example.org.evil.example/x",
        "https://xschema.example.org/x",
        "https://schema.example.org../x",
        "https://schema.example.org%2eevil.example/x",
        "https://schema.example.org\t/x",
        " https://schema.example.org/x",
        "https:schema.example.org/x",
        "//schema.example.org/x",
        "file://schema.example.org/x",
        "ftp://schema.example.org/x",
        "http://[2001:db8::3]/x",
        "http://[2001:db8::2]/x",
        "http://[2001:db8::1%25eth0]/x",
        "http://[::ffff:10.0.0.1]/x",
        "http://[schema.example.org]/x",
        "http://2130706433/x",
        "",
    ],
)
def test_a_url_elsewhere(uri: str) -> None:
    assert not is_at(uri, HOSTS)


def test_a_host_is_written_as_it_is_read() -> None:
    for text in HOSTS:
        assert str(read_host(text)) == text
    for text in ("", "a b", "a:b", "a:0", "[::1", "[a]:80", "http://a", "a/b", "::1:x", "a..b"):
        with pytest.raises(ValueError, match=r"is not|Expected|Only|At least|cannot"):
            read_host(text)
