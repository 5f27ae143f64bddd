"""The forms of the list. Each field says itself what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

from redaction.admin.configured import Configured, configured_identities
from redaction.entries.evidence import Doubt, Evidence, judge
from redaction.entries.slips import without_escapes
from redaction.entries.titles import NotAPageError, Page, is_address
from redaction.entries.typed import page_at, typed_domain, typed_title
from redaction.imports import lists
from redaction.models import RedactedPage
from streams.admin.texts import sentence

if TYPE_CHECKING:
    PageModelForm = forms.ModelForm[RedactedPage]
else:
    PageModelForm = forms.ModelForm  # not generic when it runs

TAKE = "_take"
"""The button that takes a suggestion; its value is the page, as `written`."""
AS_IT_IS = "_as_it_is"
"""The button that saves a doubtful page; its value is that page, so that it cannot save another."""
MAX_REASON = 500
"""Maximum characters of a reason."""
MAX_ADDRESS = 8000
"""Maximum characters of a page's address: each letter of a percent-encoded title takes up to nine."""
WIDE = {"class": "vTextField", "spellcheck": "false", "autocomplete": "off"}


class ReasonField(forms.CharField):
    """The reason of a change, which stays in the history."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", forms.TextInput(attrs={"class": "vTextField"}))
        options.setdefault("help_text", "A ticket, a request. It stays in the history, which only staff see.")
        super().__init__(max_length=MAX_REASON, **options)


class DomainField(forms.CharField):
    """Gives the domain as events have it, "" for none; a form decides whether it requires one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, widget=forms.TextInput(attrs=WIDE), **options)

    def clean(self, value: Any) -> str:
        """Return the domain as events have it."""
        text: str = super().clean(value)
        try:
            return typed_domain(text) if text else ""
        except NotAPageError as error:
            raise ValidationError(sentence(error)) from None


def written(page: Page) -> str:
    """Return a page as one text; no title can contain the separator."""
    return f"{page.domain}|{page.title}"


class TitleField(forms.CharField):
    """A title, or the whole address of a page."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=MAX_ADDRESS,
            widget=forms.TextInput(attrs={**WIDE, "dir": "auto"}),
            help_text="With its namespace, in any spelling: case, blanks and underscores do not matter. Or the whole "
            "address of the page; then leave the domain empty.",
            **options,
        )


def clean_title(cleaned: dict[str, Any]) -> str:
    """Return the title of a form with a domain and a title; an address also sets the domain. Raises ValidationError."""
    text: str = cleaned["title"]
    if not text:
        return ""
    try:
        if not is_address(text):
            return typed_title(without_escapes(text))
        page = page_at(text)
    except NotAPageError as error:
        raise ValidationError(sentence(error)) from None
    given = cleaned.get("domain")
    if given and given != page.domain:
        raise ValidationError(f"This is an address of {page.domain}, not of {given}.")
    cleaned["domain"] = page.domain
    return page.title


class PageForm(PageModelForm):
    """The form for one page. `configured` has the pages of the configuration file, `evidence` reads what events say.

    A page that events do not confirm is invalid until somebody has seen why: `doubt`.
    """

    configured: ClassVar[Configured] = {}
    evidence: ClassVar[Callable[[], Evidence]] = Evidence

    domain = DomainField(help_text="The wiki’s host name, such as ru.wikipedia.org.")
    title = TitleField()
    reason = ReasonField()

    class Meta:
        """The fields of the model."""

        model = RedactedPage
        fields = ("domain", "title", "reason")

    def __init__(self, data: Any = None, *args: Any, **options: Any) -> None:
        if data is not None and TAKE in data:
            data = data.copy()
            data["domain"], _, data["title"] = data[TAKE].partition("|")
        super().__init__(data, *args, **options)
        self.doubt: Doubt | None = None
        self.page: Page | None = None
        """The page as it was understood."""

    @property
    def is_saved_as_it_is(self) -> bool:
        """Return whether the button was pressed that saves this doubtful page."""
        return self.page is not None and self.data.get(AS_IT_IS) == written(self.page)

    @property
    def suggested(self) -> str:
        """Return the suggestion as the value of its button; "" if there is none."""
        return written(self.doubt.suggestion) if self.doubt and self.doubt.suggestion else ""

    @property
    def as_it_is(self) -> str:
        """Return the page as the value of that button."""
        return written(self.page) if self.page else ""

    def clean_title(self) -> str:
        """Read the title, which may be the page's address."""
        return clean_title(self.cleaned_data)

    def clean(self) -> dict[str, Any]:
        """Refuse a page that is listed, and doubt one that events do not confirm."""
        cleaned = super().clean() or self.cleaned_data
        domain, title = cleaned.get("domain"), cleaned.get("title")
        if title and not domain and "domain" not in self.errors:
            self.add_error("domain", "The domain is missing.")
        if title and domain:
            self.page = Page(domain, title)
            self._refuse_duplicates(self.page)
            if not self.errors and not self.is_saved_as_it_is:
                self.doubt = judge(self.page, type(self).evidence())
                if self.doubt is not None:
                    self.add_error(None, "This page has not been saved yet: it may never match an event.")
        return cleaned

    def _refuse_duplicates(self, page: Page) -> None:
        domain, key = page.identity
        listed = RedactedPage.objects.filter(domain=domain, key=key).first()
        if listed is not None:
            self.add_error("title", f"This page is already listed, as “{listed.title}”: {listed.reason}")
        elif page.identity in configured_identities(self.configured):
            self.add_error("title", "This page is already listed, in the configuration file.")


class ReasonForm(forms.Form):
    """Asks why pages are added or removed."""

    reason = ReasonField()


class RemoveForm(ReasonForm):
    """Asks why pages are removed and, for more than FEW, for their number, typed."""

    FEW = 10

    def __init__(self, count: int, data: Any = None) -> None:
        super().__init__(data)
        self._count = count
        if count > self.FEW:
            self.fields["number"] = forms.CharField(
                label="How many",
                help_text=f"Type {count} to remove all of them.",
                widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
            )

    def clean_number(self) -> str:
        """Require the number of pages, typed."""
        text: str = self.cleaned_data["number"]
        if text.strip().replace(",", "") != str(self._count):
            raise ValidationError(f"{self._count} pages are selected, not {text.strip()[:20]}: type {self._count}.")
        return text


class ListForm(forms.Form):
    """A list of pages, pasted or uploaded. Cleaned, it has `parsed`."""

    RECOGNISE = "recognise"

    text = forms.CharField(
        label="Paste a list",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "class": "vLargeTextField", "spellcheck": "false"}),
    )
    upload = forms.FileField(
        label="Or upload a file",
        required=False,
        help_text=f"Text in UTF-8, at most {lists.MAX_BYTES // 1024} KiB.",
        widget=forms.FileInput(attrs={"data-max-bytes": lists.MAX_BYTES}),
    )
    form = forms.ChoiceField(
        label="Format",
        choices=[
            (RECOGNISE, "Detect automatically"),
            (lists.Format.LINES, "Lines"),
            (lists.Format.CSV, "CSV"),
            (lists.Format.YAML, "YAML"),
        ],
    )
    default_domain = DomainField(
        label="Default domain", help_text="For titles without a domain, such as ru.wikipedia.org. Optional."
    )

    parsed: lists.Parsed

    def clean_upload(self) -> str | None:
        """Return the text of the uploaded file."""
        upload = self.cleaned_data["upload"]
        if upload is None:
            return None
        if upload.size > lists.MAX_BYTES:
            raise ValidationError(f"It is larger than {lists.MAX_BYTES // 1024} KiB: import it in parts.")
        try:
            return lists.decode(upload.read())
        except lists.UnreadableError as error:
            raise ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        """Read the list, pasted or uploaded, into `parsed`."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        pasted, uploaded = cleaned["text"], cleaned["upload"]
        if pasted.strip() and uploaded is not None:
            raise ValidationError("Either paste a list or upload one, not both.")
        source, text = ("text", pasted) if uploaded is None else ("upload", uploaded)
        form = None if cleaned["form"] == self.RECOGNISE else lists.Format(cleaned["form"])
        try:
            self.parsed = lists.parse(text, form, cleaned["default_domain"])
        except lists.UnreadableError as error:
            self.add_error(source, str(error))
            return cleaned
        if not self.parsed.entries and not self.parsed.invalid:
            self.add_error(source, "No pages found.")
        cleaned["text"] = text
        return cleaned
