"""Which variables travel, and which of them travel as secrets (contract 6.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kinetic.job.redaction import looks_secret
from airflow_provider_kinetic.packaging.environment import NEVER_BY_WILDCARD, Captured, capture, split

ENVIRON = {"MODEL": "small", "MODEL_DIR": "/m", "WANDB_API_KEY": "k", "PATH": "/bin", "HOME": "/root", "EMPTY": ""}


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (None, {}),
        ([], {}),
        (["MODEL"], {"MODEL": "small"}),
        (["MODEL*"], {"MODEL": "small", "MODEL_DIR": "/m"}),
        (["MODEL_*", "EMPTY"], {"MODEL_DIR": "/m", "EMPTY": ""}),
        (["MISSING", "MISSING_*"], {}),
        (["model"], {}),
        (["*"], {"MODEL": "small", "MODEL_DIR": "/m", "EMPTY": ""}),
        (["PA*", "HOME*"], {}),
        (["*", "PATH"], {"MODEL": "small", "MODEL_DIR": "/m", "EMPTY": "", "PATH": "/bin"}),
    ],
)
def test_plain_variables(names: list[str] | None, plain: dict[str, str]) -> None:
    assert capture(names, ENVIRON).plain == plain


def test_secrets_are_apart() -> None:
    assert capture(["WANDB*", "MODEL"], ENVIRON) == Captured({"MODEL": "small"}, {"WANDB_API_KEY": "k"})
    assert split({"A": "1", "db_Password": "2"}) == Captured({"A": "1"}, {"db_Password": "2"})


@pytest.mark.parametrize("name", ["HF_TOKEN", "my_secret", "ApiKey", "PASSWORD_FILE", "GOOGLE_APPLICATION_CREDENTIALS"])
def test_names_that_look_secret(name: str) -> None:
    assert looks_secret(name)


def test_machine_variables_by_exact_name_only() -> None:
    environ = dict.fromkeys(NEVER_BY_WILDCARD, "x")
    assert capture(["*"], environ) == Captured()
    assert capture(sorted(NEVER_BY_WILDCARD), environ).plain == environ


@given(st.dictionaries(st.text(), st.text()))
def test_split_loses_nothing(env: dict[str, str]) -> None:
    parts = split(env)
    assert {**parts.plain, **parts.secret} == env
    assert not parts.plain.keys() & parts.secret.keys()
