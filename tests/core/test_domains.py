import pytest

from worker.core.domains import DOMAIN_CHARACTERS_MAX, check_domain, unique_domains


@pytest.mark.parametrize("name", ["default", "external", "a", "0", "a-b.c-1", "x" * DOMAIN_CHARACTERS_MAX])
def test_is_a_domain(name: str) -> None:
    assert check_domain(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "all", "input", "dlq", "A", "a_b", "-a", "a-", "a..b", "a b", "a\n", "ü", "x" * (DOMAIN_CHARACTERS_MAX + 1)],
)
def test_is_no_domain(name: str) -> None:
    with pytest.raises(ValueError, match="is no domain"):
        check_domain(name)


def test_repeats_count_once_in_order_of_first_appearance() -> None:
    assert unique_domains(["b", "a", "b"]) == ("b", "a")
