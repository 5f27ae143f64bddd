"""The forms for a stream. Each field reports what is wrong with its value."""

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
"""Maximum characters of an override."""


def pretty(value: object) -> str:
    """Return the value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


class OverrideField(forms.CharField):
    """A field for settings as JSON; cleaned, a dictionary of plain values, {} for an empty text."""

    def __init__(self, **options: Any) -> None:
        attrs = {"rows": 12, "class": "vLargeTextField streams-json", "spellcheck": "false", "autocomplete": "off"}
        super().__init__(required=False, max_length=MAX_OVERRIDE, widget=forms.Textarea(attrs=attrs), **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the text to show."""
        return value if isinstance(value, str) else pretty(value)

    def clean(self, value: Any) -> dict[str, Any]:
        """Return the settings.

        Raises:
            ValidationError: The text is not a JSON object that a database can store.
        """
        text: str = super().clean(value)
        if not text.strip():
            return {}
        try:
            found = json.loads(text, object_pairs_hook=no_key_twice, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise ValidationError(
                f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
            ) from None
        except RecursionError:
            raise ValidationError("This JSON is nested too deeply.") from None
        except DuplicateKeyError as error:
            raise ValidationError(sentence(error)) from None
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not isinstance(found, dict):
            raise ValidationError('Expected an object of settings, such as {"topics": ["one", "two"]}.')
        try:
            settings: dict[str, Any] = plain(found)
        except (NotStorableError, RecursionError) as error:
            raise ValidationError(sentence(error)) from None
        return settings


def _no_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}.")


def schema_faults(override: Mapping[str, Any], hosts: Collection[str]) -> Iterator[str]:
    """Yield why the override may not name its schema so: admins must not make the service fetch from anywhere.

    A schema is named by its path below `schema_base_uris`, or by an http(s) URL at one of the `hosts`.
    """
    uri, title = override.get("$schema"), override.get("schema_title")
    if isinstance(uri, str) and uri and not is_path(uri) and not is_at(uri, hosts):
        url = f", or an http or https URL at {' or '.join(sorted(hosts))}" if hosts else ""
        yield (
            f"$schema must be a path such as /mediawiki/page/change/1.0.0{url} "
            "(the setting admin_uri_hosts names the hosts that admins may use)"
        )
    if isinstance(title, str) and title and not is_path(f"/{title}"):
        yield "schema_title must be a path such as mediawiki/page/change"


class EditForm(forms.Form):
    """What an admin sets for the stream `name`, checked together with all other settings (`layers`).

    Once it is valid, `wanted` has the result. `seen` is the fingerprint of what was set when the form was shown.
    """

    allowed = forms.ChoiceField(
        choices=[
            (Allowed.AS_CONFIGURED, "as configured"),
            (Allowed.YES, "yes"),
            (Allowed.NO, "no"),
        ],
        widget=forms.RadioSelect,
        help_text="Whether clients can read it. As configured: allowed_streams in the configuration file decides.",
    )
    override = OverrideField(
        help_text="JSON. Merged over all other settings. Lists are replaced, not merged. null clears a value. "
        "Empty: no override."
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
        """Check the edit against all layers, and set `wanted`."""
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
    """A stream that nothing else defines."""

    name = forms.CharField(
        strip=True,
        widget=forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false", "autocomplete": "off"}),
        help_text="Clients will read it at /v2/stream/name. No commas, slashes or spaces.",
    )
    field_order = ("name", "allowed", "override", "seen")

    def __init__(self, data: Any, *, layers: Layers, hosts: Collection[str]) -> None:
        super().__init__(data, name=None, row=None, layers=layers, hosts=hosts)
        self.initial["override"] = {"topics": []}

    def clean_name(self) -> str:
        """Return the name.

        Raises:
            ValidationError: No stream can have it, or one has it already.
        """
        name: str = self.cleaned_data["name"]
        try:
            make_stream(check_name(name), [{"topics": ["any"]}])
        except (InvalidStreamError, NotStorableError) as error:
            raise ValidationError(sentence(error)) from None
        if name in self._layers.names() or ConfiguredStream.objects.filter(name=name).exists():
            raise ValidationError("A stream with this name exists already. Edit that one.")
        return name
