"""Used by another module only."""


def count(name: str) -> int:
    return len(name)
