"""A helper module beside the DAG file."""

RATE = 1.5


def taxed(price: float) -> float:
    return price * RATE
