"""The ledger of recipes: what is shared is filled in, what is ours has a reason, and both stand
under a paper's tables.
"""

import pytest

from mim.paper.ledger import Deviation, deviations, papers, read_recipes, unmade
from mim.paper.markdown import markdown
from mim.paper.table import read

LEDGER = """
experiments:
  - name: mae/base
    kind: pretrain
    epochs: 400
    lr: {peak: 0.1, min: null}
    crop: {paper: a, release: b}
    ours:
      - {why: none is needed, values: {lr.min: 0.0}}
      - {why: the paper decides, values: {crop: a}}
  - name: mae/large
    like: mae/base
    without: [crop, [lr, peak]]
    lr: {base: 0.2}
    ours: []
  - name: mae/other
    kind: finetune
    proposed: true
    ours:
      - {why: it does not say, as: mae/base, fields: [epochs, lr]}
"""


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "mae.yaml").write_text(LEDGER)
    return tmp_path


def test_an_experiment_has_what_it_shares_and_what_is_its_own(ledger):
    large = read_recipes("mae", ledger)["mae/large"]
    assert large.source["lr"] == {"min": None, "base": 0.2}
    assert "crop" not in large.source
    assert large.expected("epochs") == 400
    assert large.command == "train.py experiment=mae/large"
    with pytest.raises(KeyError, match=r"lr\.peak"):
        large.expected("lr.peak")


def test_what_is_ours_counts_before_what_the_source_says(ledger):
    base, _, other = read_recipes("mae", ledger).values()
    assert base.expected("crop") == "a"
    assert base.expected("lr.min") == 0.0
    assert base.expected("lr.peak") == 0.1
    assert other.expected("lr.peak") == 0.1
    assert other.command is None


def test_deviations_have_their_source_and_their_reason(ledger):
    found = deviations(ledger)
    assert found["mae/base"][1] == Deviation(
        "crop", {"paper": "a", "release": "b"}, "a", "the paper decides"
    )
    assert "mae/large" not in found


def test_a_deviation_without_a_reason_is_refused(ledger):
    (ledger / "mae.yaml").write_text(LEDGER.replace("why: none is needed, ", ""))
    with pytest.raises(
        ValueError, match=r"mae/base: a choice lacks its reason, `why`; it has values"
    ):
        read_recipes("mae", ledger / ".")


def test_deviations_of_a_papers_commands_stand_under_its_tables(ledger):
    (ledger / "paper").write_text("""
title: A paper
source: here
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged: {fine-tuning: train.py experiment=mae/other}
    rows: [{trained: a, by: train.py experiment=mae/base epochs=1, published: {fine-tuning: 80.0}}]
""")
    text = markdown(read(ledger / "paper"), deviations(ledger))
    assert text.endswith("""
### Where a command differs from its source

- `mae/base`
  - lr.min 0.0 (not stated): none is needed
  - crop a (in the source paper a, release b): the paper decides
- `mae/other`
  - epochs, lr as `mae/base`: it does not say""")
    assert "differs from its source" not in markdown(read(ledger / "paper"))


def test_recipes_that_nothing_makes_are_named(ledger):
    assert unmade(ledger) == {"mae": ["mae/other"]}


def test_every_deviation_of_the_project_differs_from_a_plain_source():
    for paper in papers():
        for recipe in read_recipes(paper).values():
            for one in recipe.deviations:
                assert one.source is None or one.ours != one.source, (recipe.name, one)
