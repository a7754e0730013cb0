"""The connection is changed between two tries: the job is where it was submitted to."""

from __future__ import annotations

import pytest
from installation import TaskKey
from project import until
from tasks import work

KEY = TaskKey("shop", "job", "run_1")
FUNCTION = """
def f():
    with open("{gate}/runs", "a") as out: out.write(".")
    at_the_gate("{gate}")
    return 42
"""


@pytest.mark.parametrize("clear", [False, True], ids=["retry", "clear"])
@pytest.mark.parametrize("field", ["bucket", "cluster"])
def test_the_next_try_finds_the_job_of_the_last_one(shop, field, clear):
    task = shop.job(FUNCTION, deferrable=True, retries=1)
    shop.db.queue(KEY, max_tries=1)
    work(task, shop.db, KEY)
    until(lambda: shop.begun)
    first = shop.handle()

    shop.connect(**{field: str(shop.platform / "elsewhere") if field == "bucket" else "another"})
    shop.db.clear(KEY, retries=1) if clear else shop.db.retry(KEY)
    work(shop.load("job"), shop.db, KEY)

    assert (shop.handle().job_id == first.job_id) is not clear
    assert shop.ports.cluster.status(first).state.value == ("NOT_FOUND" if clear else "RUNNING")
    shop.open_gate()
