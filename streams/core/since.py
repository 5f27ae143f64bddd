"""The `since` query parameter as milliseconds since the epoch (UTC).

A text is a number if JavaScript's `Number(text)` is finite, else a date-time that `Date.parse()` of V8 accepts, with
UTC as the local zone (wire contract, "Choosing where to start", item 2). A date-time is read in two steps, as V8 does:

1. the date time string format of ECMA-262 (section 21.4.1.32, a profile of ISO 8601);
2. where that ends before a time of day, the legacy forms: numbers, words and signs in almost any order. Which
   number is what follows from its neighbours; words before the first number and all that is in parentheses count for
   nothing.

One departure: a blank where the client sent an unencoded `+` is read as the `+`. All work is linear in the text's
length: possessive quantifiers keep the patterns from trying a long run of digits again and again.
"""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Final, NamedTuple

from streams.core.errors import InvalidTimestamp

MAX_MS: Final = 2**63 - 1
"""Kafka's timestamps are signed 64-bit integers."""

_MAX_DATE_MS: Final = 8_640_000_000_000_000
"""Maximum milliseconds of a date from the epoch (ECMA-262, section 21.4.1.1)."""

_DAY_MS: Final = 86_400_000
_DAYS_IN_400_YEARS: Final = 146_097
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_SHOWN_CHARACTERS: Final = 60

# WhiteSpace and LineTerminator of ECMA-262, sections 12.2 and 12.3; str.strip() takes a few more and not U+FEFF.
_JS_BLANKS: Final = (
    "\t\n\v\f\r \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_DECIMAL: Final = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?", re.ASCII | re.IGNORECASE)
_RADIX: Final = re.compile(r"0(?:x([\da-f]+)|o([0-7]+)|b([01]+))", re.ASCII | re.IGNORECASE)

_ISO_DATE: Final = re.compile(
    r"""
    (?: (?!-000000) (?P<sign>[+\ -]) (?P<long_year>\d{6}) | (?P<year>\d{4}) ) (?!\d)
    (?: - (?: (?P<month>0[1-9]|1[0-2]) (?!\d) (?: - (?: (?P<day>0[1-9]|[12]\d|3[01]) (?!\d) )? )? )? )?
    """,
    re.ASCII | re.VERBOSE,
)
_ISO_TIME: Final = re.compile(
    r"""
    T (?P<hour>[01]\d|2[0-4]) : (?P<minute>[0-5]\d) (?: : (?P<second>[0-5]\d) (?: \. (?P<fraction>\d++) )? )?
    (?: Z | (?P<sign>[+\ -]) (?P<zone_hour>[01]\d|2[0-3]) :? (?P<zone_minute>[0-5]\d) )?
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)

# V8's words are runs of anything from "A" on that is not a blank.
_TOKEN: Final = re.compile(
    rf"(?P<number>[0-9]+)|(?P<blank>[{_JS_BLANKS}])|(?P<word>[^\0-@{_JS_BLANKS}]+)|(?P<mark>.)", re.DOTALL
)
_MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_ZONES: Final = {
    "z": 0, "ut": 0, "utc": 0, "gmt": 0,
    "edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8,
}  # fmt: skip
_HALVES: Final = {"am": 0, "pm": 12}
_END: Final = ("end", "")
_MAX_OFFSET_SECONDS: Final = 2**31 - 1
_MAX_ZONE_HOURS: Final = 14
"""Kiritimati's, the most in use; what is beyond it is a year or another number, not an offset that lost its `+`."""
_SIGNIFICANT_DIGITS: Final = 9
"""V8 leaves out the further digits of a number; this also keeps int() cheap."""


def parse_since(text: str, name: str = "since") -> int:
    """Return milliseconds since the epoch (UTC): whole, rounded down, within 0…2^63−1.

    As in JavaScript, text of blanks only is the number 0; that empty text counts as none is the caller's to know.
    Raises `InvalidTimestamp`, which says the parameter's `name`, for text that is neither a number nor a date-time, or
    that holds a NUL.
    """
    ms = _number_ms(text)
    if ms is None and "\0" not in text:
        ms = _date_ms(text)
    if ms is None:
        shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        raise InvalidTimestamp(
            f"{name}={shown!r} is neither a number of milliseconds since the epoch nor a date-time; "
            "write for example 1709805600000 or 2024-03-07T10:00:00Z"
        )
    return min(max(ms, 0), MAX_MS)


def _number_ms(text: str) -> int | None:
    """`Number(text)` rounded down, or None where that is not finite (ECMA-262, section 7.1.4.1)."""
    text = text.strip(_JS_BLANKS)
    if not text:
        return 0
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return math.floor(number) if math.isfinite(number) else None
    if radix := _RADIX.fullmatch(text):
        base = (16, 8, 2)[(radix.lastindex or 1) - 1]
        try:
            return int(float(int(radix[radix.lastindex or 1], base)))  # through a double, as JavaScript rounds
        except OverflowError:
            return None
    return None


class _Moment(NamedTuple):
    """A date-time in parts; `offset` is the zone's, in seconds east of UTC. The year may be any, the day up to 31."""

    year: int
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    ms: int = 0
    offset: int = 0

    def since_epoch(self) -> int | None:
        """Milliseconds since the epoch, or None where ECMA-262 has no such date. 30 February is 1 March."""
        # datetime.date knows the years 1…9999 only; the calendar repeats every 400 years.
        cycles, year = divmod(self.year, 400)
        first_of_month = date(year + 400, self.month, 1).toordinal() + (cycles - 1) * _DAYS_IN_400_YEARS
        days = first_of_month + self.day - 1 - _EPOCH_ORDINAL
        seconds = self.hour * 3600 + self.minute * 60 + self.second - self.offset
        ms = days * _DAY_MS + seconds * 1000 + self.ms
        return ms if abs(ms) <= _MAX_DATE_MS else None


def _date_ms(text: str) -> int | None:
    """`Date.parse(text)` where the local zone is UTC, or None for NaN."""
    moment: _Moment | None
    iso = _ISO_DATE.match(text)
    rest = text[iso.end() :] if iso else text
    ends_iso = not rest or (rest[0] in "Tt" and not rest[1:2] >= "A")
    parts: list[int] = []
    if iso and (iso["sign"] != " " or rest[:1] in ("T", "t")):
        year = int(iso["year"] or iso["long_year"])
        parts = [-year if iso["sign"] == "-" else year, *(int(iso[name]) for name in ("month", "day") if iso[name])]
    if iso and parts and ends_iso and not iso[0].endswith("-"):
        moment = _with_iso_time(_Moment(*[*parts, 1, 1][:3]), rest)
    else:
        moment = _LegacyDate(parts, rest if parts else text).moment()
    return None if moment is None else moment.since_epoch()


def _with_iso_time(day: _Moment, text: str) -> _Moment | None:
    if not text:
        return day
    time = _ISO_TIME.fullmatch(text)
    if time is None:
        return None
    hour, minute, second = int(time["hour"]), int(time["minute"]), int(time["second"] or 0)
    fraction = time["fraction"] or "0"
    if hour == 24 and (minute or second or fraction.strip("0")):
        return None
    offset = 0
    if time["sign"]:
        offset = int(time["zone_hour"]) * 3600 + int(time["zone_minute"]) * 60
    return day._replace(
        hour=hour,
        minute=minute,
        second=second,
        ms=_thousandths(fraction),
        offset=-offset if time["sign"] == "-" else offset,
    )


def _thousandths(digits: str) -> int:
    """The digits after a decimal point, cut off after the third."""
    return int(digits[:3].ljust(3, "0"))


def _integer(digits: str) -> int:
    return int(digits.lstrip("0")[:_SIGNIFICANT_DIGITS] or 0)


class _NotADateError(Exception):
    """What has been read cannot begin or be a date-time."""


class _LegacyDate:
    """One reading of the forms that are not ISO 8601; `date_parts` are the numbers that the ISO step has read."""

    def __init__(self, date_parts: list[int], text: str) -> None:
        self._tokens = [(match.lastgroup or "mark", match[0]) for match in _TOKEN.finditer(text)]
        self._next = 0
        self._seen_number = bool(date_parts)
        self._date = date_parts
        self._month: int | None = None
        self._clock: list[int] = []
        self._clock_end = 0
        self._half: int | None = None
        self._sign = 1
        self._zone_hour: int | None = None
        self._zone_minute: int | None = None

    def moment(self) -> _Moment | None:
        try:
            while self._next < len(self._tokens):
                self._read(*self._take())
            return self._result()
        except _NotADateError:
            return None

    # Tokens

    def _take(self) -> tuple[str, str]:
        self._next += 1
        return self._tokens[self._next - 1]

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._next] if self._next < len(self._tokens) else _END

    def _skip(self, mark: str) -> bool:
        found = self._peek() == ("mark", mark)
        self._next += found
        return found

    def _skip_parentheses(self) -> None:
        depth = 1
        while depth and self._next < len(self._tokens):
            depth += {"(": 1, ")": -1}.get(self._take()[1], 0)

    # Reading

    def _read(self, kind: str, token: str) -> None:
        if kind == "number":
            self._read_number(token)
        elif kind == "word":
            self._read_word(token.lower())
        elif token == "(":
            self._skip_parentheses()
        elif token in ("+", "-") and (self._clock or self._is_utc):
            self._read_offset(1 if token == "+" else -1)
        elif token in ("+", "-", ")") and self._seen_number:
            raise _NotADateError

    def _read_number(self, digits: str) -> None:
        if self._is_behind_a_lost_plus(digits):
            self._next -= 1
            self._read_offset(1)
            return
        self._seen_number = True
        number = _integer(digits)
        if self._skip(":"):
            if self._skip(":"):  # 10::30 is half a minute past ten
                if self._clock:
                    raise _NotADateError
                self._clock = [number, 0]
            else:
                self._add_to_clock(number)
                self._skip(".")
        elif self._skip(".") and self._clock_takes(number):
            kind, fraction = self._take() if self._peek()[0] == "number" else _END
            if kind == "end":
                raise _NotADateError
            self._add_to_clock(number)
            self._end_clock(_thousandths(fraction))
        elif self._zone_hour is not None and self._zone_minute is None and number <= 59:
            self._zone_minute = number
        elif self._clock_takes(number):
            self._end_clock(number)
            kind, token = self._peek()
            if kind not in ("end", "blank") and token not in ("+", "-", "z", "Z"):
                raise _NotADateError
        else:
            if len(self._date) == 3:
                raise _NotADateError
            self._date.append(number)
            self._skip("-")

    def _read_word(self, word: str) -> None:
        month = _MONTHS.get(word[:3])
        if word in _HALVES and self._clock:
            self._half = _HALVES[word]
        elif month is not None:
            self._month = month
            self._skip("-")
        elif word in _ZONES and self._seen_number:
            hours = _ZONES[word]
            self._sign = -1 if hours < 0 else 1
            self._zone_hour, self._zone_minute = abs(hours), 0
            if hours == 0:
                self._clock_end = self._next
        elif self._seen_number or self._peek()[0] == "number":
            raise _NotADateError

    def _read_offset(self, sign: int) -> None:
        self._seen_number = True
        self._sign = sign
        digits = self._take()[1] if self._peek()[0] == "number" else ""
        number = _integer(digits)
        if self._peek() == ("mark", ":"):
            self._zone_hour, self._zone_minute = number, None
        elif len(digits) in (1, 2):
            self._zone_hour, self._zone_minute = number, 0
        elif len(digits) in (3, 4):
            self._zone_hour, self._zone_minute = divmod(number, 100)
        else:
            raise _NotADateError

    def _is_behind_a_lost_plus(self, digits: str) -> bool:
        """Whether a number just read is a zone's offset whose `+` has become a blank on the way.

        That is where it is written as an offset (hh, hhmm, hh:mm), right behind the time of day or the name of UTC,
        and the date is complete: what ends `Mar 7 10:00:00 2024` is the year.
        """
        has_date = len(self._date) == 3 or (self._month is not None and len(self._date) == 2)
        blanks = self._next - 1 - self._clock_end
        if len(self._clock) < 4 or not has_date or blanks not in (1, 2) or len(digits) not in (2, 4):
            return False
        if any(token != " " for _, token in self._tokens[self._clock_end : self._next - 1]):
            return False
        ahead = [*self._tokens[self._next : self._next + 3], _END, _END, _END]
        if ahead[0] == ("mark", ":") and ahead[1][0] == "number" and len(digits + ahead[1][1]) == 4:
            digits += ahead[1][1]
            del ahead[:2]
        if ahead[0][0] not in ("end", "blank") and ahead[0][1] != "(":
            return False
        return int(digits[:2]) <= _MAX_ZONE_HOURS and int(digits[2:] or 0) <= 59

    @property
    def _is_utc(self) -> bool:
        return self._zone_hour == 0 and self._zone_minute == 0

    def _clock_takes(self, number: int) -> bool:
        return 1 <= len(self._clock) <= 3 and number <= (59, 59, 999)[len(self._clock) - 1]

    def _add_to_clock(self, number: int) -> None:
        if len(self._clock) == 4:
            raise _NotADateError
        self._clock.append(number)

    def _end_clock(self, number: int) -> None:
        self._clock = [*self._clock, number, 0, 0, 0][:4]
        self._clock_end = self._next

    # Result

    def _result(self) -> _Moment:
        year, month, day = self._year_month_day()
        hour, minute, second, ms = [*self._clock, 0, 0, 0, 0][:4]
        if self._half is not None:
            if hour > 12:
                raise _NotADateError
            hour = hour % 12 + self._half
        if not (1 <= month <= 12 and 1 <= day <= 31):
            raise _NotADateError
        if not (hour <= 23 and minute <= 59 and second <= 59 and ms <= 999) and (hour, minute, second, ms) != (
            24,
            0,
            0,
            0,
        ):
            raise _NotADateError
        offset = self._sign * ((self._zone_hour or 0) * 3600 + (self._zone_minute or 0) * 60)
        if abs(offset) > _MAX_OFFSET_SECONDS:
            raise _NotADateError
        return _Moment(year, month, day, hour, minute, second, ms, offset)

    def _year_month_day(self) -> tuple[int, int, int]:
        """Which number is what: a first number that cannot be a day is the year, else the year comes last.

        What is not given is 1, the year 2001 with it; a year of two digits is one of 1950…2049.
        """
        if not self._date:
            raise _NotADateError
        first, second, third = [*self._date, 1, 1][:3]
        first_is_year = not 1 <= first <= 31
        if self._month is not None:
            year, month, day = (first, self._month, second) if first_is_year else (second, self._month, first)
        else:
            year, month, day = (first, second, third) if first_is_year else (third, first, second)
        if 0 <= year <= 99:
            year += 2000 if year <= 49 else 1900
        return year, month, day
