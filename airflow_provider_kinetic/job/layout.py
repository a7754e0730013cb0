"""Where things lie under an output directory.

The output directory outlives every job that wrote to it (``checkpointing`` 3.3). Our own records are
kept under ``.kinetic/``: what a reader needs of a trial is one listing of that prefix. Everything
that must survive the deletion of ``{store root}/{job id}/`` (anybody may delete that blindly,
``contract`` M11) is kept under ``.kinetic/jobs/{job id}/``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrialLayout:
    """URIs below one output directory (``file://`` or ``gs://``, without a final slash)."""

    output_dir: str

    @property
    def records(self) -> str:
        return f"{self.output_dir}/.kinetic"

    @property
    def checkpoints(self) -> str:
        """Ours are here. Native Orbax steps (``1200``) are found here and in the output directory itself."""
        return f"{self.output_dir}/checkpoints"

    @property
    def trial(self) -> str:
        return f"{self.records}/trial.json"

    @property
    def attempts(self) -> str:
        return f"{self.records}/attempts/"

    def attempt(self, number: int) -> str:
        """Create-only record of a start; attempts are numbered from 1 over all jobs of the trial."""
        return f"{self.attempts}{number:04d}.json"

    def attempt_end(self, number: int) -> str:
        return f"{self.attempts}{number:04d}.end.json"

    def stop_notice(self, number: int, process: int = 0) -> str:
        """Exists from the moment this attempt was asked to stop, on the machine of that process."""
        return f"{self.stop_notices(number)}{process}.json"

    def stop_notices(self, number: int) -> str:
        """Prefix of the notices of all processes."""
        return f"{self.records}/preempt/a{number:04d}-p"

    @property
    def meetings(self) -> str:
        return f"{self.records}/hosts/"

    def meeting(self, attempt: int, number: int) -> str:
        """Folder of what the processes of one attempt tell each other, in each of its lives."""
        return f"{self.meetings}a{attempt:04d}-{number:04d}/"

    @property
    def all_parts(self) -> str:
        return f"{self.records}/parts/"

    def parts(self, checkpoint: str) -> str:
        """Folder of what several processes have stored for one checkpoint, until it is complete."""
        return f"{self.all_parts}{checkpoint}/"

    def data(self, checkpoint: str) -> str:
        """Folder of one checkpoint's files."""
        return f"{self.checkpoints}/{checkpoint}"

    @property
    def commits(self) -> str:
        return f"{self.records}/checkpoints/"

    def commit(self, checkpoint: str) -> str:
        """Create-only: a checkpoint exists exactly when this record does (``checkpointing`` 3.5)."""
        return f"{self.commits}{checkpoint}.json"

    @property
    def tombstones(self) -> str:
        return f"{self.records}/tombstones/"

    def tombstone(self, checkpoint: str) -> str:
        """Exists while a checkpoint is being deleted."""
        return f"{self.tombstones}{checkpoint}.json"

    @property
    def pins(self) -> str:
        return f"{self.records}/pins/"

    def pin(self, checkpoint: str) -> str:
        """Exists for a checkpoint that retention must leave alone."""
        return f"{self.pins}{checkpoint}"

    @property
    def metrics(self) -> str:
        return f"{self.records}/metrics/"

    def segment(self, attempt: int, number: int, process: int = 0) -> str:
        """Rows of one process of an attempt, in the order in which they were logged. The first one's are the series."""
        return f"{self.metrics}a{attempt:04d}-p{process}/{number:08d}.jsonl"

    def rest(self, attempt: int, number: int) -> str:
        """Rows that the worker could not send; its supervisor did."""
        return f"{self.metrics}a{attempt:04d}-p0/rest-{number:04d}.jsonl"

    @property
    def summary(self) -> str:
        """Rewritten: enough of all rows for charts."""
        return f"{self.metrics}summary.json"

    @property
    def heartbeat(self) -> str:
        """Overwritten while an attempt runs."""
        return f"{self.records}/heartbeat.json"

    def job(self, job_id: str) -> str:
        """Prefix (with final slash) of what is kept of one job after its clean-up."""
        return f"{self.records}/jobs/{job_id}/"

    def kept(self, job_id: str, name: str) -> str:
        return f"{self.job(job_id)}{name}"

    def logs(self, job_id: str) -> str:
        return f"{self.job(job_id)}logs/"

    def log_chunk(self, job_id: str, attempt: int, sequence: int) -> str:
        """Chunks sort in the order in which they were written."""
        return f"{self.logs(job_id)}{attempt:04d}-{sequence:08d}.log"
