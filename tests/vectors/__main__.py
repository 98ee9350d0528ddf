"""Run the vectors and print what failed and how many passed."""

import logging
import sys
from itertools import groupby
from operator import itemgetter

from tests.vectors.harness import run, vectors_folder


def main() -> int:
    """Give the exit code: 0 only if something ran, nothing failed, and no file was left out without a reason."""
    folder = vectors_folder()
    summary = run(folder)
    for place, skipped in groupby(sorted(summary.skipped), key=itemgetter(0)):
        print(f"skipped {place}\n    {'; '.join(title for _, title in skipped)}")
    if summary.not_built:
        files = ", ".join(f"{count} of {name}" for name, count in sorted(summary.not_built.items()))
        print(f"{summary.not_built.total()} files are of formats that nothing runs: {files}")
    if not summary.passed:
        print(f"No vector ran; {folder} has to hold the vector files.")
    print(summary)
    return 0 if summary.passed and not summary.failed and not summary.not_built else 1


if __name__ == "__main__":
    logging.disable()  # What the orchestrators log of broken memories is no news here.
    sys.exit(main())
