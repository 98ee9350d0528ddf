"""The page on pictures: both are what the command draws today."""

from tests.docs.pages import Page, run_shell

PAGE = Page("docs/machines-graph.md")
PICTURE = Page("docs/images/order.svg")


def test_the_pictures_are_up_to_date(reader_environment: dict[str, str]) -> None:
    (mermaid,) = PAGE.blocks("mermaid")
    assert run_shell("worker machines graph arvo.orc.order", reader_environment) == mermaid
    assert run_shell("worker machines graph arvo.orc.order --format svg", reader_environment) == PICTURE.text
