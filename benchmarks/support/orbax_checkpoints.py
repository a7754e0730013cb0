"""Orbax saves and restores arrays at the Cloud Storage that the environment names; one line of JSON for each size.

It runs in an environment of its own, which has ``orbax-checkpoint`` and ``gcsfs`` and nothing of this project.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from importlib.metadata import version

import jax
import numpy as np
import orbax.checkpoint as ocp

RUNS = 3
ARRAYS = 8
SIZES = (4_000_000, 128_000_000)


def main() -> int:
    random = np.random.default_rng(1)
    for size in SIZES:
        tree = {f"{each}": random.random(size // ARRAYS // 4, np.float32) for each in range(ARRAYS)}
        tree = jax.tree.map(jax.numpy.asarray, tree)
        saved, blocked, restored = [], [], []
        for run in range(RUNS):
            with ocp.CheckpointManager(f"gs://bench/orbax-{size}-{run}") as manager:
                begun = time.perf_counter()
                manager.save(1, args=ocp.args.StandardSave(tree))
                blocked.append(time.perf_counter() - begun)
                manager.wait_until_finished()
                saved.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                manager.restore(1, args=ocp.args.StandardRestore(tree))
                restored.append(time.perf_counter() - begun)
        figures = {"save": saved, "blocked": blocked, "restore": restored}
        medians = {name: statistics.median(values) for name, values in figures.items()}
        told = {"bytes": size, "arrays": ARRAYS, "version": version("orbax-checkpoint")}
        print(json.dumps({**told, **medians}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
