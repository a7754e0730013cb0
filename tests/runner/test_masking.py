"""Whatever way output is cut, nothing of a secret is shown, and nothing else is changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.masking import LONGEST, Masking
from airflow_provider_kinetic.job.redaction import named_values, redact

SECRETS = ["hunter2-hunter2", "postgres://me:pw@host", "hunter2", "terms.*of[a+regex"]


def shown(pieces, hidden=SECRETS):
    masking = Masking(hidden)
    return b"".join([*(masking.feed(piece) for piece in pieces), masking.end()])


def cut(data, at):
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


texts = st.lists(st.sampled_from([*SECRETS, "hunter", "post", "\n", " ", "step 1", "é", "2"])).map("".join)


@given(texts, st.data())
def test_no_secret_is_seen_however_it_is_cut(text, data):
    raw = text.encode()
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=8).map(sorted))
    result = shown(cut(raw, places))
    assert not any(secret.encode() in result for secret in SECRETS)


@given(texts)
def test_byte_by_byte_it_is_what_it_is_at_once_where_no_secret_begins_another(text):
    hidden = [secret for secret in SECRETS if secret != "hunter2"]
    raw = text.encode()
    assert shown([raw[at : at + 1] for at in range(len(raw))], hidden) == shown([raw], hidden)


@given(st.lists(st.binary(max_size=50)))
def test_other_bytes_pass_as_they_are(pieces):
    assert shown(pieces, ["a secret that nobody prints"]) == b"".join(pieces)
    assert shown(pieces, []) == b"".join(pieces)


def test_what_is_no_beginning_of_a_secret_is_shown_at_once():
    masking = Masking(SECRETS)
    assert masking.feed(b"loss 0.5") == b"loss 0.5"
    assert masking.feed(b" at post") == b" at "
    assert masking.feed(b"!") == b"post!"
    assert masking.feed(b"hunter\n") == b"hunter\n"


def test_the_longer_secret_is_masked_as_one():
    assert shown([b"<hunter2-hunter2>"]) == b"<***>"


def test_of_secrets_that_overlap_nothing_is_left():
    assert shown([b"<abcdef12secret>"], ["abcdef12", "def12secret"]) == b"<***>"


def test_no_more_than_a_beginning_is_held():
    masking = Masking(["x" * 10 * LONGEST])
    assert len(masking.feed(b"x" * 3 * LONGEST)) == 2 * LONGEST


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (" padded-secret\n", "padded-secret"),
        ("user: me\n        \n  password: hunter2-hunter2\n", "password: hunter2-hunter2"),
        ('with "quotes"\\', r'{"k": "with \"quotes\"\\"}'),
        ("schlüssel", r'{"k": "schl\u00fcssel"}'),
        ("line one\r\nline two\r\n", "line two"),
    ],
)
def test_it_is_found_in_the_ways_it_is_printed(value, printed):
    hidden = named_values({"KINETIC_MASKED": "KEY MISSING", "KEY": value})
    masked = shown([printed.encode()], hidden).decode()
    assert "***" in masked
    assert masked.replace('{"k": "', "").strip('"}') == "***"
    assert shown([b"        indented"], hidden) == b"        indented"


def test_short_and_empty_values_are_left_alone():
    assert named_values({"KINETIC_MASKED": "A B", "A": "", "B": "12345"}) == []


def test_a_number_is_no_secret_for_its_name_alone():
    environ = {"MAX_TOKENS": "131072", "API_KEY": "hunter2-hunter2", "PIN": "987654", "KINETIC_MASKED": "PIN"}
    assert redact("131072 hunter2-hunter2 987654", environ) == "131072 *** ***"
