"""Functions of every kind, written as users write them. What each returns stands in test_functions.py."""

from __future__ import annotations

import asyncio
import functools
import sys
from dataclasses import dataclass, field

import taxes
from airflow.sdk import DAG, task
from bakery import prices

from airflow_provider_kinetic import KineticRunOperator

FACTOR = 3


def tripled(x):
    return FACTOR * x


def factorial(n):
    return n * factorial(n - 1) if n else 1


def is_even(n):
    return is_odd(n - 1) if n else True


def is_odd(n):
    return is_even(n - 1) if n else False


@dataclass
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=lambda: ["new"])

    def moved(self, by: int) -> Point:
        return Point(self.x + by, self.y + by, [*self.tags, "moved"])


class Model:
    def __init__(self, weight):
        self.weight = weight

    def predict(self, x):
        return self.weight * tripled(x)

    @classmethod
    def named(cls, name):
        return cls.__name__ + name

    @staticmethod
    def half(x):
        return x / 2

    def __call__(self, x):
        return self.predict(x) + 1


def adder(by):
    count = 0

    def add(x):
        nonlocal count
        count += 1
        return x + by + count

    return add


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["logged", function(*args, **kwargs)]

    return wrapper


async def later(x):
    await asyncio.sleep(0)
    return tripled(x)


async def slow_sum(*values, start=0):
    return start + sum(await asyncio.gather(*(later(value) for value in values)))


with DAG("functions", schedule=None, default_args={"accelerator": "cpu", "container_image": sys.executable}) as dag:

    @task.kinetic
    def bare():
        return 42

    @task.kinetic(task_id="renamed")
    def with_arguments(first, /, *rest, named, **more):
        return [first, rest, named, more]

    @task.kinetic
    def defaults(a, b=FACTOR, *, c=("x", "y"), d=None):
        return [a, b, c, d]

    @task.kinetic
    def helpers_of_the_file():
        return [tripled(2), factorial(5), is_even(7), vars(Point(1).moved(2)), Model(2).predict(5)]

    @task.kinetic
    def helper_modules():
        from bakery.stock import count

        return [taxes.taxed(2), prices.total(), count("four")]

    @task.kinetic
    @logged
    def decorated(x):
        return x

    @task.kinetic
    async def awaited(x):
        return await later(x)

    bare()
    with_arguments(1, 2, 3, named="n", extra=[4])
    defaults(1, d={"k": None})
    helpers_of_the_file()
    helper_modules()
    decorated("x")
    awaited(4)

    KineticRunOperator(task_id="closure", python_callable=adder(10), op_args=[1])
    KineticRunOperator(task_id="lambda", python_callable=lambda x, k=FACTOR: tripled(x) + k, op_args=[1])
    KineticRunOperator(task_id="method", python_callable=Model(2).predict, op_args=[5])
    KineticRunOperator(task_id="class_method", python_callable=Model.named, op_args=["!"])
    KineticRunOperator(task_id="static_method", python_callable=Model(1).half, op_args=[5])
    KineticRunOperator(task_id="callable_object", python_callable=Model(2), op_args=[5])
    KineticRunOperator(task_id="class", python_callable=dict, op_kwargs={"a": 1})
    KineticRunOperator(task_id="builtin", python_callable=sum, op_args=[[1, 2, 3]])
    KineticRunOperator(
        task_id="partial", python_callable=functools.partial(slow_sum, 1, start=100), op_args=[2], deferrable=True
    )
