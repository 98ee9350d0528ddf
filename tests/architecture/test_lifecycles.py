"""The pictures of the lifecycles in ARCHITECTURE.md are those of the tables.

`python -m tests.architecture.test_lifecycles` writes them anew.
"""

import re
from pathlib import Path

from worker.runtime.lifecycles import mermaid
from worker.runtime.partitions import TRANSITIONS
from worker.runtime.producing import PRODUCER_TRANSITIONS

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
PICTURES = {"partition": mermaid(TRANSITIONS), "producer": mermaid(PRODUCER_TRANSITIONS)}


def drawn(page: str) -> str:
    """Give the page with the tables' pictures in their places."""
    for name, picture in PICTURES.items():
        place = re.compile(rf"(<!-- {name} -->\n```mermaid\n).*?(```)", re.DOTALL)
        page, count = place.subn(lambda found, text=picture: f"{found[1]}{text}\n{found[2]}", page)  # type: ignore[misc]
        assert count == 1, f"expected one picture named {name}"
    return page


def test_the_pictures_are_those_of_the_tables() -> None:
    page = PAGE.read_text()
    assert page == drawn(page), "run `python -m tests.architecture.test_lifecycles`"


def test_a_picture_names_every_turn_and_ends_where_nothing_follows() -> None:
    picture = PICTURES["partition"]
    assert all(turn in picture for _, turn in TRANSITIONS)
    assert "    [*] --> taking\n" in picture
    assert picture.endswith("    abandoned --> [*]\n    released --> [*]")


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
