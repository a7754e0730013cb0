"""``make ui``: the demo's Airflow, left running until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

from demo.place import Place
from demo.progress import Progress, stop_on_sigterm
from demo.standalone import USERNAME

DAG = "kinetic_retrain"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.ui", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".demo"), help="folder of the demo (default: %(default)s)")
    place = Place(parser.parse_args(argv).state)
    say = Progress()
    stop_on_sigterm()
    try:
        say("starting Airflow: about half a minute")
        with place.airflow(say) as airflow:
            while not airflow.client.has_dag(DAG):
                time.sleep(0.5)
            print(f"\n  {airflow.base_url}/dags/{DAG}\n  user {USERNAME}, password {airflow.password}\n")
            print("Trigger the DAG there; runs of `make demo` are there, too. Ctrl-C ends it.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print()
        say("stopped")
    finally:
        place.end_jobs()


if __name__ == "__main__":
    main()
