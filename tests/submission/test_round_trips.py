"""What a submission costs: look-ups, uploads, create; and each of the three is one round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from shop import CountedStore

from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.lifecycle.together import together

FUNCTION = "def f(): return 42"
UPLOADS = ("payload.pkl", "context.zip", "runner.pyz", "handle.json", "handle.json", "pointer")


class Meeting:
    """A store whose writers wait for each other: none gets on unless all of them are there at the same time."""

    def __init__(self, store: Any, writers: int, kinds: tuple[str, ...] = ("upload", "write")) -> None:
        self._store = store
        self._kinds = kinds
        self._all_here = threading.Barrier(writers, timeout=20)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in self._kinds:
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            self._all_here.wait()
            return real(*args, **kwargs)

        return call


def submitting(shop: Any, **options: Any) -> None:
    shop.write(
        f"{FUNCTION}\n\nwith DAG('shop', schedule=None) as dag:\n"
        f"    KineticSubmitOperator(**{{**JOB, **dict(task_id='job', python_callable=f), **{options!r}}})\n"
    )


def test_a_first_submission_looks_once_uploads_all_and_creates(cloud_shop):
    calls: list[str] = []
    cloud_shop.refit(lambda ports: replace(ports, store=CountedStore(ports.store, calls)))  # type: ignore[arg-type]
    submitting(cloud_shop)

    handle_id = cloud_shop.run().value

    looks, uploads = calls[:2], calls[2:]
    assert sorted(looks) == ["list ", "list run_1~"], "what began in the task's directory, and whether it began anew"
    named = {f"upload {name}" for name in UPLOADS[:3]} | {"write handle.json", f"write {handle_id}.json"}
    assert (set(uploads), len(uploads)) == (named, len(UPLOADS))
    assert [(one.verb, one.resource) for one in asked_to_change(cloud_shop)] == [("create", "jobs")]


def test_the_servers_count_the_same(cloud_shop):
    submitting(cloud_shop)
    cloud_shop.run(run_id="warm")
    gcs, kube = cloud_shop.cloud.gcs.requests, cloud_shop.cloud.kube.requests
    before, asked = dict(gcs), len(kube)

    cloud_shop.run()

    spent = {kind: count - before.get(kind, 0) for kind, count in gcs.items()}
    mine = [one for one in kube[asked:] if one.user == "admin"]
    assert [(one.verb, one.resource) for one in mine] == [("create", "jobs")]
    assert spent["list"] >= 1, "those of the pod come on top"
    assert spent["insert"] >= len(UPLOADS)


def asked_to_change(shop: Any) -> list[Any]:
    return [one for one in shop.cloud.kube.requests if one.user == "admin" and one.verb not in ("get", "list", "watch")]


def test_secrets_cost_one_more(cloud_shop):
    submitting(cloud_shop, secrets={"HUB_TOKEN": "hunter2"})

    cloud_shop.run()

    assert [(one.verb, one.resource) for one in asked_to_change(cloud_shop)] == [
        ("create", "jobs"),
        ("create", "secrets"),
    ]


@pytest.mark.parametrize("where", ["shop", "cloud_shop"])
def test_the_uploads_are_under_way_at_the_same_time(request, where):
    shop = request.getfixturevalue(where)

    def meet(ports: Ports) -> Ports:
        store: Any = Meeting(ports.store, len(UPLOADS))
        return replace(ports, store=store)

    shop.refit(meet)
    submitting(shop)

    assert shop.run().state == "success"


def test_the_look_ups_are_under_way_at_the_same_time(shop):
    def meet(ports: Ports) -> Ports:
        store: Any = Meeting(ports.store, 3, ("list", "stat"))
        return replace(ports, store=store)

    source = shop.platform / "outputs/there/checkpoints/000000000007-a0001-0001"
    commit = shop.platform / f"outputs/there/.kinetic/checkpoints/{source.name}.json"
    commit.parent.mkdir(parents=True)
    commit.touch()
    shop.refit(meet)
    submitting(shop, restore_from=source.as_uri())

    assert shop.run().state == "success"


def test_requirements_of_a_prebuilt_image_travel_with_the_others(cloud_shop):
    def meet(ports: Ports) -> Ports:
        store: Any = Meeting(ports.store, len(UPLOADS) + 1)
        return replace(ports, store=store)

    cloud_shop.refit(meet)
    submitting(cloud_shop, container_image="prebuilt", base_image_repo="acme", requirements=["numpy"])

    assert cloud_shop.run().state == "success"


def test_calls_are_made_together_and_answer_in_order():
    barrier = threading.Barrier(3, timeout=20)

    def call(number: int) -> Callable[[], int]:
        return lambda: (barrier.wait(), number)[1]

    assert together(call(1), call(2), call(3)) == [1, 2, 3]


def test_the_first_failure_in_order_decides():
    def fail(error: Exception) -> Callable[[], None]:
        def call() -> None:
            raise error

        return call

    with pytest.raises(KeyError):
        together(lambda: None, fail(KeyError("b")), fail(ValueError("c")))


def test_one_call_needs_no_thread():
    assert together(threading.get_ident) == [threading.get_ident()]
