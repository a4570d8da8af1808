"""Where experiments are meant to differ from their sources: read from ledgers, shown under a paper's tables."""

import pytest

from mim.paper.deviations import Deviation, deviations
from mim.paper.markdown import markdown
from mim.paper.table import read

LEDGER = """
experiments:
  - name: mae/imagenet_vit_base
    epochs: 400
    deviations:
      - {field: lr.min, source: 0.0, ours: null, reason: none is needed}
  - name: mae/finetune_vit_base
    deviations:
      - {field: mixup, source: 0.8, ours: 0.7, reason: fewer}
      - {field: crop, source: bicubic, ours: bilinear, reason: faster}
  - name: mae/of_another_paper
    deviations: [{field: a, source: b, ours: c, reason: d}]
  - name: mae/exact
"""


def test_deviations_are_read_by_experiment(tmp_path):
    (tmp_path / "mae.yaml").write_text(LEDGER)
    found = deviations(tmp_path)
    assert found["mae/imagenet_vit_base"] == [Deviation("lr.min", "0.0", "none", "none is needed")]
    assert [one.field for one in found["mae/finetune_vit_base"]] == ["mixup", "crop"]
    assert "mae/exact" not in found


def test_no_ledgers_are_no_deviations(tmp_path):
    assert deviations(tmp_path / "absent") == {}


def test_a_deviation_without_a_reason_is_refused(tmp_path):
    (tmp_path / "mae.yaml").write_text(LEDGER.replace(", reason: fewer", ""))
    with pytest.raises(ValueError, match=r"mae\.yaml, mae/finetune_vit_base: a deviation lacks reason; it has field,"):
        deviations(tmp_path)


def test_those_of_a_papers_commands_stand_under_its_tables(tmp_path):
    (tmp_path / "mae.yaml").write_text(LEDGER)
    (tmp_path / "paper").write_text("""
title: A paper
source: here
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged: {fine-tuning: train.py experiment=mae/finetune_vit_base}
    rows: [{trained: a, by: train.py experiment=mae/imagenet_vit_base epochs=1, published: {fine-tuning: 80.0}}]
""")
    text = markdown(read(tmp_path / "paper"), deviations(tmp_path))
    assert text.endswith("""
### Where a command differs from its source

- `mae/imagenet_vit_base`
  - lr.min: 0.0 in the source, none here: none is needed
- `mae/finetune_vit_base`
  - mixup: 0.8 in the source, 0.7 here: fewer
  - crop: bicubic in the source, bilinear here: faster""")
    assert "differs from its source" not in markdown(read(tmp_path / "paper"))
