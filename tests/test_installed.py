"""Commands that a line names are those that somebody can type where they are."""

from mim.installed import as_typed

LINE = (
    "evaluate=knn is for eval.py: python eval.py evaluate=knn; resume: python train.py "
    "resume=a_train.pyx"
)


def test_a_checkout_has_its_scripts():
    assert as_typed(LINE) == LINE


def test_without_one_they_are_commands_of_the_package():
    assert as_typed(LINE, in_checkout=False) == (
        "evaluate=knn is for python -m mim evaluate: python -m mim evaluate evaluate=knn; "
        "resume: python -m mim train resume=a_train.pyx"
    )
