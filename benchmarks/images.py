"""What an image costs that is there already, and how many builds ten processes cause that need one at the same moment.

The look is that of a task in a new process, in which everything is imported: a token is fetched and the tag is asked
for. Its requests are counted by the services, its CPU by the kernel. The identity is loaded before, because the same
task asks the bucket and the cluster with it too; reading an RSA key takes longer than all the rest, and is shown.
The handshakes of TLS are not in it, because the services of the loopback speak in clear text; its context is.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "support")]

if TYPE_CHECKING:
    from google_apis_builds import GoogleBuilds

RUNS = 10
DEMANDS = 10
LIMIT_ROUND_TRIPS = 2
LIMIT_CPU = 0.050
PROJECT = "acme"
BUCKET = f"{PROJECT}-kn-trainer-jobs"
CONTEXT = multiprocessing.get_context("fork")


def builder() -> Any:
    """As a task of the platform ``gke`` gets it."""
    from airflow_provider_kinetic.hooks.platforms import open_ports
    from airflow_provider_kinetic.model.target import Target

    target = Target(
        platform="gke",
        kinetic_conn_id="kinetic_default",
        store_root=f"gs://{BUCKET}",
        output_root=f"gs://{BUCKET}/outputs",
        cluster_uri=f"gke://{PROJECT}/europe-west4-a/trainer",
        project=PROJECT,
        zone="europe-west4-a",
        cluster="trainer",
        gcp_conn_id="gcp",
    )
    return open_ports(target).builder


def look(answers: Any) -> None:
    """Seconds of CPU to load the identity, and of one look, the first of its process."""
    from airflow_provider_kinetic.hooks.google import GoogleIdentityHook

    began = time.process_time()
    assert GoogleIdentityHook("gcp").principal
    loaded = time.process_time()
    made = builder()
    found = made.find(made.request_for("cpu", "numpy\n"))
    assert found is not None
    answers.put((loaded - began, time.process_time() - loaded))


def demand(gate: Any, answers: Any) -> None:
    """The id of the build that this process waits for."""
    made = builder()
    gate.wait(60)
    answers.put(made.start(made.request_for("cpu", "torch\n"), log=lambda _: None).id)


def in_processes(number: int, work: Callable[..., None], *arguments: Any) -> list[Any]:
    """What so many processes, forked after all imports, answer."""
    answers = CONTEXT.Queue()
    processes = [CONTEXT.Process(target=work, args=(*arguments, answers)) for _ in range(number)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    return told


@contextmanager
def services(folder: Path) -> Iterator[GoogleBuilds]:
    from gcs_server import GcsServer
    from google_apis_builds import GoogleBuilds

    with GcsServer(BUCKET) as gcs, GoogleBuilds() as google:
        google.storage, google.folder = gcs, folder
        os.environ.update(google.environment() | {"STORAGE_EMULATOR_HOST": gcs.url, "NO_PROXY": "127.0.0.1"})
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # Google's library asks for more than is here
        extra = google.connection("submit@acme.iam.gserviceaccount.com")
        os.environ["AIRFLOW_CONN_GCP"] = json.dumps({"conn_type": "google_cloud_platform", "extra": extra})
        yield google


def import_all() -> None:
    """What a look needs, without a request: an image of nobody's, at an address where nobody is."""
    from airflow_provider_kinetic.hooks import google_rest

    patience, google_rest.PAUSES = google_rest.PAUSES, ()
    name = "CLOUDSDK_API_ENDPOINT_OVERRIDES_ARTIFACTREGISTRY"
    address, os.environ[name] = os.environ[name], "http://127.0.0.1:9"
    try:
        made = builder()
        made.find(made.request_for("cpu", ""))
    except Exception as error:
        print(f"(all is imported: {type(error).__name__})")
    finally:
        google_rest.PAUSES, os.environ[name] = patience, address
    from airflow_provider_kinetic.hooks import cloud_build, google

    assert cloud_build
    google._known.clear()  # each process loads its own
    google_rest._tls.cache_clear()


def main() -> int:
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as folder, services(Path(folder)) as google:
        import_all()
        made = builder()
        google.push(made.uri(made.request_for("cpu", "numpy\n")))
        google.asked.clear()
        google.requests.clear()
        looks = [answer for _ in range(RUNS) for answer in in_processes(1, look)]
        asked = (google.asked.total() + google.requests.total()) / RUNS
        identity, cpu = (statistics.median(seconds) for seconds in zip(*looks, strict=True))
        builds = in_processes(DEMANDS, demand, CONTEXT.Barrier(DEMANDS))
        created = google.asked["builds.create"]
    print(f"cached image: {asked:g} round trips (token and tag; at most {LIMIT_ROUND_TRIPS})")
    print(f"cached image: {cpu * 1000:.1f} ms of CPU after imports, median of {RUNS} (at most {LIMIT_CPU * 1000:g})")
    print(f"              {identity * 1000:.1f} ms before that for the identity, once in a process")
    print(f"{DEMANDS} demands from {DEMANDS} processes: {created} build, {len(set(builds))} id")
    good = asked <= LIMIT_ROUND_TRIPS and cpu <= LIMIT_CPU and created == 1 and len(set(builds)) == 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
