"""One finding of an audit."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Hold one finding: the check's name, how bad it is, what was found, and what to do.

    An `error` makes results on these data wrong; a `warning` may; a `note` is worth knowing.
    """

    check: str
    severity: Severity
    sentence: str
    advice: str
