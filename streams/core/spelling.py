"""The one spelling of a title and of a domain: what is equal here is the same page, or the same wiki.

Where in doubt, the safe side: what matches too much redacts too much. Pure: no Django, no asyncio, no clock.

Source: wire contract, "Redaction"; MediaWiki's MediaWikiTitleCodec::splitTitleString and Language::ucfirst.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import unicodedata
from collections.abc import Iterator

MAX_HOST = 253
"""Maximum characters of a host name (RFC 1035, 2.3.4, as text)."""

# MediaWiki takes U+180E for a blank, Unicode since 6.3 for an invisible character.
_VOWEL_SEPARATOR = "\u180e"
# Greek letters that must be taken apart before they are folded (Unicode 3.13, "canonical caseless matching").
_IOTA_BELOW = re.compile("[\u0345\u1f80-\u1fff]")
# What such an iota is folded to.
_IOTA = "\u03b9"
_DOTLESS_I = "\u0131"
_SMALL_I_WITH_DOT = "i\u0307"
# Wikis that write a first "i" as "İ" (LanguageTr, LanguageAz, LanguageKaa).
_TURKIC = re.compile(r"(?:tr|az|kaa)\.")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_PORT = re.compile(r"(.*?)((?::[0-9]+)?)", re.DOTALL)
_HOST_AND_PORT = re.compile(rf"({HOST})\.?(?::[0-9]+)?")
_ADDRESS_AND_PORT = re.compile(r"\[([0-9a-f:.]+)\](?::[0-9]+)?")
# Browsers and IDNA drop them from a name that is pasted; Python's codec refuses these.
_DIRECTION_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]+")


def normalise_title(text: str) -> str:
    """Return the one spelling of a page title, with its namespace prefix.

    Invisible format characters (Unicode category Cf) are dropped; runs of blanks and underscores are one underscore,
    those at the ends and around the first colon are none; Unicode NFC; letter case is ignored by Unicode's rules for
    all languages, and the dotless i is an i. Nothing is decoded: ``%20`` is three characters. May be empty: such a
    title counts as missing.
    """
    if not text.isprintable():
        # What is printable has no other blanks than spaces.
        text = " ".join("".join(char for char in text if unicodedata.category(char) != "Cf").split())
    text = text.replace(" ", "_")
    if "__" in text or text[:1] == "_" or text[-1:] == "_":
        text = "_".join(filter(None, text.split("_")))
    if ":" in text:
        namespace, _, name = text.partition(":")
        text = f"{namespace.rstrip('_')}:{name.lstrip('_')}"
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFC", text)
    folded = text.casefold()
    if _IOTA in folded and _IOTA_BELOW.search(text):
        folded = unicodedata.normalize("NFD", text).casefold()
    # Folding takes some composed letters apart, which their other case never was.
    return unicodedata.normalize("NFC", folded.replace(_DOTLESS_I, "i"))


def title_keys(text: str) -> set[str]:
    """Return every normalised title that `text` may stand for; none where it is no title.

    It is one, but for what MediaWiki reads in another way than the contract: U+180E, a colon before the whole title
    (the main namespace, however the rest begins), and ``#`` and what follows it (a section of the page).
    """
    keys = {normalise_title(text)}
    if _VOWEL_SEPARATOR in text or "#" in text or next(iter(keys))[:1] == ":":
        for spelling in _as_mediawiki_reads(text):
            keys.add(normalise_title(spelling))
    keys.discard("")
    return keys


def _as_mediawiki_reads(text: str) -> Iterator[str]:
    for one in (text, text.replace(_VOWEL_SEPARATOR, " ")):
        page = one.partition("#")[0]
        yield page
        yield normalise_title(page).removeprefix(":")


def listed_keys(domain: str, title: str) -> set[str]:
    """Return `title_keys` of a title on the list of the normalised `domain`.

    A wiki in a Turkic language gives a first letter i another capital: its titles get that spelling too.
    """
    keys = title_keys(title)
    if _TURKIC.match(domain):
        for key in list(keys):
            keys.add(key.replace(_SMALL_I_WITH_DOT, "i"))
            keys.add(re.sub(r"(?:^|(?<=:))i(?!\u0307)", _SMALL_I_WITH_DOT, key))
    return keys


def normalise_domain(text: str) -> str:
    """Return the one spelling of a host name: in lower case, without port and final dot, in ASCII (``xn--``).

    Empty where no host can have this name as it stands, before a port is cut off: an address with a scheme, say.
    """
    host = text.strip().casefold()
    if not host.isascii() and len(host) <= MAX_HOST:
        parts = _PORT.fullmatch(_DIRECTION_MARKS.sub("", host))
        name, port = parts.groups() if parts else (host, "")
        with contextlib.suppress(UnicodeError):
            host = name.encode("idna").decode() + port
    if found := _HOST_AND_PORT.fullmatch(host):
        return found[1] if len(found[1]) <= MAX_HOST else ""
    found = _ADDRESS_AND_PORT.fullmatch(host)
    with contextlib.suppress(ValueError):
        address = ipaddress.IPv6Address(found[1] if found else host)
        return f"[{address}]" if found else str(address)
    return ""
