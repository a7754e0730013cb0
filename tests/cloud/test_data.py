"""Data reaches a job on a cluster: from the worker through the bucket, and from other buckets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cloud_shop import CloudShop
from shop import CountedStore

from airflow_provider_kinetic.hooks import platforms
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.errors import ConfigurationError, UnsupportedParameter

READING = """
from airflow_provider_kinetic import Data

def f(train, weights, test):
    def read(folder):
        folder = Path(folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_text() for path in sorted(files)}
    return [read(train["x"][0]), Path(weights).read_text(), read(test), read("{gate}/volume")]

with DAG("shop", schedule=None) as dag:
    KineticRunOperator(
        task_id="job", python_callable=f, deferrable=True,
        op_kwargs={"train": {"x": [Data("{gate}/digits")]},
                   "weights": Data("gs://elsewhere/{{ ds }}/weights"), "test": Data("gs://elsewhere/{{ ds }}/")},
        volumes={"{gate}/volume": Data("{gate}/digits/b/2.txt")}, **JOB)
"""
SUBMITTING = """
from airflow_provider_kinetic import Data
{prelude}
def f(*args, **kwargs): return 42

with DAG("shop", schedule=None) as dag:
    KineticSubmitOperator(task_id="job", python_callable=f, op_args=[{data}], **JOB, {options})
"""


@pytest.fixture(autouse=True)
def place(shop: CloudShop) -> None:
    for name in ("a/1", "b/2"):
        file = shop.folder / "digits" / f"{name}.txt"
        file.parent.mkdir(parents=True)
        file.write_text(name)
    (shop.folder / "digits" / "none").mkdir()


def submitting(shop: CloudShop, data: str, options: str = "", prelude: str = "") -> Any:
    text = SUBMITTING.replace("{data}", data).replace("{options}", options).replace("{prelude}", prelude)
    shop.write(text)
    return shop.run()


def count(shop: CloudShop) -> list[str]:
    calls: list[str] = []
    shop.refit(lambda ports: replace(ports, store=CountedStore(ports.store, calls)))  # type: ignore[arg-type]
    return calls


def test_a_folder_an_object_a_prefix_and_a_volume(shop: CloudShop) -> None:
    shop.cloud.add_bucket("elsewhere")
    for name in ("weights", "more/x"):
        shop.ports.store.write(f"gs://elsewhere/2026-01-01/{name}", name.encode())
    shop.write(READING)

    result = shop.run()

    assert result.state == "success", result.log
    assert result.value == [
        {"a/1.txt": "a/1", "b/2.txt": "b/2"},
        "weights",
        {"more/x": "more/x", "weights": "weights"},
        {"2.txt": "b/2"},
    ]
    assert len(shop.cloud.objects(prefix="default/data-markers/")) == 2, "the folder and the file of the volume"
    assert shop.artifacts == [], "the job's own objects are gone, the data stays"


def test_what_is_there_is_not_sent_again(shop: CloudShop) -> None:
    data = f"Data({str(shop.folder / 'digits')!r})"
    assert submitting(shop, data).state == "success"
    before = shop.cloud.objects(prefix="default/")
    calls = count(shop)

    assert shop.run(run_id="other").state == "success"

    assert shop.cloud.objects(prefix="default/") == before
    looks = [call.partition(" ")[0] for call in calls if "handle" not in call]
    assert looks[:5] == ["list", "list", "stat", "stat", "stat"], "marker, a file, an empty folder"
    assert set(looks[5:]) == {"upload", "write"}, "the parcel"


def test_a_retry_follows_its_job_and_does_not_look_at_the_data(shop: CloudShop) -> None:
    data = f"Data({str(shop.folder / 'digits')!r})"
    first = submitting(shop, data)
    (shop.folder / "digits" / "a" / "1.txt").unlink()
    (shop.folder / "digits").rename(shop.folder / "gone")

    again = shop.again(first)

    assert (again.state, again.value) == ("success", first.value)


def test_mounts_are_in_the_pod(shop: CloudShop) -> None:
    shop.cloud.add_bucket("elsewhere")
    for name in ("2026-01-01/x", "w/base.h5"):
        shop.ports.store.write(f"gs://elsewhere/{name}", b"x")
    on_gke(shop)
    result = submitting(
        shop,
        f"Data('gs://elsewhere/{{{{ ds }}}}/', fuse=True), Data({str(shop.folder / 'digits')!r}, fuse=True)",
        "volumes={'/weights': Data('gs://elsewhere/w/base.h5', fuse=True)}",
    )

    assert result.state == "success", result.log
    (job,) = shop.jobs
    pod = job["spec"]["template"]
    assert pod["metadata"]["annotations"]["gke-gcsfuse/volumes"] == "true"
    (container,) = (one for one in pod["spec"]["containers"] if one["name"] == "kinetic-worker")
    assert [one["mountPath"] for one in container["volumeMounts"]] == [
        "/weights",
        "/_kinetic/fuse-data/0",
        "/_kinetic/fuse-data/1",
    ]
    (marker,) = shop.cloud.objects(prefix="default/data-markers/")
    options = [one["csi"]["volumeAttributes"]["mountOptions"] for one in pod["spec"]["volumes"]]
    assert options == [
        "implicit-dirs,only-dir=w",
        "implicit-dirs,only-dir=2026-01-01",
        f"implicit-dirs,only-dir=default/data-cache/{marker.rpartition('/')[2]}",
    ]


def on_gke(shop: CloudShop) -> None:
    """The same cluster under the platform that has the driver."""
    real = platforms.PLATFORMS["kubernetes"]

    def opened(target: Any) -> Ports:
        return real(replace(target, kubernetes_conn_id="kubernetes_default"))

    shop.monkeypatch.setitem(platforms.PLATFORMS, "gke", opened)
    shop.connect(platform="gke", project="acme", kubernetes_conn_id=None)


@pytest.mark.parametrize(
    ("data", "options", "kind", "said"),
    [
        ("Data('gs://elsewhere/x/', fuse=True)", "", UnsupportedParameter, "argument 0 asks for FUSE"),
        ("", "volumes={'/x': Data('/absent', fuse=True)}", UnsupportedParameter, "volume '/x' asks for FUSE"),
        ("", "volumes={'/x': Data('/absent')}", ConfigurationError, "/absent does not exist on the worker"),
        ("", "volumes={'/x': 'gs://elsewhere/x/'}", ConfigurationError, "is no Data"),
        ("", "volumes={'/x': Data('hf://m'), '/x/y': Data('hf://m')}", ConfigurationError, "one lies in the other"),
        ("Data('digits'), lambda: lock", "", ConfigurationError, "Cannot pickle argument 1"),
        ("{Data('gs://elsewhere/x')}", "", ConfigurationError, "a member of a set"),
        ("Data('digits')", "labels={'team': 'my team'}", ConfigurationError, "`labels`: 'my team'"),
    ],
)
def test_bad_input_is_found_before_any_data_is_sent(
    shop: CloudShop, data: str, options: str, kind: type[Exception], said: str
) -> None:
    shop.monkeypatch.chdir(shop.folder)

    error = submitting(shop, data, options, "import threading; lock = threading.Lock()").error

    assert isinstance(error, kind), error
    assert said in str(error)
    assert shop.cloud.objects() == []
    assert shop.jobs == []
