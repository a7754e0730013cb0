"""Resource quantities: ``500m``, ``2``, ``16Gi``, ``1e3``."""

from __future__ import annotations

import re

_SUFFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIX |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$")


def parse(text: object) -> float:
    """The number that a quantity stands for; ValueError where it is none."""
    match = _QUANTITY.match(str(text))
    if match is None:
        raise ValueError(f"quantities must match the regular expression '{_QUANTITY.pattern}': {text}")
    number, exponent, suffix = match.groups()
    return float(number) * (10.0 ** int(exponent) if exponent else _SUFFIX[suffix or ""])


def requests(pod_spec: dict) -> dict[str, float]:
    """What a pod asks of a node, over its containers."""
    total: dict[str, float] = {"pods": 1.0}
    for container in pod_spec.get("containers", []):
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            total[name] = total.get(name, 0.0) + parse(amount)
    return total
