"""Numbers of the configuration that no service could mean are refused, with the bound and what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from eventstreams_site.config.config import ConfigError, load_config
from eventstreams_site.config.settings import SETTINGS, Setting
from eventstreams_site.config.values import InvalidValueError

NUMBERS = [each for each in SETTINGS if isinstance(each.default, int | float) and not isinstance(each.default, bool)]
NO_NUMBERS: tuple[Any, ...] = (True, "10", "", [1], {"a": 1}, math.nan)
ABSURD: tuple[Any, ...] = (-1, -0.5, math.inf, -math.inf, 1e308, 10**9 * 10**9, 10**30)


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda each: each.name)
def test_no_setting_takes_what_is_no_number_or_far_too_much(setting: Setting) -> None:
    assert len(NUMBERS) > 15
    for value in NO_NUMBERS + ABSURD:
        with pytest.raises(InvalidValueError) as refused:
            setting.parse(value, Path("/"))
        assert "leave it out for the default" in refused.value.expected
    setting.parse(setting.default, Path("/"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("gather_seconds", "3600", "3600 is not accepted; expected a number of seconds from 0 to 1 (all events"),
        (
            "history_bytes_per_second",
            "1",
            "1 is not accepted; expected 0, or an integer from 65,536 to 1,099,511,627,776",
        ),
        ("stream_config_ttl", "0.001", "0.001 is not accepted; expected 0, or a number of seconds from 0.1 to"),
        ("max_worker_bytes", "1000", "1000 is not accepted; expected 0, or an integer from 67,108,864 to"),
        ("max_worker_seconds", "1.0e-3", "0.001 is not accepted; expected 0, or a number of seconds from 1 to"),
        ("max_connection_seconds", "0.01", "0.01 is not accepted; expected 0, or a number of seconds from 1 to"),
        ("drain_seconds", "86400", "86400 is not accepted; expected a number of seconds from 0 to 3,600 (a stop"),
        ("ring_bytes", "1", "1 is not accepted; expected an integer from 1,024 to"),
        ("max_streams", "0", "0 is not accepted; expected an integer from 1 to 10,000; leave it out for the default"),
    ],
)
def test_an_error_names_value_bound_and_remedy(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config({f"EVENTSTREAMS_{name.upper()}": value})
    assert str(refused.value).startswith(f"{name}: {said}")
    assert "leave it out for the default" in str(refused.value)
