"""A job that does not start says why while it waits, once, and again in the error when nobody waits any longer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cloud_shop import CloudShop
from installation import TaskKey
from kube import Image
from project import until

from airflow_provider_kinetic.model.errors import JobTimeout

pytestmark = pytest.mark.faults

modes = pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferrable"])
KEY = TaskKey("shop", "job", "run_1")
QUICK = "def f():\n    note('{gate}')\n    return 42"
PRIVATE = "registry.example/private:1"


def unschedulable(shop: CloudShop) -> None:
    shop.cloud.kube.unschedulable("0/3 nodes are available: 3 Insufficient cpu.")


def no_image(shop: CloudShop) -> None:
    shop.cloud.kube.images[PRIVATE] = Image(pull_error="pull access denied: 403 Forbidden")


def quota(shop: CloudShop) -> None:
    shop.cloud.kube.refuse_pods("exceeded quota: compute, requested: cpu=4, used: cpu=2, limited: cpu=4")


def webhook(shop: CloudShop) -> None:
    shop.cloud.kube.refuse_pods('admission webhook "policy.example" denied the request: images need a digest')


def account(shop: CloudShop) -> None:
    shop.connect(service_account="trainer")


def mend_image(shop: CloudShop) -> None:
    shop.cloud.kube.images[PRIVATE] = Image()


def mend_account(shop: CloudShop) -> None:
    kube = shop.cloud.kube
    kube.registry.create(kube.resource("serviceaccounts"), "default", {"metadata": {"name": "trainer"}})


def mend(shop: CloudShop) -> None:
    shop.cloud.heal()


CASES: dict[str, tuple[Callable[[CloudShop], None], Callable[[CloudShop], None], dict[str, Any], str, str]] = {
    "unschedulable": (unschedulable, mend, {}, "not enough cpu is free", "Add nodes"),
    "image": (no_image, mend_image, {"container_image": PRIVATE}, f"{PRIVATE} cannot be pulled", "container_image"),
    "quota": (quota, mend, {}, "a quota of the namespace is used up", "kubectl describe resourcequota"),
    "webhook": (webhook, mend, {}, "policy.example refuses the pod: images need a digest", "pod_override"),
    "service account": (account, mend_account, {}, "no service account 'trainer'", "kubectl create serviceaccount"),
}
cases = pytest.mark.parametrize("case", list(CASES))


def told(log: list[str], words: str) -> list[str]:
    return [line for line in log if words in line and line.startswith("Job ")]


@modes
@cases
def test_it_is_told_once_and_the_job_starts_when_the_cause_is_gone(
    shop: CloudShop, case: str, deferrable: bool
) -> None:
    trouble, repair, options, cause, _ = CASES[case]
    trouble(shop)
    shop.hurry()
    shop.job(QUICK, deferrable=deferrable, **options)

    def wait_and_repair() -> None:
        until(lambda: shop.db.xcom(KEY, "kinetic_job"))
        until(lambda: shop.ports.cluster.status(shop.handle()).message and cause in _message(shop))
        time.sleep(2)  # many looks
        repair(shop)

    with shop.meanwhile(wait_and_repair):
        result = shop.run()
    assert (result.state, result.value) == ("success", 42), result.log
    assert len(told(result.log, cause)) == 1, result.log
    assert len(shop.calls) == 1


def _message(shop: CloudShop) -> str:
    return shop.ports.cluster.status(shop.handle()).message


@modes
@cases
def test_after_the_startup_timeout_the_error_says_why(shop: CloudShop, case: str, deferrable: bool) -> None:
    trouble, _, options, cause, advice = CASES[case]
    trouble(shop)
    shop.hurry()
    shop.job(QUICK, deferrable=deferrable, startup_timeout=2, **options)
    result = shop.run()
    assert isinstance(result.error, JobTimeout), result.log
    assert cause in str(result.error), result.error
    assert advice in result.error.advice
    assert told(result.log, cause)
    until(lambda: not shop.jobs)
    assert shop.calls == []
    saved = json.loads(shop.ports.store.read(str(shop.handle().kept("status.json"))))
    assert cause in saved["message"]
