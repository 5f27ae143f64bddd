"""Finds the pages in a YAML text: domain → titles, under the configuration's key at any depth, or at the top.

If the text has that key, only the part below it is read: the rest may be a template, which is no YAML. Pure: no Django,
no database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import yaml

from redaction.entries.titles import HOST, NotAPageError, Page
from redaction.entries.typed import page_in_list
from redaction.imports.yaml_text import PAGES_KEY, keep_as_text, may_be_cut

_HOST_KEY = re.compile(rf"""["']?{HOST}["']?[ \t]*:[ \t]*(?:\[.*|[&#].*)?$""", re.IGNORECASE)
_PAGES_LINE = re.compile(rf"""([ \t]*(?:-[ \t]+)?)(["']?){PAGES_KEY}\2[ \t]*:[ \t]*(.*)""")
_ANY_PAGES_KEY = re.compile(rf"""(?:^|[\s{{,])(["']?){PAGES_KEY}\1[ \t]*:""")
_NESTED = re.compile(r"[A-Za-z_][\w.-]*:[ \t]*(?:#.*)?(?:\r?\n[ \t]*(?:#.*)?)*\r?\n[ \t]+[^\s#]", re.ASCII)


class YamlError(ValueError):
    """The text cannot be read; the message says why, and what to do."""


class _ReadPage(Protocol):
    def __call__(self) -> Page: ...


class Title(NamedTuple):
    """A title on a line, from 1. `page` raises NotAPageError, UnquotedSignError."""

    line: int
    page: _ReadPage


class _Block(NamedTuple):
    """The text below one key, after empty lines in place of what stands above it."""

    text: str
    is_inline: bool


def looks_like_yaml(text: str, first: str) -> bool:
    """Return whether a text is most likely YAML; `first` is its first line that is not empty."""
    if first.startswith(("{", "---")) or _HOST_KEY.fullmatch(first) or _ANY_PAGES_KEY.search(text):
        return True
    at = text.find(first)
    return bool(first) and _NESTED.match(text, at) is not None


def yaml_titles(text: str, lines: Sequence[str]) -> Iterator[Title]:
    """Yield the titles of a text, whose lines are `lines`; a domain that is there twice has the titles of both.

    Raises YamlError.
    """
    blocks = list(_blocks(lines))
    if blocks and not any(block.is_inline for block in blocks):
        for block in blocks:
            root = _parsed(block.text)
            assert isinstance(root, yaml.MappingNode)
            yield from _of_mapping(root.value[0][1], block.text)
        return
    root = _parsed(text)
    if root is None:
        return
    inner = list(_below_key(root))
    for mapping in inner:
        yield from _of_mapping(mapping, text)
    if not inner:
        yield from _of_mapping(_of_domains(root), text)


def _blocks(lines: Sequence[str]) -> Iterator[_Block]:
    """Yield each key, wherever in the text, with what is indented below it."""
    for number, line in enumerate(lines):
        key = _PAGES_LINE.fullmatch(line)
        if key is None:
            continue
        # A comment may follow the key; anything else is its value.
        is_inline = bool(key[3]) and not key[3].startswith("#")
        taken = [f"{PAGES_KEY}:"]
        indent: int | None = None
        for below in lines[number + 1 :]:
            bare = below.lstrip(" ")
            if bare and not bare.startswith("#"):
                depth = len(below) - len(bare)
                if indent is None:
                    if depth <= len(key[1]):
                        break
                    indent = depth
                if depth < indent:
                    break
            taken.append(below)
        yield _Block("\n" * number + "\n".join(taken), is_inline)


def _parsed(text: str) -> yaml.Node | None:
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise YamlError(f"It is not valid YAML at line {line}: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError):
        raise YamlError("It is not valid YAML.") from None
    finally:
        if loader is not None:
            loader.dispose()


def _below_key(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield the values of the configuration's key, at any depth."""
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue  # an alias
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value == PAGES_KEY:
                    yield value
                else:
                    todo.append(value)
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _of_domains(root: yaml.Node) -> yaml.Node:
    """Return the root if it may be a mapping of domains itself. Raises YamlError."""
    if isinstance(root, yaml.MappingNode):
        keys = [key.value for key, _ in root.value if isinstance(key, yaml.ScalarNode)]
        is_list = all(isinstance(titles, yaml.SequenceNode) for _, titles in root.value)
        if is_list or any(re.fullmatch(HOST, key, re.IGNORECASE) for key in keys):
            return root
    raise YamlError(
        f"It is YAML, but has neither {PAGES_KEY} nor domains with a list of titles under each: paste that part of it."
    )


def _of_mapping(mapping: yaml.Node, text: str) -> Iterator[Title]:
    if isinstance(mapping, yaml.ScalarNode) and mapping.value in ("", "~", "null"):
        return
    if not isinstance(mapping, yaml.MappingNode):
        raise YamlError(f"Under {PAGES_KEY} it has no domains with a list of titles under each.")
    for domain, titles in mapping.value:
        listed = titles.value if isinstance(titles, yaml.SequenceNode) else [titles]
        is_list = isinstance(domain, yaml.ScalarNode) and isinstance(titles, yaml.SequenceNode)
        for title in listed:
            line = title.start_mark.line + 1
            if is_list and isinstance(title, yaml.ScalarNode):
                yield Title(line, partial(_page, domain, title, text))
            else:
                why = "it is no title: quote one that has a colon" if is_list else "expected a list of titles"
                yield Title(line, partial(_refuse, why))


def _refuse(why: str) -> Page:
    raise NotAPageError(why)


def _page(domain: yaml.ScalarNode, title: yaml.ScalarNode, text: str) -> Page:
    for scalar in (domain, title):
        keep_as_text(scalar, text)
        if may_be_cut(scalar, text):
            raise NotAPageError("it ends where YAML sees a comment: quote the title")
    return page_in_list(domain.value, title.value)
