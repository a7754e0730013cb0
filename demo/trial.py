"""What an output directory tells about a training: attempts, checkpoints and how far each attempt came.

Read from the files alone, as anybody could, so that the demo does not believe what the provider says of itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Trial:
    """The output directory of ``train`` of ``dags/kinetic_retrain.py``."""

    directory: Path

    @classmethod
    def of(cls, output_dir: str) -> Trial:
        """``output_dir`` as XCom has it: a path or a ``file://`` URI."""
        parts = urlsplit(output_dir)
        return cls(Path(unquote(parts.path) if parts.scheme == "file" else output_dir))

    def attempts(self) -> list[dict[str, Any]]:
        """The record that each attempt wrote when it started, oldest first."""
        found = sorted((self.directory / ".kinetic" / "attempts").glob("*.json"))
        return [json.loads(path.read_text()) for path in found if path.stem.isdecimal()]

    def committed(self) -> int:
        """The newest step with a finished checkpoint; 0 where there is none."""
        steps = (path.name for path in (self.directory / "checkpoints").glob("*"))
        return max((int(name) for name in steps if name.isdecimal()), default=0)

    def reached(self, start: int) -> int:
        """The last step that is on record of the attempt that started at step ``start``."""
        try:
            lines = (self.directory / "metrics" / f"from-{start:06}.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return start
        return max((int(json.loads(line)["step"]) for line in lines if line.endswith("}")), default=start)


def resumed_at(attempt: dict[str, Any]) -> int:
    """The step of the checkpoint that was there when the attempt started; 0 where there was none."""
    checkpoint = (attempt.get("parent") or {}).get("checkpoint") or {}
    return int(checkpoint.get("step", 0))
