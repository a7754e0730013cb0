"""Calls that cannot travel. What their errors name stands in test_unpicklable.py."""

from __future__ import annotations

import sys
import threading

from airflow.sdk import DAG

from airflow_provider_kinetic import KineticRunOperator

LOCK = threading.Lock()
JOB = {"accelerator": "cpu", "container_image": sys.executable}


def waiter(lock):
    def wait():
        return lock.locked()

    return wait


def guarded():
    return LOCK.locked()


def read(file):
    return file


with DAG("unpicklable", schedule=None, default_args=JOB):
    KineticRunOperator(task_id="closure", python_callable=waiter(threading.Lock()))
    KineticRunOperator(task_id="global", python_callable=guarded)
    KineticRunOperator(task_id="keyword", python_callable=read, op_kwargs={"file": {"deep": [LOCK]}})
    KineticRunOperator(task_id="position", python_callable=read, op_args=[(x for x in "abc")])
