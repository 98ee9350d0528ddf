"""Texts of errors, which may hold anything: made fit for events, headers and PostgreSQL."""

ERROR_TEXT_MAX = 8_192


def clean_text(text: str) -> str:
    """Cut a text to its bound and replace U+0000 and lone surrogates, which neither JSON nor PostgreSQL takes."""
    return text[:ERROR_TEXT_MAX].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
