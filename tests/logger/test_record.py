from pathlib import Path

from mim.logger.record import log_row


class Plain:
    """A logger that remembers, and takes no pictures."""

    def __init__(self) -> None:
        self.numbers, self.pictures, self.status = [], [], None

    def log_metrics(self, numbers: dict, step: int | None = None) -> None:
        self.numbers.append((step, numbers))

    def finalize(self, status: str) -> None:
        self.status = status


class Notebook(Plain):
    """One that takes them."""

    def log_image(self, key: str, images: list[str], step: int | None = None) -> None:
        self.pictures.append((key, images))


def test_numbers_curves_and_pictures_reach_every_logger(tmp_path: Path):
    for name in ("embedding.png", "embedding.pdf", "notes.txt"):
        (tmp_path / name).touch()
    row = {
        "knn/top1": 0.5,
        "evaluate": "knn",
        "table": [
            {"model": "MAE", "pool": "cls", "top1": 0.25, "best": True},
            {"model": "MAE", "pool": "mean", "top1": 0.5},
        ],
        "curves": {"short": [1.0], "long": [2.0, 3.0]},
    }
    logger, plain = Notebook(), Plain()
    log_row([logger, plain], row, tmp_path)
    assert logger.numbers == plain.numbers
    assert logger.numbers == [
        (1, {"short": 1.0, "long": 2.0}),
        (2, {"long": 3.0}),
        (None, {"knn/top1": 0.5, "MAE/cls/top1": 0.25, "MAE/mean/top1": 0.5}),
    ]
    assert logger.pictures == [("embedding", [str(tmp_path / "embedding.png")])]
    assert logger.status == "success"


def test_a_judgement_in_words_logs_no_numbers(tmp_path: Path):
    logger = Notebook()
    log_row([logger], {"evaluate": "knn", "fine": True, "table": []}, tmp_path)
    assert logger.numbers == []
