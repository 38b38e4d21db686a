"""Which URLs may be asked, in every spelling an address has."""

import asyncio

import pytest

from apps.egress.errors import AddressRefused, AllowInvalid, UrlInvalid, UrlSchemeRefused
from apps.egress.guard import WEBSOCKET, check_url, read_allow, shown_url
from apps.egress.lookup import GuardedResolver

REFUSED_HOSTS = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "10.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "0xc0a80101",
    "169.254.169.254",
    "2852039166",
    "169.254.169.254.",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[4000::1]",
    "１２７.0.0.1",
    "127。0。0。1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "ⓛocalhost",
)


@pytest.mark.parametrize("host", REFUSED_HOSTS)
def test_an_address_that_is_not_public_is_refused_in_any_spelling(host):
    with pytest.raises(AddressRefused) as caught:
        check_url(f"http://{host}:8080/x?token=secret", pointer="/url")
    assert caught.value.pointer == "/url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["example.org", "93.184.216.34", "[2606:4700::1111]", "[::ffff:8.8.8.8]", "172.32.0.1", "münchen.de"],
)
def test_the_public_internet_may_be_asked(host):
    assert check_url(f"https://{host}/").port == 443


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "length"),
        ("http://example.org/" + "x" * 2_048, "length"),
        ("http://exa mple.org/", "spelling"),
        ("http://example.org\r\nX: y/", "spelling"),
        ("http://example.org\\@127.0.0.1/", "spelling"),
        ("http://example.org:99999/", "spelling"),
        ("http://8.8.2056/", "spelling"),
        ("http://134744072/", "spelling"),
        ("http://user:word@example.org/", "credentials"),
        ("http://@example.org/", "credentials"),
        ("http:///x", "host"),
        ("http:example.org", "host"),
        ("http://./", "host"),
        ("http://%31%32%37.0.0.1/", "host"),
        ("http://[fe80::1%25eth0]/", "host"),
        ("http://example.org:0/", "port"),
    ],
)
def test_what_is_no_plain_url_is_invalid(url, reason):
    with pytest.raises(UrlInvalid) as caught:
        check_url(url)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "file:///etc/passwd", "gopher://x/", "ws://x/", "//x/"]
)
def test_only_web_schemes_are_asked(url):
    with pytest.raises(UrlSchemeRefused):
        check_url(url)


def test_sockets_have_their_own_schemes():
    assert check_url("wss://example.org/feed", schemes=WEBSOCKET).port == 443
    with pytest.raises(UrlSchemeRefused):
        check_url("https://example.org/feed", schemes=WEBSOCKET)


@pytest.mark.parametrize(
    ("entry", "opened", "closed"),
    [
        ("127.0.0.1", "http://127.0.0.1:9/", "http://127.0.0.2:9/"),
        ("127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:10/"),
        ("10.0.0.0/8", "http://[::ffff:10.2.3.4]/", "http://172.16.0.1/"),
        ("::1", "http://[::1]/", "http://127.0.0.1/"),
        ("[::1]:9", "http://[::1]:9/", "http://[::1]:10/"),
        ("fd00::/8", "http://[fd00::1]/", "http://[fc00::1]/"),
        ("localhost", "http://localhost./", "http://a.localhost/"),
        ("localhost:9", "http://LOCALHOST:9/", "http://localhost:10/"),
    ],
)
def test_the_allow_list_opens_what_it_names_and_no_more(entry, opened, closed):
    check_url(opened, [entry])
    with pytest.raises(AddressRefused):
        check_url(closed, [entry])


@pytest.mark.parametrize("entry", ["", "http://x", "a/b", "x:0", "x:y", "u@x", "10.0.0.0/99"])
def test_an_entry_that_cannot_be_read_is_said(entry):
    with pytest.raises(AllowInvalid):
        read_allow((entry,))


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["2606:4700::1111", "::ffff:169.254.169.254"],
        ["fe80::1%2"],
    ],
)
def test_one_refused_address_refuses_the_name(addresses):
    with pytest.raises(AddressRefused):
        _resolve([addresses])


def test_each_look_up_is_checked_anew_and_gives_only_what_was_checked():
    answers = [["93.184.216.34"], ["127.0.0.1"]]
    assert [found["host"] for found in _resolve(answers)] == ["93.184.216.34"]
    with pytest.raises(AddressRefused):
        _resolve(answers)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:word@Example.org/a/b?key=secret#x", "https://example.org:443/a/b"),
        ("wss://[2606:4700::1]:9/?key=secret", "wss://[2606:4700::1]:9/"),
        ("http://[", "invalid URL"),
        ("nothing", "invalid URL"),
    ],
)
def test_what_is_shown_of_a_url_has_no_secret(url, shown):
    assert shown_url(url) == shown


def _resolve(answers):
    async def lookup(host, port):
        return answers.pop(0)

    return asyncio.run(GuardedResolver(lookup, read_allow(())).resolve("name.example", 80))
