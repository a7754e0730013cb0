"""The function is called once, with its arguments, and its value comes back."""

from __future__ import annotations

import sys


def test_value(job):
    def add(a, b, *, c):
        return a + b + c

    ended = job.call(add, 1, 2, c=3).run()
    assert ended.code == 0, ended.output
    assert job.result() == {
        "success": True,
        "result": 6,
        "exception": None,
        "traceback": None,
        "phase": "execute",
        "host_index": 0,
    }
