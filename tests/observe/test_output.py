"""Output of jobs that write no log chunks: what the machine still has, without what was shown."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.lifecycle.logs import TAIL_LINES, output_after
from airflow_provider_kinetic.lifecycle.ports import Ports
from airflow_provider_kinetic.model.handle import JobHandle

HANDLE = JobHandle(*("job-1", "gke", "p", "c", "z", "n", "b", "kinetic-job-1", "i", "cpu", "f", "d", "2026"))


class Machine:
    printed = ""

    def tail(self, _handle: JobHandle, lines: int) -> str:
        return "".join(self.printed.splitlines(keepends=True)[-lines:])


def shown(machine: Machine, cursor: str, *, last: bool = False) -> tuple[str, str]:
    """The new cursor and the new text."""
    nothing: Any = None
    ports = Ports(machine, nothing, nothing)  # type: ignore[arg-type]
    return next(output_after(ports, HANDLE, cursor, last=last), (cursor, ""))


@given(
    st.lists(st.lists(st.integers(0, 9999).map(lambda n: f"line {n} of {n}\n"), max_size=30, unique=True), max_size=6)
)
def test_every_line_is_shown_once(pieces):
    machine, cursor, seen = Machine(), "", ""
    for number, piece in enumerate(pieces):
        machine.printed += "".join(f"{number}: {line}" for line in piece)
        cursor, text = shown(machine, cursor)
        seen += text

    assert seen == machine.printed


def test_a_line_without_an_end_waits_for_it_or_for_the_end_of_the_job():
    machine = Machine()
    machine.printed = "one\ntw"
    cursor, text = shown(machine, "")
    assert text == "one\n"

    machine.printed = "one\ntwo\nthr"
    cursor, text = shown(machine, cursor)
    assert text == "two\n"
    assert shown(machine, cursor, last=True)[1] == "thr\n"


def test_a_machine_that_is_gone_shows_nothing():
    assert shown(Machine(), "tail-0123456789abcdef", last=True) == ("tail-0123456789abcdef", "")


def test_what_is_printed_faster_than_it_is_read_is_skipped_not_repeated():
    machine = Machine()
    machine.printed = "".join(f"{n}\n" for n in range(TAIL_LINES * 2))
    cursor, text = shown(machine, "")
    assert text.splitlines()[0] == str(TAIL_LINES)

    machine.printed += "".join(f"{n}\n" for n in range(TAIL_LINES * 2, TAIL_LINES * 4))
    assert shown(machine, cursor)[1].splitlines()[0] == str(TAIL_LINES * 3)
