"""What admins fill in for a stream. Every field says itself what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from streams.admin.texts import sentence
from streams.catalogue.document import NotStorableError, check_name, plain
from streams.catalogue.duplicate_keys import DuplicateKeyError, no_key_twice
from streams.catalogue.edits import Wanted
from streams.catalogue.explain import validate_edit
from streams.catalogue.hosts import is_at
from streams.core.catalogue import InvalidStreamError, Layers, make_stream
from streams.models import ConfiguredStream
from streams.schemas.search import is_path

Allowed = ConfiguredStream.Allowed

MAX_OVERRIDE = 100_000
"""Characters."""


def pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


class OverrideField(forms.CharField):
    """Gives the settings as plain JSON values; an empty text is none."""

    def __init__(self, **options: Any) -> None:
        attrs = {"rows": 12, "class": "vLargeTextField streams-json", "spellcheck": "false", "autocomplete": "off"}
        super().__init__(required=False, max_length=MAX_OVERRIDE, widget=forms.Textarea(attrs=attrs), **options)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else pretty(value)

    def clean(self, value: Any) -> dict[str, Any]:
        text: str = super().clean(value)
        if not text.strip():
            return {}
        try:
            found = json.loads(text, object_pairs_hook=no_key_twice, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"It is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
            ) from None
        except RecursionError:
            raise ValidationError("It is nested too deep.") from None
        except DuplicateKeyError as error:
            raise ValidationError(sentence(error)) from None
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not isinstance(found, dict):
            raise ValidationError('It is not an object of settings, such as {"topics": ["one", "two"]}.')
        try:
            settings: dict[str, Any] = plain(found)
        except (NotStorableError, RecursionError) as error:
            raise ValidationError(sentence(error)) from None
        return settings


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}.")


def schema_faults(override: Mapping[str, Any], hosts: Collection[str]) -> Iterator[str]:
    """What is wrong with that which the service would fetch by: admins cannot send it just anywhere.

    A schema is named by its path below `schema_base_uris`, or by the http(s) URL of one of the `hosts`.
    """
    uri, title = override.get("$schema"), override.get("schema_title")
    if isinstance(uri, str) and uri and not is_path(uri) and not is_at(uri, hosts):
        url = f", or an http or https URL at {' or '.join(sorted(hosts))}" if hosts else ""
        yield (
            f"$schema has to be a path such as /mediawiki/page/change/1.0.0{url} "
            "(the setting admin_uri_hosts names the hosts that admins may use)"
        )
    if isinstance(title, str) and title and not is_path(f"/{title}"):
        yield "schema_title has to be a path such as mediawiki/page/change"


class EditForm(forms.Form):
    """The admin's part of the stream `name`, held against everything else that is said about streams (`layers`).

    Cleaned, it has `wanted`. `seen` is the fingerprint of what was there when the form was shown.
    """

    allowed = forms.ChoiceField(
        choices=[
            (Allowed.AS_CONFIGURED, "as configured"),
            (Allowed.YES, "yes"),
            (Allowed.NO, "no"),
        ],
        widget=forms.RadioSelect,
        help_text="Whether clients can read it. As configured: allowed_streams of the configuration file says so.",
    )
    override = OverrideField(
        help_text="JSON, merged deeply over all other settings: what it names wins, a list as a whole. "
        "null sets a value to nothing. Empty: no override."
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput, max_length=32)

    wanted: Wanted

    def __init__(
        self, data: Any, *, name: str | None, row: ConfiguredStream | None, layers: Layers, hosts: Collection[str]
    ) -> None:
        now = Wanted.of(row)
        initial = {"allowed": now.allowed, "override": now.override, "seen": "" if row is None else now.fingerprint}
        super().__init__(data, initial=initial, label_suffix=":")
        self.stream, self._row, self._layers, self._hosts = name, row, layers, hosts

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        name = self.stream or cleaned.get("name")
        if name is None or not {"allowed", "override"} <= cleaned.keys():
            return cleaned
        self.stream, self.wanted = name, Wanted(cleaned["override"], cleaned["allowed"])
        is_new = self._row is None or Wanted(self._row.override).fingerprint != Wanted(cleaned["override"]).fingerprint
        faults = list(schema_faults(cleaned["override"], self._hosts)) if is_new else []
        faults += validate_edit(name, self.wanted.edit, self._layers)
        for fault in faults:
            self.add_error("override" if is_new else "allowed", sentence(fault))
        return cleaned


class AddForm(EditForm):
    """A stream that nothing else describes."""

    name = forms.CharField(
        strip=True,
        widget=forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false", "autocomplete": "off"}),
        help_text="As clients ask for it: /v2/stream/name. Neither commas, slashes nor blanks.",
    )
    field_order = ("name", "allowed", "override", "seen")

    def __init__(self, data: Any, *, layers: Layers, hosts: Collection[str]) -> None:
        super().__init__(data, name=None, row=None, layers=layers, hosts=hosts)
        self.initial["override"] = {"topics": []}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        try:
            make_stream(check_name(name), [{"topics": ["any"]}])
        except (InvalidStreamError, NotStorableError) as error:
            raise ValidationError(sentence(error)) from None
        if name in self._layers.names() or ConfiguredStream.objects.filter(name=name).exists():
            raise ValidationError("There is a stream of this name already: change that one.")
        return name
