"""The methods of a study as text to paste into a paper, with versions and what to cite."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from murine import __version__
from murine.report.data import ReportData
from murine.report.words import count, duration, flatten, listing, plain

LIBRARIES = ("torch", "numpy", "scipy", "lightgbm", "av", "opencv-contrib-python-headless")
"""Those that numbers come from, named where they are installed."""

CITED = {
    "holm": "Holm S (1979) A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
    "Statistics 6:65-70.",
    "permutation": "Phipson B, Smyth GK (2010) Permutation P-values should never be zero. Statistical Applications "
    "in Genetics and Molecular Biology 9:39.",
    "hedges": "Hedges LV (1981) Distribution theory for Glass's estimator of effect size and related estimators. "
    "Journal of Educational Statistics 6:107-128.",
    "kappa": "Cohen J (1960) A coefficient of agreement for nominal scales. Educational and Psychological "
    "Measurement 20:37-46.",
    "bootstrap": "Efron B, Tibshirani RJ (1993) An Introduction to the Bootstrap. Chapman & Hall.",
    "calibration": "Guo C, Pleiss G, Sun Y, Weinberger KQ (2017) On calibration of modern neural networks. ICML.",
    "torch": "Paszke A et al. (2019) PyTorch: an imperative style, high-performance deep learning library. NeurIPS.",
    "numpy": "Harris CR et al. (2020) Array programming with NumPy. Nature 585:357-362.",
}


def methods_text(data: ReportData) -> str:
    """Return paragraphs in plain text: data, model, split, scores, groups, software, references."""
    data = data.complete()
    cited = ["numpy"]
    parts = [_data(data)]
    if data.kind != "labels":
        parts.append(_model(data))
        cited.append("torch")
    if data.splits:
        parts.append(_split(data))
    if data.scores is not None:
        parts.append(_scores(data))
        cited += ["kappa"] if data.scores.get("kappa") is not None else []
        cited += ["bootstrap"] if (data.details or {}).get("intervals") else []
    if data.calibration:
        told = list(data.calibration.values())[-1]
        parts.append(
            f"The expected calibration error (15 bins of equal width) was {told['error']:.3f}"
            + (
                ", after scaling probabilities of each fold by the others."
                if len(data.calibration) > 1
                else "."
            )
        )
        cited.append("calibration")
    if data.groups:
        parts.append(_groups(data))
        cited += ["permutation", "holm", "hedges", "bootstrap"]
    parts.append(_software())
    references = "\n".join(f"- {CITED[name]}" for name in sorted(set(cited), key=lambda n: CITED[n]))
    return "\n\n".join([*parts, f"References\n{references}"])


def _data(data: ReportData) -> str:
    total = sum(r.seconds for r in data.recordings)
    rates = sorted({round(r.timeline.fps, 2) for r in data.recordings})
    rate = f"{rates[0]:g}" if len(rates) == 1 else f"{rates[0]:g} to {rates[-1]:g}"
    labelled = sum(r.truth is not None for r in data.recordings)
    kinds = "exclude each other" if data.ethogram.exclusive else "may occur together"
    text = (
        f"{count(len(data.recordings), 'recording')} ({duration(total)} in all, {rate} frames per second) were "
        f"analysed for {count(len(data.ethogram), 'behaviour')} that {kinds}: "
        f"{listing(data.ethogram.behaviours, 40)}."
    )
    if data.ethogram.background is not None:
        text += f" Frames with none of them count as “{data.ethogram.background}”."
    if labelled:
        text += f" {count(labelled, 'recording')} had been labelled by a human frame by frame."
    return text


def _model(data: ReportData) -> str:
    settings: dict[str, Any] = plain(data.settings)
    if "combined" in settings:
        return "Probabilities of several networks were combined (settings below in the report)."
    model = settings.get("model", {})
    name = model.get("name", "") if isinstance(model, dict) else str(model)
    text = "Behaviour was predicted frame by frame with murine"
    text += f", model “{name}”" if name else ""
    training = settings.get("training")
    if isinstance(training, dict):
        shown = [f"{key} {value}" for key, value in flatten(training) if value not in ("–", "no")]
        text += f". Training: {'; '.join(shown)}"
    steps = settings.get("postprocess") or []
    told = [str(step.get("name", step)) if isinstance(step, dict) else str(step) for step in steps]
    text += f". Probabilities became bouts by: {', '.join(told)}." if told else (
        ". The most probable behaviour of each frame was taken, without smoothing."
        if data.ethogram.exclusive
        else ". Each behaviour was taken where its probability was at least one half, without smoothing."
    )  # fmt: skip
    return text


def _split(data: ReportData) -> str:
    by = data.settings.get("split", {})
    unit = by.get("by", "recording") if isinstance(by, dict) else "recording"
    held = any(split.get("validation") for split in data.splits)
    text = f"Predictions come from {count(len(data.splits), 'fold')} split by {unit}"
    if any("LEAK" in warning for warning in data.warnings):
        return f"{text}; training and test sides share footage, so that the scores are too good."
    return f"{text}: no {unit} was in the training and the test side of a fold." + (
        " When to stop was chosen on validation recordings that are in neither." if held else ""
    )


def _scores(data: ReportData) -> str:
    ours, told = data.scores or {}, data.details or {}
    base = data.baseline or {}
    parts = []
    for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro F1"), ("kappa", "Cohen's kappa")):
        if ours.get(name) is None:
            continue
        ends = told.get("intervals", {}).get(name)
        shown = f" (95 % interval {ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
        beside = (
            f"; always the commonest behaviour: {base[name]:.3f}" if base.get(name) is not None else ""
        )
        parts.append(f"{title} {ours[name]:.3f}{shown}{beside}")
    drawn = told.get("drawn")
    unit = "clips" if data.unit == "recording" else "labelled frames"
    text = f"Over {ours['n']:,} {unit}: {'. '.join(parts)}."
    if drawn and told.get("intervals"):
        text += f" Intervals: bootstrap over {count(drawn['count'], drawn['over'])}, drawn as wholes, 2,000 draws."
    return text


def _groups(data: ReportData) -> str:
    told = data.groups or {}
    sizes = ", ".join(f"{name} (n = {len(animals)})" for name, animals in told["groups"].items())
    rows = [row for row in told["rows"] if row["p"] is not None]
    tests = "exact" if all(row["exact"] for row in rows) else "Monte Carlo (9,999 draws) or exact"
    paired = " of signs within animals" if any(row["paired"] for row in rows) else ""
    return (
        f"Groups by {told['by']}: {sizes}. The animal was the unit; recordings of one {told['unit']} were averaged "
        f"first. Differences of means were tested by two-sided {tests} permutation tests{paired}, p values corrected "
        f"by Holm's method over {len(rows)} comparisons, transitions apart from the others. Effect sizes are Hedges' g "
        "with 95 % percentile intervals of 2,000 bootstrap draws of animals."
    )


def _software() -> str:
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return f"Software: murine {__version__}; {', '.join(found)}."
