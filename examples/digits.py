"""Which model reads handwritten digits best? A study with several models and seeds, on scikit-learn's own digits.

    python -m taskproc examples/digits.py -o cache --seeds 5

Each training is a task of its own: another seed or model trains what is new and takes the rest from the cache.
Needs scikit-learn and matplotlib.
"""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from taskproc import Future, FutureDict, FutureList, Task

MODELS = ("neighbours", "forest", "logistic")


def new_model(name: str, seed: int) -> Any:
    """An untrained model."""
    if name == "neighbours":
        return KNeighborsClassifier(n_neighbors=3)
    if name == "forest":
        return RandomForestClassifier(n_estimators=100, random_state=seed)
    if name == "logistic":
        return LogisticRegression(max_iter=500, random_state=seed)
    raise ValueError(f"model must be one of {', '.join(MODELS)}, got {name!r}")


class Load(Task):
    """The 1797 images of 8 × 8 pixels, and what they show."""

    def run_task(self) -> dict[str, Any]:
        """Read them from scikit-learn's package."""
        images, digits = load_digits(return_X_y=True)
        return {"images": images / 16, "digits": digits}


class Split(Task):
    """Images to learn from and images to be tested on, by chance."""

    def __init__(self, images: Future[Any], digits: Future[Any], test_share: float, seed: int):
        self.images = images
        self.digits = digits
        self.test_share = test_share
        self.seed = seed

    def run_task(self) -> dict[str, Any]:
        """Split so that each digit has its share on both sides."""
        digits = self.digits.get_result()
        parts = train_test_split(
            self.images.get_result(), digits, test_size=self.test_share, random_state=self.seed, stratify=digits
        )
        return dict(zip(("train_images", "test_images", "train_digits", "test_digits"), parts, strict=True))


class Train(Task):
    """A trained model, as a file."""

    task_label = "training"  # `--rate-limits '{"training": 1}'` trains one model at a time

    def __init__(self, model: str, images: Future[Any], digits: Future[Any], seed: int):
        self.model = model
        self.images = images
        self.digits = digits
        self.seed = seed

    def run_task(self) -> Path:
        """Fit, and save into the task's own data directory."""
        model = new_model(self.model, self.seed)
        model.fit(self.images.get_result(), self.digits.get_result())
        path = self.task_directory / "model.joblib"
        joblib.dump(model, path)
        return path


class Predict(Task):
    """What a model sees in each of some images."""

    def __init__(self, model: Future[Path], images: Future[Any]):
        self.model = model
        self.images = images

    def run_task(self) -> Any:
        """Load the model's file and ask it."""
        return joblib.load(self.model.get_result()).predict(self.images.get_result())


class Confusion(Task):
    """How often each digit (row) was taken for each digit (column)."""

    def __init__(self, truth: Future[Any], predicted: Future[Any]):
        self.truth = truth
        self.predicted = predicted

    def run_task(self) -> Any:
        """Count: an array of 10 × 10 integers."""
        return confusion_matrix(self.truth.get_result(), self.predicted.get_result(), labels=range(10))


class Best(Task):
    """The model with the best mean accuracy, as a file, and all accuracies."""

    def __init__(self, models: dict[str, list[Future[Path]]], confusions: dict[str, list[Future[Any]]]):
        self.models = FutureDict({name: FutureList(each) for name, each in models.items()})
        self.confusions = FutureDict({name: FutureList(each) for name, each in confusions.items()})

    def run_task(self) -> dict[str, Any]:
        """Compare, and keep the best model's best training."""
        confusions = self.confusions.get_result()
        scores = {name: [float(np.trace(each) / each.sum()) for each in found] for name, found in confusions.items()}
        name = max(scores, key=lambda name: sum(scores[name]))
        path = self.task_directory / "best.joblib"
        shutil.copyfile(self.models.get_result()[name][int(np.argmax(scores[name]))], path)
        return {"scores": scores, "name": name, "path": path, "confusion": sum(confusions[name])}


class Picture(Task):
    """A confusion matrix as PNG."""

    task_label = "drawing"

    def __init__(self, title: Future[str], confusion: Future[Any]):
        self.title = title
        self.confusion = confusion

    def run_task(self) -> Path:
        """Draw into the task's data directory; needs no display."""
        confusion = self.confusion.get_result()
        figure = Figure(figsize=(5, 5), layout="constrained")
        axes = figure.subplots()
        axes.imshow(np.log1p(confusion), cmap="Blues")
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if row == column else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
        axes.set(title=self.title.get_result(), xlabel="taken for", ylabel="digit", xticks=range(10), yticks=range(10))
        path = self.task_directory / "confusion.png"
        figure.savefig(path)
        return path


class Main(Task):
    """Train each model with each seed, and print how well it reads digits it has not seen.

    Args:
        models: any of neighbours, forest, logistic
        seeds: how many times each model is trained, each time on another split
        test_share: fraction of the images that is kept for the test
    """

    def __init__(self, models: tuple[str, ...] = MODELS, seeds: int = 3, test_share: float = 0.3):
        data = Load()
        splits = [Split(data["images"], data["digits"], test_share, seed) for seed in range(seeds)]
        trained: dict[str, list[Future[Path]]] = {
            model: [Train(model, split["train_images"], split["train_digits"], seed)
                    for seed, split in enumerate(splits)]
            for model in models
        }
        confusions: dict[str, list[Future[Any]]] = {
            model: [Confusion(split["test_digits"], Predict(path, split["test_images"]))
                    for path, split in zip(trained[model], splits, strict=True)]
            for model in models
        }
        self.best = Best(trained, confusions)
        self.picture = Picture(self.best["name"], self.best["confusion"])

    def run_task(self) -> None:
        """Print the table, and where the files are."""
        best = self.best.get_result()
        for name, scores in best["scores"].items():
            each = " ".join(f"{score:.3f}" for score in scores)
            print(f"{name:12} {np.mean(scores):.3f} ± {np.std(scores):.3f}   ({each})")
        print("best model:", best["path"])
        print("confusion matrix:", self.picture.get_result())


if __name__ == "__main__":
    Main.cli()
