"""Whoever passes a lock must read "closure variable 'lock' of train()", not "cannot pickle '_thread.lock' object"."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_kinetic.model.errors import InfrastructureError, SerializationError

IN_FUNCTION = {
    "closure": (
        "def make():\n lock = threading.Lock()\n def train(): return lock\n return train\nfunc = make()",
        "closure variable 'lock' of train()",
    ),
    "global": ("LOCK = threading.Lock()\ndef train(): return LOCK\nfunc = train", "global variable 'LOCK' of train()"),
    "default": ("def train(x=threading.Lock()): return x\nfunc = train", "default of parameter 'x' of train()"),
    "keyword default": ("def train(*, x=threading.Lock()): 0\nfunc = train", "default of parameter 'x' of train()"),
    "helper": (
        "LOCK = threading.Lock()\ndef help_(): return LOCK\ndef train(): return help_()\nfunc = train",
        "global variable 'LOCK' of help_()",
    ),
    "attribute of self": (
        "class M:\n def __init__(self): self.lock = threading.Lock()\n def train(self): 0\nfunc = M().train",
        "the object `self`.lock of train()",
    ),
    "callable object": (
        "class M:\n def __init__(self): self.lock = threading.Lock()\n def __call__(self): 0\nfunc = M()",
        "attribute 'lock' of __call__()",
    ),
    "partial": (
        "import functools\ndef train(x): 0\nfunc = functools.partial(train, threading.Lock())",
        "bound argument 0 of train()",
    ),
    "partial keyword": (
        "import functools\ndef train(x): 0\nfunc = functools.partial(train, x=[threading.Lock()])",
        "bound keyword argument 'x'[0] of train()",
    ),
    "nested value": (
        "STATE = {'a': [1, {'b': threading.Lock()}]}\ndef train(): return STATE\nfunc = train",
        "global variable 'STATE'['a'][1]['b'] of train()",
    ),
    "decorated": (
        "import functools\ndef deco(f):\n lock = threading.Lock()\n @functools.wraps(f)\n def w(): return lock, f\n"
        " return w\n@deco\ndef train(): 0\nfunc = train",
        "closure variable 'lock' of train()",
    ),
}


@pytest.mark.parametrize(("source", "where"), IN_FUNCTION.values(), ids=IN_FUNCTION.keys())
def test_in_the_function(load: Any, job: Any, source: str, where: str) -> None:
    with pytest.raises(SerializationError) as caught:
        job.pack(load(dag="import threading\n" + source).func)
    assert caught.value.summary == f"Cannot pickle {where}: cannot pickle '_thread.lock' object"
    assert "inside the function" in caught.value.advice
    assert isinstance(caught.value.__cause__, TypeError)
    assert list(job.folder.iterdir()) == []


def test_attribute_of_a_project_module(load: Any, job: Any) -> None:
    dag = load(
        helpers="import threading\nLOCK = threading.Lock()\ndef f(): return 1",
        dag="import helpers\ndef func(): return helpers.f(), helpers.LOCK",
    )
    with pytest.raises(SerializationError, match=r"global variable 'helpers\.LOCK' of func\(\)"):
        job.pack(dag.func)


class _Model:
    def __init__(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((threading.Lock(),), {}, "argument 0 of func()"),
        ((1, [2, {"x": threading.Lock()}]), {}, "argument 1[1]['x'] of func()"),
        ((1,), {"model": _Model()}, "keyword argument 'model'.lock of func()"),
    ],
)
def test_in_the_arguments(load: Any, job: Any, args: Any, kwargs: Any, where: str) -> None:
    with pytest.raises(SerializationError) as caught:
        job.pack(load(dag="def func(*a, **k): 0").func, *args, **kwargs)
    assert caught.value.summary.startswith(f"Cannot pickle {where}: ")


def test_too_deep(load: Any, job: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SerializationError, match=r"argument 0.* of func\(\)") as caught:
        job.pack(load(dag="def func(x): 0").func, deep)
    assert "nested too deeply" in caught.value.advice
    while deep:  # taken apart by hand: the interpreter would do it recursively
        deep = deep[0]


def test_generator(load: Any, job: Any) -> None:
    with pytest.raises(SerializationError, match="argument 0") as caught:
        job.pack(load(dag="def func(x): 0").func, (i for i in range(3)))
    assert "`list(...)`" in caught.value.advice


def test_open_file(load: Any, job: Any, tmp_path: Path) -> None:
    with (tmp_path / "data").open("wb") as file, pytest.raises(SerializationError, match="argument 0") as caught:
        job.pack(load(dag="def func(x): 0").func, file)
    assert caught.value.advice.startswith("Open the file inside the function")


def test_objects_of_airflow(load: Any, job: Any) -> None:
    class RuntimeTaskInstance:
        def __reduce__(self) -> Any:
            raise TypeError("no")

    RuntimeTaskInstance.__module__ = "airflow.sdk.execution_time.task_runner"

    class GCSHook(RuntimeTaskInstance): ...

    GCSHook.__module__ = "airflow.providers.google.cloud.hooks.gcs"

    func = load(dag="def func(**k): 0").func
    with pytest.raises(SerializationError, match="keyword argument 'ti'") as caught:
        job.pack(func, ti=RuntimeTaskInstance())
    assert "`run_id`" in caught.value.advice
    with pytest.raises(SerializationError, match="keyword argument 'hook'") as caught:
        job.pack(func, hook=GCSHook())
    assert "no Airflow connections" in caught.value.advice


def test_user_error_while_pickling_is_the_cause(load: Any, job: Any) -> None:
    dag = load(dag="class A:\n def __reduce__(self): raise OSError('mine')\nA1 = A()\ndef func(x): 0")
    with pytest.raises(SerializationError, match=r"argument 0 of func\(\): mine") as caught:
        job.pack(dag.func, dag.A1)
    assert isinstance(caught.value.__cause__, OSError)


def test_objects_that_cannot_even_be_looked_at(load: Any, job: Any) -> None:
    dag = load(
        dag="""
            class Hostile(dict):
                def __reduce_ex__(self, protocol): raise TypeError("not me")
                def items(self): raise RuntimeError("nor this")
            HOSTILE = Hostile()
            def func(x): 0
        """
    )
    with pytest.raises(SerializationError, match=r"the call of func\(\): not me"):
        job.pack(dag.func, dag.HOSTILE)


def test_full_disk_is_not_the_functions_fault(load: Any, job: Any) -> None:
    (job.folder / "payload.pkl").symlink_to("/dev/full")
    func = load(dag="def func(x): 0").func
    with pytest.raises(InfrastructureError, match="No space left") as caught:
        job.pack(func, bytes(200_000))
    assert "TMPDIR" in caught.value.advice
    assert list(job.folder.iterdir()) == []
