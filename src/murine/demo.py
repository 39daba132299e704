"""The main job, whole, on a study that murine makes itself: what `make demo` runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from murine.config import load_recipe
from murine.errors import InputError
from murine.files import make_folder, write_json, write_text
from murine.predict import predict
from murine.progress import SILENT, Progress
from murine.project import PROJECT_FILE, check, init
from murine.report import save_figures
from murine.reporting import evaluation_data, report, write_evaluation_report
from murine.scoring import score_paths
from murine.simulate import simulate
from murine.train.crossval import evaluate
from murine.train.run import train

RECIPE = "demo/dual-stream-small"
MARK = ".murine-demo"
OUTCOME = "demo.json"
ANIMALS = 5
SECONDS = 60.0
FPS = 15.0


@dataclass(frozen=True)
class DemoOutcome:
    """Where everything lies, and how good it was: scores out of fold, and on the unseen animal."""

    folder: Path
    pages: tuple[Path, ...]
    evaluation: dict[str, Any]
    unseen: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-like form."""
        return {
            "folder": str(self.folder),
            "reports": [str(page) for page in self.pages],
            "evaluation": self.evaluation["pooled"],
            "baseline": self.evaluation["baseline"],
            "unseen": self.unseen["pooled"],
            "seconds": round(self.seconds, 1),
        }

    def text(self) -> str:
        """Return what the command prints."""
        ours, plain = self.evaluation["pooled"], self.evaluation["baseline"]
        new = self.unseen["pooled"]
        return "\n".join(
            [
                f"{ANIMALS - 1} labelled animals, each predicted by a network that never saw it:",
                f"  macro F1 {ours['macro_f1']:.3f}, accuracy {ours['accuracy']:.3f}",
                f"  always the commonest behaviour: macro F1 {plain['macro_f1']:.3f}, "
                f"accuracy {plain['accuracy']:.3f}",
                "a new animal, whose labels nobody used:",
                f"  macro F1 {new['macro_f1']:.3f}, accuracy {new['accuracy']:.3f}",
                *(f"report: {page}" for page in self.pages),
                f"pictures: {self.folder / 'figures'}",
                f"finished in {self.seconds:.0f} s",
            ]
        )


def demo(
    folder: Path | str = "demo", *, seed: int = 0, force: bool = False, progress: Progress = SILENT
) -> DemoOutcome:
    """Simulate a small study, check it, evaluate leave-one-animal-out, train, predict, report.

    A demo that was stopped goes on; `force` removes what an earlier one left in `folder`; a folder of
    anything else is refused. Raises InputError for that, StorageError where nothing can be written.
    """
    recipe = load_recipe(RECIPE, [f"training.seed={seed}"])
    root = _open(Path(folder), force, seed)
    data, study = root / "data", root / "study"
    began = perf_counter()
    with progress.task("demo", 7, "steps") as task:
        if not (study / PROJECT_FILE).exists():
            simulate(data, animals=ANIMALS, seconds=SECONDS, fps=FPS, seed=seed, progress=progress)
            init(
                study,
                videos=[f"{data}/videos/*.mp4"],
                poses=[f"{data}/pose/*.csv"],
                labels=[f"{data}/labels/*.csv"],
                id_pattern=r"(?P<animal>animal\d+)",
                progress=progress,
            )
        task.advance()
        found = check(study, progress=progress)
        if not found.ok:
            raise InputError(f"the simulated study does not pass its own check; report this: {root}")
        task.advance()
        evaluation = evaluate(study, recipe, progress=progress)
        task.advance()
        model = train(study, recipe, progress=progress)
        task.advance()
        truth = sorted((data / "truth").glob("*.csv"))
        videos = [data / "videos" / f"{path.stem}.mp4" for path in truth]
        predict(model, videos, root / "out", progress=progress)
        task.advance()
        unseen = score_paths(data / "truth", root / "out", progress=progress)
        task.advance()
        save_figures(evaluation_data(evaluation.folder), root / "figures")
        pages = (write_evaluation_report(evaluation.folder), report(root / "out", progress=progress))
        task.advance()
    outcome = DemoOutcome(root, pages, evaluation.scores, unseen, perf_counter() - began)
    write_json(root / OUTCOME, outcome.to_dict())
    return outcome


def _open(folder: Path, force: bool, seed: int) -> Path:
    """Return a folder that carries the demo's mark: an empty one, or one where this demo was stopped."""
    mark = f"seed {seed}\n"
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise InputError(f"{folder}: holds other files. Give the demo a folder of its own.")
        finished = (folder / OUTCOME).exists()
        if not force and not finished and (folder / MARK).read_text(encoding="utf-8") == mark:
            return folder
        if not force:
            raise InputError(f"{folder}: holds an earlier demo. Say --force to replace it.")
        shutil.rmtree(folder)
    make_folder(folder)
    write_text(folder / MARK, mark)
    return folder
