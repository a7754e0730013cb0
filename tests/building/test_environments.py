"""On the local platform the image is an environment, which a process of its own builds."""

from __future__ import annotations

import pytest
from image_shop import Place

from airflow_provider_kinetic.builders.local import LocalBuilder
from airflow_provider_kinetic.model.errors import ImageError


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_task_waits_for_the_environment_that_it_needs(place: Place, deferrable: bool) -> None:
    place.equip(LocalBuilder(place.shop.folder / "environments", base_packages=()))
    place.task("def f():\n    return sys.prefix", deferrable=deferrable, requirements=[])
    result = place.shop.run()
    assert result.value.startswith(str(place.shop.folder / "environments")), result.log
    assert f"file://{result.value}" == result.xcoms["image"]
    assert len(result.deferrals) == (1 if deferrable else 0)
    assert place.shop.run(run_id="run_2").value == result.value


def test_an_environment_that_cannot_be_built_says_why(place: Place) -> None:
    place.equip(LocalBuilder(place.shop.folder / "environments", base_packages=()))
    place.task(deferrable=True, requirements=["--no-index", "kinetic-nothing-at-all"])
    result = place.shop.run()
    assert isinstance(result.error, ImageError), result.error
    assert "kinetic-nothing-at-all" in result.error.summary
    assert "file://" in result.error.advice, "the log"
    assert place.shop.calls == []
