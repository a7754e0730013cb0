"""A call that cannot be pickled is found before anything is stored, and the error names the piece."""

from __future__ import annotations

import pytest

from airflow_provider_kinetic.model.errors import SerializationError


@pytest.mark.parametrize(
    ("task_id", "named"),
    [
        ("closure", "closure variable 'lock' of wait()"),
        ("global", "global variable 'LOCK' of guarded()"),
        ("keyword", "keyword argument 'file'['deep'][0] of read()"),
        ("position", "argument 0 of read()"),
    ],
)
def test_the_error_names_what_cannot_travel(project, airflow, task_id, named):
    result = airflow.run(project.dag("unpicklable").get_task(task_id))

    assert result.state == "failed"
    assert isinstance(result.error, SerializationError)
    assert named in result.error.summary
    assert result.error.advice
    assert airflow.stored == []
    assert "kinetic_job" not in result.xcoms
