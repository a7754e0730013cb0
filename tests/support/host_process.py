"""One of several processes that train together: ``python host_process.py URI PROCESS PROCESSES LAST [DEATH]``.

``DEATH`` is a step in whose save the process kills itself: after its files are stored, before it hands in its part.
``PATIENCE_ONCE_BEGUN`` in the environment is how long they wait for each other from then on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from checkpoint_files import noise, read, write

from airflow_provider_kinetic import job
from airflow_provider_kinetic.job.training.sharding import ShardedSaver


def shard(process: int, step: int) -> dict[str, bytes]:
    return {
        "frozen": noise("frozen", 300_000),
        f"shard-{process}": noise((process, step), 200_000),
        f"of each/{process}": str(step).encode(),
    }


def everything(step: int, processes: int) -> dict[str, bytes]:
    return {name: data for process in range(processes) for name, data in shard(process, step).items()}


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(uri: str, process: int, processes: int, last: int, death: int = 0) -> None:
    trial = job.trial(uri, process=process, processes=processes)
    with trial.restore() as found:
        begun = found.step if found else 0
        assert found is None or read(found.path) == everything(begun, processes)
    print(f"begun {begun} {trial.attempt}", flush=True)
    if "PATIENCE_ONCE_BEGUN" in os.environ:
        os.environ["KINETIC_HOSTS_TIMEOUT"] = os.environ["PATIENCE_ONCE_BEGUN"]
    for step in range(begun + 1, last + 1):
        time.sleep(0.01)
        trial.log({"loss": step}, step=step)
        if step % 3 == 0 or trial.stopping(step):
            if step == death:
                ShardedSaver._hand_in = ShardedSaver._assemble = die  # type: ignore[method-assign]
            try:
                with trial.save(step, wait=step % 2 == 0, loss=step) as folder:
                    write(Path(folder), shard(process, step))
                trial.wait()
            except Exception as error:
                print(f"failed {step} {type(error).__name__}: {error}", flush=True)
                sys.exit(1)
            print(f"saved {step}", flush=True)
        trial.exit_if_stopping()
    trial.close()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
