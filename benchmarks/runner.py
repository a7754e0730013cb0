"""What the runner adds to the start of a job: from process start to the first line of the user's function.

Beside it, in turns, the bare interpreter doing nothing but telling the time. The difference is ours: fetching and
verifying the bundle, the attempt record, the digests, the workspace and the pickle.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from airflow_provider_kinetic.job import bootstrap
from airflow_provider_kinetic.packaging.runner_bundle import build

RUNS = 15
LIMIT_MILLISECONDS = 150.0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tell(path: str) -> None:
    import time
    from pathlib import Path

    Path(path).write_text(repr(time.time()))


def payload_of(path: Path, told: Path) -> None:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    path.write_bytes(cloudpickle.dumps({"func": tell, "args": (str(told),), "kwargs": {}, "env_vars": {}}))


def main() -> int:
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = build(folder / "runner.pyz")
        told, payload, context = folder / "told", folder / "payload.pkl", folder / "context.zip"
        payload_of(payload, told)
        with zipfile.ZipFile(context, "w") as archive:
            archive.writestr("project.py", "value = 1\n")
        for run in range(RUNS + 2):
            arguments = ["--payload-gcs", f"file://{payload}", "--payload-sha256", sha256(payload)]
            arguments += ["--context-gcs", f"file://{context}", "--context-sha256", sha256(context)]
            arguments += ["--result-gcs", f"file://{folder}/job-{run}/result.pkl"]
            command = bootstrap.command(f"file://{bundle.path}", bundle.sha256, arguments)
            environ = {
                "PATH": os.environ["PATH"],
                "JOB_ID": f"job-{run}",
                "KINETIC_OUTPUT_DIR": f"file://{folder}/outputs-{run}",
                "KINETIC_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
                "KINETIC_TERMINATION_LOG": f"{folder}/termination-{run}",
            }
            began = time.time()
            subprocess.run([sys.executable, *command[1:]], env=environ, check=True, cwd=folder)
            ours.append((float(told.read_text()) - began) * 1000)
            began = time.time()
            line = f"import time, pathlib; pathlib.Path({str(told)!r}).write_text(repr(time.time()))"
            subprocess.run([sys.executable, "-c", line], env=environ, check=True, cwd=folder)
            bare.append((float(told.read_text()) - began) * 1000)
            result = pickle.loads((folder / f"job-{run}" / "result.pkl").read_bytes())
            assert result["success"], result
    print(f"bare interpreter, first line   {statistics.median(bare[2:]):7.1f} ms")
    print(f"runner, first line of the user {statistics.median(ours[2:]):7.1f} ms")
    extra = statistics.median(a - b for a, b in zip(ours[2:], bare[2:], strict=True))
    good = extra <= LIMIT_MILLISECONDS
    print(
        f"own overhead, median           {extra:7.1f} ms\n"
        f"limit: {LIMIT_MILLISECONDS:.0f} ms: {'met' if good else 'NOT met'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
