"""The Secret of a job is made after the job, so whoever follows a job makes sure that it has one."""

from __future__ import annotations

SUBMIT = """
def f(): return os.environ["HUB_TOKEN"]

with DAG("shop", schedule=None) as dag:
    more = dict(secrets={"HUB_TOKEN": "hunter2"}, queue_name="nobody-admits-it", retries=1)
    KineticSubmitOperator(task_id="job", python_callable=f, **more, **JOB)
"""


def secrets_of(shop):
    kube = shop.cloud.kube
    return [one["metadata"]["name"] for one in kube.store.list(kube.resource("secrets"), "default")[0]]


def test_a_retry_gives_a_job_the_secret_that_its_submitter_did_not_live_to_make(cloud_shop):
    cloud_shop.write(SUBMIT)
    first = cloud_shop.run()
    (name,) = secrets_of(cloud_shop)
    (job,) = cloud_shop.jobs
    kube = cloud_shop.cloud.kube
    kube.registry.delete(kube.resource("secrets"), "default", name, {})
    assert secrets_of(cloud_shop) == []

    cloud_shop.db.retry(first.key)
    second = cloud_shop.run()

    assert second.value == first.value
    assert [one["metadata"]["uid"] for one in cloud_shop.jobs] == [job["metadata"]["uid"]]
    assert secrets_of(cloud_shop) == [name]
