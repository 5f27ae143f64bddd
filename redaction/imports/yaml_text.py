"""Domains and page titles in YAML are text as written, whatever YAML itself takes them for: 007, No, 12:30."""

from __future__ import annotations

import re

import yaml

PAGES_KEY = "mediawiki_redacted_pages"
"""The configuration's key for domain → list of titles."""

# As in `- Title #1`: maybe a comment, maybe a part of the title.
_GLUED_COMMENT = re.compile(r"[ \t]+#[^\s#]")


class UnquotedSignError(ValueError):
    """A title begins with ! or &, which YAML reads as a tag or an anchor and not as a part of the value."""


def keep_as_text(scalar: yaml.ScalarNode, document: str) -> None:
    """Make a scalar of `document` text before it is constructed. Raises UnquotedSignError."""
    if document.startswith(("!", "&"), scalar.start_mark.index):
        raise UnquotedSignError("a title that begins with ! or & must be quoted")
    scalar.tag = "tag:yaml.org,2002:str"


def may_be_cut(scalar: yaml.ScalarNode, document: str) -> bool:
    """Return whether the scalar ends where YAML sees a comment that is more likely the rest of the scalar."""
    return scalar.style is None and _GLUED_COMMENT.match(document, scalar.end_mark.index) is not None
