"""Which images are not worth their space any more: a judgement, and no deed.

Whoever needs a pruned image again builds it again, so age is enough; but a job that is not over must not lose the image
that it starts from again after a preemption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_kinetic.clusters.base import JobSummary
from airflow_provider_kinetic.model.images import BuiltImage


@dataclass(frozen=True)
class JudgedImage:
    """An image, and whether it is to go."""

    image: BuiltImage
    due: bool
    why: str
    jobs: tuple[str, ...] = ()
    """Ids of the jobs that use it."""


def category_of(tag: str) -> str:
    """``cpu``, ``gpu`` or ``tpu``: tags begin with it."""
    return tag.partition("-")[0]


def users(jobs: Iterable[JobSummary]) -> dict[str, tuple[str, ...]]:
    """Ids of the jobs that are not over, by the image that they run in."""
    found: dict[str, tuple[str, ...]] = {}
    for job in jobs:
        for image in () if job.status.state.terminal else job.images:
            found[image] = (*found.get(image, ()), job.job_id)
    return found


def judge_images(
    images: Sequence[BuiltImage], used: Mapping[str, tuple[str, ...]], *, older_than: float, keep: int, now: float
) -> list[JudgedImage]:
    """Judge every image; the order stays.

    :param used: see :func:`users`.
    :param older_than: seconds since its build for which an image is kept.
    :param keep: how many of each category are kept, the newest.
    """
    newest_first = sorted(images, key=lambda image: image.created or 0.0, reverse=True)
    ranks: Counter[str] = Counter()
    verdicts = {}
    for image in newest_first:
        category = category_of(image.tag)
        ranks[category] += 1
        verdicts[image.tag] = _judge(image, used.get(image.uri, ()), ranks[category] <= keep, older_than, now)
    return [verdicts[image.tag] for image in images]


def _judge(image: BuiltImage, jobs: tuple[str, ...], among_newest: bool, older_than: float, now: float) -> JudgedImage:
    if jobs:
        return JudgedImage(
            image, due=False, why="a job uses it" if len(jobs) == 1 else f"{len(jobs)} jobs use it", jobs=jobs
        )
    if among_newest:
        return JudgedImage(image, due=False, why="among the newest")
    if image.created is None:
        return JudgedImage(image, due=False, why="its age is not known")
    if now - image.created < older_than:
        return JudgedImage(image, due=False, why="not old enough")
    return JudgedImage(image, due=True, why="old and unused")
