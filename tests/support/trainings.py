"""What must be true of a trial whatever became of the processes that trained for it."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from checkpoint_files import read
from killed_training import KEEP, files, loss

from airflow_provider_kinetic.job.training.series import read_rows


def told(output: str, word: str) -> int:
    """The last number behind a word; a line that was broken off says nothing."""
    found = re.findall(rf"^{word} (\d+)\n", output, re.MULTILINE)
    return int(found[-1]) if found else 0


def check(place: Any, committed: int, aside: Collection[str] = ()) -> None:
    """What every attempt may rely on, and what is left in the store after it cleared up.

    :param aside: checkpoints that lie there and are not part of the story.
    """
    trial = place.begin(KEEP)
    checkpoints = trial.checkpoints
    assert max((each.step for each in checkpoints), default=0) >= committed
    for each in checkpoints:
        with trial.restore(each) as found:
            assert read(found.path) == files(each.step)
    with trial.restore() as found:
        assert (found.step if found else 0) == max((each.step for each in checkpoints), default=0)
    last = max((each.step for each in checkpoints), default=0)
    rows = [row for row in read_rows(place.vault, place.layout) if row.step <= last]
    trained = [(row.step, row.values) for row in rows if row.group == "train"]
    assert trained == [(step, {"loss": loss(step)}) for step in range(1, last + 1)]
    assert [row.step for row in rows if row.group == "validation"] == list(range(1, last + 1, 2))
    commits = {name.rpartition("/")[2][: -len(".json")] for name in place.names(".kinetic/checkpoints/")}
    data = set(place.vault.folders(f"{place.uri}/checkpoints"))
    assert commits.issuperset(aside)
    assert data - set(aside) == commits - set(aside) == {each.name for each in checkpoints}
    assert place.names(".kinetic/tombstones/") == []
    trial.close()
