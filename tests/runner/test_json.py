"""``result_format="json"``: a reader never has to unpickle."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def json_job(job):
    job.environ["KINETIC_RESULT_FORMAT"] = "json"
    return job


def read(job):
    return json.loads((job.artifacts / "result.json").read_text())


def test_value(json_job):
    ended = json_job.call(dict, loss=0.5, name="é").run()
    assert ended.code == 0
    assert read(json_job) == {"v": 1, "success": True, "result": {"loss": 0.5, "name": "é"}, "error": None}
    assert json_job.result()["result"] == {"loss": 0.5, "name": "é"}
    kind = {"type": "dict", "json": True}
    assert ended.termination["objects"] == {
        name: {**json_job.facts(name), **kind} for name in ("result.pkl", "result.json")
    }


def test_error(json_job):
    assert json_job.call(int, "no number").run().code == 1
    content = read(json_job)
    assert content["success"] is False
    assert content["result"] is None
    assert content["error"]["type"] == "ValueError"
    assert "no number" in content["error"]["message"]
    assert "no number" in content["error"]["traceback"]
    assert content["error"]["phase"] == "execute"


@pytest.mark.parametrize(("func", "argument"), [(object, ()), (float, ("nan",)), (set, ("ab",))], ids=str)
def test_a_value_that_is_not_json_says_so(json_job, func, argument):
    assert json_job.call(func, *argument).run().code == 1
    error = read(json_job)["error"]
    assert error["phase"] == "result serialization"
    assert 'result_format="json"' in error["message"]
    assert json_job.result()["success"] is False
    assert json_job.result()["serialization_failed"] is True
