"""A function as the user wrote it runs in an interpreter that has neither the DAG file nor the project."""

from __future__ import annotations

import functools
import pickle
import platform
import sys
from typing import Any

import cloudpickle
import pytest

import airflow_provider_kinetic
from airflow_provider_kinetic.model.errors import SerializationError

HELPERS = """
    import threading
    from dataclasses import dataclass

    LOCK = threading.Lock()
    TABLE = bytes(3_000_000)
    RATE = 3

    @dataclass(frozen=True)
    class Size:
        wide: int
        high: int = 2

    def area(size):
        return size.wide * size.high * RATE

    def is_size(value):
        return isinstance(value, Size)

    def whole_module_is_not_needed():
        return LOCK, TABLE
"""

CASES = {
    "closure": (
        """
        def make(n):
            def add(x):
                return x + n
            return add
        func = make(40)
        """,
        42,
    ),
    "default": ("def func(x, y=40): return x + y", 42),
    "keyword only": ("def func(x, *, y=40): return x + y", 42),
    "lambda": ("func = lambda x: x + 40", 42),
    "coroutine": ("async def func(x): return x + 40", 42),
    "generator consumed": ("def func(x): return sum(i for i in range(x * 7)) - 49", 42),
    "partial": ("import functools\ndef add(x, y): return x + y\nfunc = functools.partial(add, y=40)", 42),
    "recursion": ("def func(n): return 1 if n < 2 else n * func(n - 1)", 2),
    "helper and constant of the file": ("N = 40\ndef helper(x): return x + N\ndef func(x): return helper(x)", 42),
    "mutual helpers": (
        """
        def even(n): return n == 0 or odd(n - 1)
        def odd(n): return n != 0 and even(n - 1)
        def func(x): return [even(x), odd(x)]
        """,
        [True, False],
    ),
    "method": (
        """
        class Model:
            def __init__(self, n): self.n = n
            def predict(self, x): return x + self.n
        func = Model(40).predict
        """,
        42,
    ),
    "method of a local class": (
        """
        def make():
            class Model:
                n = 40
                def predict(self, x): return x + self.n
            return Model()
        func = make().predict
        """,
        42,
    ),
    "class method": ("class A:\n    n = 40\n    @classmethod\n    def f(cls, x): return x + cls.n\nfunc = A.f", 42),
    "callable object": ("class A:\n    def __call__(self, x): return x + 40\nfunc = A()", 42),
    "decorated": (
        """
        import functools
        def twice(f):
            @functools.wraps(f)
            def wrapper(x): return f(f(x))
            return wrapper
        @twice
        def func(x): return x + 20
        """,
        42,
    ),
    "dataclass and enum of the file": (
        """
        import dataclasses, enum
        class Kind(enum.Enum):
            BIG = 40
        @dataclasses.dataclass
        class Point:
            x: int
            kind: Kind = Kind.BIG
        def func(x):
            p = Point(x)
            assert p.kind is Kind.BIG and dataclasses.asdict(p)["x"] == x
            return p.x + p.kind.value
        """,
        42,
    ),
    "super and properties": (
        """
        class Base:
            @property
            def n(self): return 20
        class Child(Base):
            @property
            def n(self): return super().n * 2
        def func(x): return x + Child().n
        """,
        42,
    ),
    "standard library": ("import os.path, json\ndef func(x): return json.loads(os.path.basename('/a/42'))", 42),
}


@pytest.mark.parametrize(("source", "expected"), CASES.values(), ids=CASES.keys())
def test_dag_file_function(load: Any, job: Any, source: str, expected: object) -> None:
    assert job.run(load(dag=source).func, 2) == expected


def test_partial_of_a_method_made_at_call_time(load: Any, job: Any) -> None:
    dag = load(dag="class A:\n    n = 1\n    def f(self, a, b): return a + b + self.n")
    assert job.run(functools.partial(dag.A().f, 2), b=3) == 6


def test_helper_imported_from_the_project(load: Any, job: Any) -> None:
    dag = load(helpers=HELPERS, dag="from helpers import Size, area\ndef func(w): return area(Size(w))")
    payload = job.pack(dag.func, 5)
    assert job.open(payload) == 30
    assert payload.modules == ("helpers", dag.__name__)


def test_module_used_by_attribute_brings_only_what_is_used(load: Any, job: Any) -> None:
    """The module has a lock and 3 MB of data; neither is reached."""
    dag = load(
        helpers=HELPERS,
        dag="""
            import helpers
            from helpers import Size
            def func(w):
                size = helpers.Size(w)
                return [helpers.area(size), helpers.is_size(size), isinstance(size, Size), helpers.RATE]
        """,
    )
    payload = job.pack(dag.func, 5)
    assert job.open(payload) == [30, True, True, 3]
    assert payload.artifact.size < 10_000


@pytest.mark.parametrize("package", [{"market/__init__.py": ""}, {}], ids=["package", "folder"])
def test_module_of_a_package_used_through_its_path(load: Any, job: Any, package: dict[str, str]) -> None:
    prices = "import threading\nLOCK = threading.Lock()\ndef price(n): return n * FACTOR\nFACTOR = 7"
    dag = load(
        {**package, "market/prices.py": prices},
        dag="import market.prices\ndef func(n): return market.prices.price(n)",
    )
    payload = job.pack(dag.func, 6)
    assert job.open(payload) == 42
    assert payload.modules == ("market", "market.prices", dag.__name__)


def test_module_in_a_closure(load: Any, job: Any) -> None:
    dag = load(
        helpers=HELPERS,
        dag="""
            def make():
                import helpers
                def func(w):
                    return helpers.area(helpers.Size(w))
                return func
            func = make()
        """,
    )
    assert job.run(dag.func, 5) == 30


def test_module_handed_on_as_a_value_goes_whole(load: Any, job: Any) -> None:
    dag = load(
        constants="A = 1\nB = 2",
        dag="import constants\ndef func(name): return getattr(constants, name)",
    )
    assert job.run(dag.func, "B") == 2


def test_attribute_of_a_nested_function(load: Any, job: Any) -> None:
    dag = load(
        helpers=HELPERS,
        dag="import helpers\ndef func(w):\n def inner(): return [helpers.RATE for _ in range(w)]\n return inner()",
    )
    assert job.run(dag.func, 2) == [3, 3]


def test_modules_that_are_not_reached_do_not_travel(load: Any, job: Any) -> None:
    dag = load(helpers=HELPERS, dag="import helpers\ndef func(x): return x\ndef other(): return helpers.area")
    assert job.pack(dag.func, 1).modules == (dag.__name__,)


@pytest.mark.parametrize("folder", [".venv/lib", "site-packages", "node_modules"])
def test_installed_modules_go_by_reference(load: Any, job: Any, project: Any, folder: str, monkeypatch: Any) -> None:
    installed = project / folder
    installed.mkdir(parents=True)
    (installed / "thirdparty.py").write_text("def f(x): return x + 1")
    monkeypatch.syspath_prepend(str(installed))
    dag = load(dag="from thirdparty import f\ndef func(x): return f(x)")
    payload = job.pack(dag.func, 1)
    assert payload.modules == (dag.__name__,)
    assert b"thirdparty" in payload.artifact.path.read_bytes()


def test_registry_of_cloudpickle_is_left_as_it_was(load: Any, job: Any) -> None:
    dag = load(
        helpers=HELPERS, dag="import threading, helpers\nL = threading.Lock()\ndef func(): return helpers.area, L"
    )
    cloudpickle.register_pickle_by_value(sys.modules["helpers"])
    try:
        with pytest.raises(SerializationError, match="global variable 'L'"):
            job.pack(dag.func)
        assert cloudpickle.list_registry_pickle_by_value() == {"helpers"}
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules["helpers"])


def test_what_the_job_is_told(load: Any, job: Any, project: Any) -> None:
    dag = load({"dags/dag.py": "def func(x): return x"})
    payload = job.pack(dag.func, 1, y=2)
    content = pickle.loads(payload.artifact.path.read_bytes())
    func = content.pop("func")
    assert func is not dag.func
    assert content == {
        "args": (1,),
        "kwargs": {"y": 2},
        "env_vars": {"COLOUR": "blue"},
        "has_data_refs": False,
        "client_fingerprint": {
            "python": platform.python_version(),
            "cloudpickle": cloudpickle.__version__,
            "kinetic": airflow_provider_kinetic.__version__,
        },
        "working_dir": str(project / "dags"),
        "package_root": str(project),
        "entry_rel": "dags",
        "client_cwd_rel": None,
        "sys_path_rel": [""],
    }
