"""What a training says of itself is read by many, who do not know its secrets."""

from __future__ import annotations

import json

import pytest

from airflow_provider_kinetic.job.training.series import read_rows

SECRET = 'postgres://me:"pä"@host'
TEXT = f"rows of {SECRET}, all of them"
SHOWN = "rows of ***, all of them"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setenv("KINETIC_MASKED", "DATABASE")
    monkeypatch.setenv("DATABASE", SECRET)


def test_secrets_are_masked_before_they_reach_the_store(place):
    with place.begin() as trial:
        with trial.save(1, source=TEXT, loss=0.5, more={"from": [TEXT, 1]}) as folder:
            (folder / "state").write_text("1")
        trial.log({"source": TEXT, "loss": 0.5}, step=1)
        trial.status(TEXT)
    said = {"source": SHOWN, "loss": 0.5, "more": {"from": [SHOWN, 1]}}
    assert place.begin().latest.metadata == said
    assert json.loads(place.vault.read(f"{trial.latest.uri}/metadata.json")) == {"steps_completed": 1, **said}
    assert [row.values for row in read_rows(place.vault, place.layout)] == [{"source": SHOWN, "loss": 0.5}]
    assert json.loads(place.vault.read(place.layout.heartbeat))["status"] == SHOWN
