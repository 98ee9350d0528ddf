"""What would go wrong in production and can be seen beforehand, in a machine that set-up has taken.

Pure: machines in, findings out. A false alarm is worse than a miss, so each rule is silent where it can't know.
"""

from worker.core.checks.checking import check_machine
from worker.core.checks.findings import RULES, Finding

__all__ = ["RULES", "Finding", "check_machine"]
