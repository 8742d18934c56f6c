"""Numbers in sentences."""


def counted(number: int, noun: str) -> str:
    """`1 slice`, `1,234 slices`; for nouns with a plain plural."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
