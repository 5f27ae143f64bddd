"""Titles that no page can have, by MediaWiki's own rules. Pure: no Django.

Source: https://www.mediawiki.org/wiki/Manual:Page_title, MediaWikiTitleCodec::splitTitleString.
"""

from __future__ import annotations

import re
import unicodedata

MAX_BYTES = 255
"""Maximum bytes of a title in UTF-8, without its namespace."""

# Nobody edits pages of these namespaces, which the wiki makes when somebody opens them, so no event has them. The
# English names work on every wiki; the others are MediaWiki's own translations.
_VIRTUAL = frozenset(
    {"special", "media", "служебная", "специальная", "медиа", "спеціальна", "медіа", "spezial"}
    | {"medium", "spécial", "média", "especial", "speciale", "speciaal", "specjalna", "特別", "メディア", "特殊"}
    | {"특수", "особый", "специални", "специјална", "посебно", "posebno", "specielt", "spesial"}
    | {"toiminnot", "speciální", "speciális", "speciala", "özel", "đặc biệt", "istimewa", "خاص", "ویژه"}
    | {"מיוחד", "विशेष"}
)
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")


def why_impossible(title: str) -> str:
    """Return why no page can have this title (without blanks at its ends) and what to do; "" if one can."""
    visible = "".join(char for char in title if unicodedata.category(char) != "Cf")
    visible = " ".join(unicodedata.normalize("NFC", visible).replace("_", " ").split())
    namespace, colon, rest = visible.partition(":")
    rest = rest.strip() if colon and namespace else visible
    if colon and namespace.strip().casefold() in _VIRTUAL:
        return (
            f"“{namespace.strip()}:” names pages that the wiki makes when somebody opens them, and no event has such a "
            "title: list the page that is edited"
        )
    if (size := len(rest.encode())) > MAX_BYTES:
        return (
            f"the title has {size} bytes in UTF-8 without its namespace; no wiki has a title of more than {MAX_BYTES}: "
            "write the title as the wiki shows it"
        )
    if "~~~" in visible:
        return "no title can contain ~~~, which a wiki replaces with a signature: leave it out"
    if _DOTS.search(visible):
        return "no title can be or contain . or .. as a part between slashes: write the title as the wiki shows it"
    return ""
