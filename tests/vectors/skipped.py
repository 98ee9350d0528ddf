"""The vectors that can't be run here, or that SPEC decides otherwise: which, and why."""

_NO_SUCH_VALUE = "JavaScript's own value: Python has no counterpart"
_COERCED = "JavaScript turns what is no text into a text; here a source is a text or the event is invalid"
_UTC_ONLY = "the worker writes times in UTC only; peers' offsets are read"
_LOCAL_DIGITS = "a defect of the reference: local digits labelled +00:00"
_OFFSETS = ("plus2", "minus5", "plus10", "plus5_5")
_OTHER_ZONES = ("Australia/Sydney", "America/New_York", "Asia/Kolkata")

SKIPPED: dict[tuple[str, str, str], str] = {
    ("event.json", "cases", 'source missing becomes the text "undefined"'): _COERCED,
    ("event.json", "cases", 'source null becomes the text "null"'): _COERCED,
    ("event.json", "cases", "source number is turned into text"): _COERCED,
    ("event.json", "cases", "data undefined value only -> not serialisable"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data undefined value beside another: accepted, dropped in JSON"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data function only -> not serialisable"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data function beside another: accepted, dropped in JSON"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data NaN / Infinity: accepted, null in JSON"): (
        "numbers are never silently altered: here the event is invalid"
    ),
    ("event.json", "cases", "data BigInt: rejected"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data Date value: accepted, ISO text in JSON"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data Map value: accepted, {} in JSON"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data circular: rejected"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data is a Date: rejected"): _NO_SUCH_VALUE,
    ("event.json", "cases", "data is a Map: rejected"): _NO_SUCH_VALUE,
    ("event.json", "cases", 'data deep undefined only: accepted ({"a":{}})'): _NO_SUCH_VALUE,
    ("event.json", "cases", "extension: undefined value"): _NO_SUCH_VALUE,
    ("contract.json", "parseVersion", "1.2.3.4"): "JavaScript's split and parseInt ignore what follows",
    ("contract.json", "parseVersion", "1.2.3-beta"): "JavaScript's split and parseInt ignore what follows",
    **{("contract.json", "timestamp", f"UTC {offset}"): _UTC_ONLY for offset in _OFFSETS},
    **{
        ("contract.json", "timestamp", f"{zone} {offset}"): _LOCAL_DIGITS
        for zone in _OTHER_ZONES
        for offset in ("offset0", *_OFFSETS)
    },
}
