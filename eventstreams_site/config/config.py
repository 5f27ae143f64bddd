"""Loads the configuration: one YAML file, and environment variables over it."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventstreams_site.config.settings import SETTINGS, Config, Setting
from eventstreams_site.config.values import InvalidValueError
from eventstreams_site.config.yaml_file import FILE_VARIABLE, ConfigError, read_text, read_yaml, settings_of
from streams.core.catalogue import deep_merge
from streams.core.quoted import quoted
from streams.engine.kafka.options import kafka_options

logger = logging.getLogger(__name__)

PREFIX = "EVENTSTREAMS_"
LONGEST_SHOWN = 120
"""Characters of a value in a message."""

__all__ = ["FILE_VARIABLE", "Config", "ConfigError", "load_config"]


def config_text(environ: Mapping[str, str]) -> str | None:
    """Return the text of the file that EVENTSTREAMS_CONFIG names; None without one. Raises ConfigError."""
    path = environ.get(FILE_VARIABLE)
    return read_text(Path(path).absolute()) if path else None


def load_config(environ: Mapping[str, str], text: str | None = None, *, warns: bool = True) -> Config:
    """Read the file that EVENTSTREAMS_CONFIG names, if it is set, and the EVENTSTREAMS_<KEY> variables over it.

    A variable's text is a YAML value; a mapping is merged deeply into the file's, anything else replaces it. An empty
    variable counts as not set (but `EVENTSTREAMS_CORS=` switches CORS off), a null means the default. Relative paths,
    in a variable too, start from the file's folder; without a file, from the current directory.

    `text` is the text of the file, if it has been read. Unless told not to, the log warns of keys that are unknown or
    have no effect. Raises ConfigError.
    """
    path = Path(environ[FILE_VARIABLE]).absolute() if environ.get(FILE_VARIABLE) else None
    folder = Path.cwd() if path is None else path.parent
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path is not None:
        given = settings_of(read_text(path) if text is None else text, path)
        origins = dict.fromkeys(given, f"the file {path}")
    for setting in SETTINGS:
        variable = PREFIX + setting.name.upper()
        text = environ.get(variable)
        if text is not None and (text.strip() or setting.null_counts):
            origin = f"the variable {variable}"
            _override(setting, read_yaml(text, origin, setting.name), origin, given, origins)
    if warns:
        _warn_of_unknown(given, environ, path)
    parsed = {setting.name: _parsed(setting, given, folder, origins) for setting in SETTINGS}
    _check_kafka(parsed["kafka"], origins.get("kafka", "the defaults"), warns=warns)
    return Config(**parsed)


def _override(setting: Setting, value: object, origin: str, given: dict[str, Any], origins: dict[str, str]) -> None:
    name = setting.name
    below = given.get(name)
    if isinstance(below, Mapping) and isinstance(value, Mapping):
        given[name] = deep_merge(below, value)
        origins[name] = f"{origins[name]} and {origin}"
    else:
        given[name] = value
        origins[name] = origin


def _parsed(setting: Setting, given: Mapping[str, Any], folder: Path, origins: Mapping[str, str]) -> Any:
    value = given.get(setting.name)
    if setting.name not in given or (value is None and not setting.null_counts):
        return setting.default
    try:
        return setting.parse(value, folder)
    except InvalidValueError as invalid:
        shown = "the value (not shown)" if setting.secret else quoted(invalid.value, LONGEST_SHOWN)
        raise ConfigError(
            f"{setting.name}{invalid.at}: {shown} is not accepted; expected {invalid.expected} "
            f"(it comes from {origins[setting.name]})"
        ) from None


def _check_kafka(settings: Mapping[str, Any], origin: str, *, warns: bool) -> None:
    try:
        options = kafka_options(settings)
    except ValueError as error:
        raise ConfigError(f"kafka: {error} (it comes from {origin})") from None
    for warning in options.warnings if warns else ():
        logger.warning("%s", warning)


def _warn_of_unknown(given: Mapping[str, Any], environ: Mapping[str, str], path: Path | None) -> None:
    names = [setting.name for setting in SETTINGS]
    for key in given:
        if key not in names:
            logger.warning("Unknown key %s in %s is ignored%s", key, path, _alike(str(key), names))
    variables = [PREFIX + name.upper() for name in names] + [FILE_VARIABLE]
    for variable in environ:
        if variable.startswith(PREFIX) and variable not in variables:
            logger.warning("Unknown variable %s is ignored%s", variable, _alike(variable, variables))


def _alike(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else ""
