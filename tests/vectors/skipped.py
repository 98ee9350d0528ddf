"""The vectors that can't be run here, or that SPEC or sismic decides otherwise: which, and why."""

_NO_SUCH_VALUE = "JavaScript's own value: Python has no counterpart"
_THROWN_VALUE = "no counterpart: Python raises exceptions, and no other values"
_OWN_REENTERED = (
    "no counterpart: in sismic a transition with a target always leaves and enters, so a state that goes to itself "
    "or below it runs its exit and entry code"
)
_NO_SUCH_SETUP = "no counterpart: a chart is given its functions, and has no other set-up"
_NO_INVOKE = "no counterpart: sismic charts invoke nothing"
_NAME_IS_NO_KEY = "a defect of the reference: a name is taken for the keyword"
_NO_REGIONS = "no counterpart: in sismic a state without regions is a basic state, never a parallel one"
_COERCED = "JavaScript turns what is no text into a text; here a source is a text or the event is invalid"
_UTC_ONLY = "the worker writes times in UTC only; peers' offsets are read"
_LOCAL_DIGITS = "a defect of the reference: local digits labelled +00:00"
_OFFSETS = ("plus2", "minus5", "plus10", "plus5_5")
_OTHER_ZONES = ("Australia/Sydney", "America/New_York", "Asia/Kolkata")

SKIPPED_FILES: dict[str, str] = {
    "scenario-errors-throw-null.json": _THROWN_VALUE,
    "scenario-errors-throw-object-with-message.json": _THROWN_VALUE,
    "scenario-errors-throw-text-in-guard.json": _THROWN_VALUE,
    "scenario-errors-throw-text.json": _THROWN_VALUE,
    "scenario-memory-lock-needed-for-empty-parallel.json": _NO_REGIONS,
    "scenario-routing-fields-data-undefined-only.json": _NO_SUCH_VALUE,
    "scenario-statechart-sc-always-emit-only-runs-once.json": (
        "documented otherwise: an eventless transition without target fires until its guard fails; XState runs it once"
    ),
    "scenario-statechart-sc-parallel-leave-from-one-region.json": (
        "documented otherwise: a region that leaves while another one moves is a conflict; in XState one of them wins"
    ),
    "scenario-statechart-sc-parallel-multiple-targets.json": "no counterpart: a transition has one target",
    "scenario-statechart-sc-root-on-reenter-child.json": _OWN_REENTERED,
    "scenario-statechart-sc-self-target-without-reenter.json": _OWN_REENTERED,
    "scenario-validation-input-defaults-not-applied.json": (
        "documented otherwise: the machine sees the defaults of its contract, and so the expression is false"
    ),
}

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
    (
        "broker.json",
        "facts",
        "assertUnique only complains from the THIRD subscriber on (size > 1 is tested before adding)",
    ): "a defect of the reference: the second subscriber of a topic is refused here",
    ("setup.json", "machine", "parallel with empty states: lock"): _NO_REGIONS,
    ("setup.json", "machine", "setup with actors"): _NO_SUCH_SETUP,
    ("setup.json", "machine", "setup with empty actors object"): _NO_SUCH_SETUP,
    ("setup.json", "machine", "setup with delays"): _NO_SUCH_SETUP,
    ("setup.json", "machine", "setup with an action named enqueueArvoEvent"): _NO_SUCH_SETUP,
    ("setup.json", "machine", "invoke in a state"): _NO_INVOKE,
    (
        "setup.json",
        "machine",
        "invoke as an empty object is not noticed by the check (XState may complain)",
    ): _NO_INVOKE,
    ("setup.json", "machine", "invoke at the root is not noticed by the check"): _NO_INVOKE,
    ("setup.json", "machine", "after at the root is not noticed by the check"): (
        "documented otherwise: delays are refused wherever they stand"
    ),
    ("setup.json", "machine", "a STATE named after with content is refused"): _NAME_IS_NO_KEY,
    ("setup.json", "machine", "a STATE named invoke with content is refused"): _NAME_IS_NO_KEY,
    ("setup.json", "machine", "a key named enqueueArvoEvent in the config"): _NAME_IS_NO_KEY,
    ("setup.json", "machine", "initial state missing in states: XState"): (
        "documented otherwise: sismic's validation refuses it at set-up"
    ),
    ("setup.json", "machine", "no initial for a compound state: XState"): (
        "documented otherwise: sismic takes a compound state without an initial one"
    ),
    (
        "setup.json",
        "simpleMachineMemory",
        'read("x") is a shallow copy: not the same object, but nested objects are shared',
    ): "no counterpart: what is kept is immutable, so copies can't be told apart",
}
