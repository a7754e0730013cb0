"""``make demo``: a training loses its machine half way and finishes all the same, in a real Airflow.

The DAG is a user's (``dags/kinetic_retrain.py``) and knows nothing of this. What happens to the machine
comes from outside, from the local cluster's own command; what is promised afterwards is checked, and
a promise that was broken ends the demo with exit code 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.api import FINISHED, Api
from demo.place import Place
from demo.progress import Progress, stop_on_sigterm
from demo.standalone import Standalone, StartupError
from demo.trial import Trial, resumed_at

DAG = "kinetic_retrain"
PREEMPT_AT = 0.4
"""Share of the steps after which the machine gets its notice; some seconds later it is gone."""


class PromiseBroken(Exception):
    """The demo did not show what it is there to show; the message says what and where to look."""


@dataclass
class Story:
    """One run of the DAG, followed through the API."""

    api: Api
    run_id: str
    steps: int
    save_every: int
    cluster: Path
    say: Progress
    seen: dict[str, str] = field(default_factory=dict)
    preempted: bool = False

    def follow(self, timeout: float) -> None:
        """Report every change until the run ends, and take the machine away once.

        :raises PromiseBroken: it failed or did not end within ``timeout`` seconds.
        """
        give_up = time.monotonic() + timeout
        while (state := self.api.run_state(DAG, self.run_id)) not in FINISHED:
            self._report_tasks()
            if "up_for_retry" in self.seen.values():
                raise PromiseBroken(f"Airflow has to try a task again.\n{self._log_tails()}")
            if self.seen.get("train") in ("running", "deferred"):
                self._watch_training()
            if time.monotonic() > give_up:
                raise PromiseBroken(f"The run was still {state} after {timeout:.0f} s.\n{self._log_tails()}")
            time.sleep(0.5)
        self._report_tasks()
        if state != "success":
            raise PromiseBroken(f"The run ended as {state}.\n{self._log_tails()}")

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        return self.api.xcom(DAG, self.run_id, task_id, key)

    def _report_tasks(self) -> None:
        for task in self.api.tasks(DAG, self.run_id):
            name, state = task["task_id"], task["state"]
            if state and state not in ("scheduled", "queued", self.seen.get(name)):
                self.seen[name] = state
                self.say(f"{name}: {state}")

    def _watch_training(self) -> None:
        output_dir = self.xcom("train", "output_dir")
        if not output_dir:
            return
        trial = Trial.of(output_dir)
        attempts = trial.attempts()
        if not attempts:
            return
        step, saved = trial.reached(resumed_at(attempts[-1])), trial.committed()
        if step:
            percent = step * 10 // self.steps * 10
            if self.seen.get("progress") != (progress := f"train: attempt {len(attempts)}, {percent} %"):
                self.seen["progress"] = progress
                self.say(progress)
        if saved and step >= PREEMPT_AT * self.steps and not self.preempted:
            self.say(f"the machine of train is taken away: step {step}, newest checkpoint {saved}")
            preempt(self.cluster, self.xcom("train", "kinetic_job")["k8s_name"])
            self.preempted = True

    def _log_tails(self, lines: int = 40) -> str:
        tails = []
        for task in self.api.tasks(DAG, self.run_id):
            if task["state"] not in ("success", "removed", "skipped", "upstream_failed", None):
                text = self.api.log(DAG, self.run_id, task["task_id"], task["try_number"], task["map_index"])
                tails.append(f"--- log of {task['task_id']}, {task['state']} ---\n" + "\n".join(text[-lines:]))
        return "\n".join(tails)


def preempt(cluster: Path, name: str) -> None:
    """Have the local cluster take the machine away from a job, as somebody at another terminal would."""
    module = "airflow_provider_kinetic.clusters.local"
    command = [sys.executable, "-m", module, "preempt", "--root", str(cluster), "--name", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PromiseBroken(f"The machine could not be taken away:\n{done.stderr}")


def summary(story: Story) -> dict[str, str]:
    """The table at the end.

    :raises PromiseBroken: the figures are not those that the demo promises.
    """
    tries = {task["task_id"]: task["try_number"] for task in story.api.tasks(DAG, story.run_id)}
    trial = Trial.of(story.xcom("train", "output_dir"))
    attempts = trial.attempts()
    resumed = resumed_at(attempts[-1]) if attempts else 0
    lost = trial.reached(0) - resumed
    job_id = story.xcom("train", "job_id")
    model = story.xcom("evaluate")
    promises = {
        "The machine was never taken away.": story.preempted,
        f"Airflow needed {tries['train']} tries instead of 1.": tries["train"] == 1,
        f"There were {len(attempts)} attempts instead of 2.": len(attempts) == 2,
        "The attempts belong to different jobs.": {each["job_id"] for each in attempts} == {job_id},
        "The second attempt started from nothing.": resumed > 0,
        f"{lost} steps were lost, more than one checkpoint interval.": 0 <= lost <= story.save_every,
        f"The training ended at step {model['step']}, not {story.steps}.": model["step"] == story.steps,
    }
    broken = [text for text, kept in promises.items() if not kept]
    if broken:
        raise PromiseBroken("\n".join(broken))
    return {
        "job": job_id,
        "Airflow try": str(tries["train"]),
        "attempts": str(len(attempts)),
        "resumed at step": f"{resumed} of {story.steps}",
        "work lost": f"{lost} steps (a checkpoint every {story.save_every})",
        "accuracy": f"{model['accuracy']:.1%}",
        "outputs": str(trial.directory),
        "job's logs": str(trial.directory / ".kinetic" / "jobs" / job_id / "logs"),
    }


def tell(airflow: Standalone, place: Place, options: argparse.Namespace, say: Progress) -> dict[str, str]:
    """Run the DAG in ``airflow`` and return the table of what happened."""
    while not airflow.client.has_dag(DAG):
        time.sleep(0.5)
    conf = {"steps": options.steps, "save_every": options.save_every}
    run_id = airflow.client.trigger(DAG, conf)
    say(f"{DAG} is triggered: {airflow.base_url}/dags/{DAG}")
    story = Story(airflow.client, run_id, options.steps, options.save_every, place.cluster, say)
    story.follow(options.timeout)
    return {**summary(story), "Airflow's logs": str(place.home / "logs")}


def main(argv: list[str] | None = None) -> int:
    """0 when every promise was kept."""
    options = _options(argv)
    place, say = Place(options.state), Progress()
    stop_on_sigterm()
    try:
        place.clear()
        say("starting Airflow: about half a minute")
        with place.airflow(say) as airflow:
            table = tell(airflow, place, options, say)
            say("stopping Airflow")
    except (PromiseBroken, StartupError, ImportError) as failure:
        print(f"\nThe demo failed: {failure}\n\nAirflow's own log: {place.home / 'standalone.log'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; Airflow is stopped.", file=sys.stderr)
        return 130
    finally:
        place.end_jobs()
    say("done")
    width = max(map(len, table))
    print("\n" + "\n".join(f"  {name:{width}}  {value}" for name, value in table.items()))
    print("\n`make ui` starts the same Airflow again, to look at.")
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.run", description="A training that loses its machine.")
    parser.add_argument("--state", type=Path, default=Path(".demo"), help="folder of the demo (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8_000)
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for the run of the DAG")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
