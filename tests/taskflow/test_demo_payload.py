"""What the demo's training takes along: the functions that it needs of the DAG file, and the data."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_provider_kinetic.lifecycle.inputs import Shipped
from airflow_provider_kinetic.lifecycle.parcel import pack
from airflow_provider_kinetic.lifecycle.submission import SubmissionRecord
from airflow_provider_kinetic.lifecycle.work import Work
from airflow_provider_kinetic.model.spec import JobSpec, TaskIdentity

DAG_FILE = Path(__file__).parents[2] / "dags" / "kinetic_retrain.py"
CODE = 12 * 1024
"""Bytes: most that anything but the arguments may take."""


@pytest.fixture(scope="module")
def parcel(tmp_path_factory):
    pytest.importorskip("sklearn")
    dag = DagBag(str(DAG_FILE), safe_mode=False, load_op_links=False).dags["kinetic_retrain"]
    digits = dag.get_task("prepare").python_callable()
    work = Work(
        function=dag.get_task("train").python_callable,
        args=(digits["train_images"], digits["train_labels"]),
        kwargs={"steps": 10_000, "save_every": 500},
        spec=JobSpec("train"),
        identity=TaskIdentity("kinetic_retrain", "train", "run_1"),
        max_tries=2,
        secrets={},
    )
    record = SubmissionRecord("0" * 32, 1, 2, "job-0123456789abcdef", "file:///outputs")
    yield work, pack(tmp_path_factory.mktemp("parcel"), work, record, Shipped(work.args, work.kwargs), pytest.fail)
    for name in [name for name in sys.modules if name.endswith("_kinetic_retrain")]:
        del sys.modules[name]


def test_the_modules_of_the_demo_s_training(parcel):
    work, packed = parcel
    assert packed.modules == (work.function.__module__,)
    assert work.function.__module__.startswith("unusual_prefix_")


def test_the_size_of_the_demo_s_payload(parcel):
    work, packed = parcel
    data = len(pickle.dumps(work.args))
    assert data < packed.payload.size <= data + CODE
