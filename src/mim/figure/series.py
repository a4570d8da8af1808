"""Sort runs into the lines of a figure: runs of one line differ in their seed, and in what the
figure's axis shows.
"""

from collections.abc import Callable, Sequence

from mim.analysis.names import display_name
from mim.figure.runs import Run, Series


def sorted_into_series(
    runs: Sequence[Run], along: Callable[[Run], str | None], names: Sequence[str] | None = None
) -> list[Series]:
    """Series in the order of their first runs.

    Args:
        runs: to sort.
        along: the setting that the axis shows, in which runs of one series may differ; None for
            none.
        names: of the series, in their order; None for what tells them apart.

    Raises:
        ValueError: where it is not one name a series.
    """
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(frozenset(_fixed(run, along(run)).items()), []).append(run)
    together = list(groups.values())
    called = list(names) if names else series_names([group[0] for group in together], along)
    if len(set(called)) != len(together):
        found = "; ".join(series_names([group[0] for group in together], along))
        raise ValueError(
            f"--names names {len(set(called))} series, and there are {len(together)}: {found}"
        )
    return [Series(name, group) for name, group in zip(called, together, strict=True)]


def series_names(firsts: Sequence[Run], along: Callable[[Run], str | None]) -> list[str]:
    """What tells series apart: words of their names, and where those do not, settings as well; of
    one series its name.
    """
    words = [run.name.split("_") for run in firsts]
    common = set.intersection(*map(set, words)) if len(firsts) > 1 else set()
    short = [display_name("_".join(word for word in name if word not in common)) for name in words]
    fixed = [_fixed(run, along(run)) for run in firsts]
    names = []
    for i, name in enumerate(short):
        twins = [other for j, other in enumerate(fixed) if j != i and short[j] == name]
        told = {  # a part that was wired in several times says the same each time
            key.rpartition(".")[2]: value
            for key, value in fixed[i].items()
            if any(other.get(key) != value for other in twins)
        }
        settings = [
            f"{key}={str(value).rpartition('.')[2] if key == '_target_' else value}"
            for key, value in told.items()
        ]
        names.append(
            " ".join(part for part in (name, *settings[:3]) if part) or display_name(firsts[i].name)
        )
    return names


def _fixed(run: Run, along: str | None) -> dict[str, object]:
    """What is the same in all runs of a series."""
    return {key: value for key, value in run.settings.items() if key != along}
