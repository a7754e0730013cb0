"""The Python of the pages is a DAG file that Airflow can load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
CODE = [
    (f"{page.stem}_{number}", code)
    for page in PAGES
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    )
    if "@dag" in code
]


@pytest.mark.parametrize(("file", "code"), CODE, ids=[file for file, _ in CODE])
def test_it_loads(project, file, code):
    dag = project.write(file, code.replace("def retrain()", f"def {file}()").replace("\nretrain()", f"\n{file}()"))
    assert dag.tasks
