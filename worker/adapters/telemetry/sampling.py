"""Which events a worker traces: OTEL_TRACES_SAMPLER as a look at one character, or at eight bytes. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker.core.errors import SetupError

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
_ALL: Final = 2**64
_DEFAULT: Final = "parentbased_always_on"
_RATIO: Final = "traceidratio"
_PARENT: Final = "parentbased_"
_SHARES: Final = {"always_on": 1.0, "always_off": 0.0}
_NAMES: Final = tuple(f"{prefix}{name}" for prefix in ("", _PARENT) for name in (*_SHARES, _RATIO))
_FLAG: Final = slice(54, 55)
_SAMPLED: Final = frozenset("13579bdf")
"""The last digit of a `traceparent` whose flags say that it is sampled."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Take events whose own trace is sampled, if it `follows`; of the others those whose trace id is below `bound`.

    An event without a trace is of its instance's own, whose id is taken from the subject's digest: so all events of an
    instance are taken, or none.
    """

    follows: bool
    bound: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Sampling":
        """Read OTEL_TRACES_SAMPLER. Raises: SetupError."""
        name = environment.get(SAMPLER, "").strip() or _DEFAULT
        if name not in _NAMES:
            raise SetupError(f"{SAMPLER}={name}: a worker knows no such sampler; expected one of {', '.join(_NAMES)}")
        kind = name.removeprefix(_PARENT)
        share = _share(environment.get(ARGUMENT, "").strip()) if kind == _RATIO else _SHARES[kind]
        return cls(name != kind, round(share * _ALL))

    def takes(self, traceparent: str | None, digest: bytes) -> bool:
        """Tell whether an event is traced, `digest` its subject's. What is no `traceparent` may be either."""
        if traceparent is None:
            return int.from_bytes(digest[8:16]) < self.bound
        if self.follows:
            return traceparent[_FLAG] in _SAMPLED
        try:
            return int(traceparent[19:35], 16) < self.bound
        except ValueError:
            return False


def _share(text: str) -> float:
    try:
        share = float(text or "1")
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    raise SetupError(f"{ARGUMENT}={text}: expected the share of traces to take, from 0 to 1")
