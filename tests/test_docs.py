"""The programs in the documentation run as they are printed."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.demo import simulate
from tests.simulated import SETUP

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("stage", ["wake", "asr", "nlu", "er", "result", "tts", None])
def test_every_stage_can_be_replaced_as_the_page_on_the_assistant_says(
    stage: str | None, tmp_path: Path, demo_trained: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / "assistant.md").read_text(), re.S)
    if stage:
        # One stage of one's own, the others those of the release.
        program = re.sub(rf"^        (?!{stage}=|stages)\w+=.*\n", "", program, flags=re.M)
    (tmp_path / "my_stages.py").write_text(program)
    spec = importlib.util.spec_from_file_location("my_stages", tmp_path / "my_stages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_stages"] = module
    try:
        spec.loader.exec_module(module)
        mine = replace(SETUP, adapt=module.adapt)
        batches = list(simulate(60, mine, processes=1, trained=demo_trained))
    finally:
        del sys.modules["my_stages"]
    versions = batches[0][0].record["versions"]
    own = {name for name, version in versions.items() if version.endswith("-0.1")}
    assert own == ({stage} if stage else {"wake", "asr", "nlu", "er", "result", "tts"})
