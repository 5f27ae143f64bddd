"""A configuration file, read as the server does."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from eventstreams_site.config.config import Config, ConfigError, load_config


def load(tmp_path: Path, text: str = "", **variables: str) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    environ = {f"EVENTSTREAMS_{name.upper()}": value for name, value in variables.items()}
    return load_config({"EVENTSTREAMS_CONFIG": str(path), **environ})


def refusal(tmp_path: Path, text: str = "", **variables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **variables)
    return str(caught.value)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
