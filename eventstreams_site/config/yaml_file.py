"""Reads the YAML of the configuration: no duplicate key, no secret in a message, titles of pages as written."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import yaml

from redaction.imports.yaml_text import PAGES_KEY as REDACTED_PAGES
from redaction.imports.yaml_text import UnquotedSignError, keep_as_text, may_be_cut
from streams.catalogue.duplicate_keys import DuplicateKeyError, refuse_duplicates

logger = logging.getLogger(__name__)

FILE_VARIABLE = "EVENTSTREAMS_CONFIG"


class ConfigError(Exception):
    """A mistake in the configuration: which key, its value, what was expected, and which file or variable has it."""


def read_text(path: Path) -> str:
    """Return the text of a configuration file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{FILE_VARIABLE}: {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{FILE_VARIABLE}: {path} is not UTF-8 text (byte {error.start})") from error


def settings_of(text: str, path: Path) -> dict[str, Any]:
    """Return the settings in the text of a configuration file. Raises ConfigError."""
    given = read_yaml(text, f"the file {path}", None)
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigError(f"{FILE_VARIABLE}: {path} has {type(given).__name__}; expected a mapping of settings")
    return given


def read_yaml(text: str, origin: str, key: str | None) -> Any:
    """Return the value of `text`: of the setting `key`, or, where that is None, of a mapping of settings.

    `origin` is where the text comes from, for messages. Raises ConfigError.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            refuse_duplicates(node)
            _keep_titles(node, text, origin, key)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except DuplicateKeyError as twice:
        # PyYAML keeps the last, and, for example, a list of redacted pages would be lost.
        raise ConfigError(f"{twice.key}: duplicate key at line {twice.line} of {origin}; keep one of them") from None
    except yaml.MarkedYAMLError as error:
        # Neither the lines around the place nor what PyYAML quotes of them: there may be a password.
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = re.sub(r"'.*'", "...", error.problem or "")
        advice = "; quote text that begins with a sign" if key else ""
        raise ConfigError(f"{key or FILE_VARIABLE}: {origin} is not valid YAML{place}: {problem}{advice}") from None
    except ValueError:
        problem = "has a number or a date that cannot be read; quote it if it is text"
        raise ConfigError(f"{key or FILE_VARIABLE}: {origin} {problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError(f"{key or FILE_VARIABLE}: {origin} is not valid YAML") from None


def _keep_titles(node: yaml.Node, text: str, origin: str, key: str | None) -> None:
    """Make every domain and title of the redacted pages text as written, whatever YAML takes it for."""
    if key is None:
        pages = [
            value
            for name, value in (node.value if isinstance(node, yaml.MappingNode) else ())
            if name.value == REDACTED_PAGES
        ]
    else:
        pages = [node] if key == REDACTED_PAGES else []
    for mapping in pages:
        for domain, titles in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
            for scalar in (domain, *(titles.value if isinstance(titles, yaml.SequenceNode) else ())):
                if isinstance(scalar, yaml.ScalarNode):
                    _keep_text(scalar, text, origin)


def _keep_text(scalar: yaml.ScalarNode, text: str, origin: str) -> None:
    line = f"line {scalar.start_mark.line + 1} of {origin}"
    try:
        keep_as_text(scalar, text)
    except UnquotedSignError as error:
        raise ConfigError(f"{REDACTED_PAGES}: {error}: {line}") from None
    if may_be_cut(scalar, text):
        logger.warning(
            "%s: %r ends where YAML sees a comment; quote the title if the rest belongs to it: %s",
            REDACTED_PAGES,
            scalar.value,
            line,
        )
