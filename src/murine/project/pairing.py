"""Which label file belongs to which video: by the words and numbers of their names.

A name is read as tokens, so that recording 1 is never taken for 10. Words that only say what a file is
("pose", "events") and what DeepLabCut appends are left aside. Pairs are made in rounds from sure to
likely; a file that fits two partners equally well, or none, is named, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

_ROLES = frozenset(
    (
        *("pose", "poses", "keypoint", "keypoints", "tracking", "tracks", "tracked", "analysis"),
        *("predictions", "filtered", "label", "labels", "labelled", "labeled", "event", "events"),
        *("annot", "annotation", "annotations", "annotated", "behaviour", "behaviours", "behavior"),
        *("behaviors", "bout", "bouts", "score", "scores", "scored", "scoring", "ethogram", "boris"),
        *(
            "manual",
            "tabular",
            "aggregated",
            "video",
            "videos",
            "movie",
            "reencode",
            "reencoded",
        ),  # codespell:ignore reencode
    )
)
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_DEEPLABCUT = re.compile(r"(?<=.)[_\-. ]?(?:DLC|DeepCut)_.*", re.DOTALL)

Tokens = tuple[str, ...]


def stem(path: Path) -> str:
    """Return a file's name without its suffixes (.csv.gz is one) and without what DeepLabCut appends."""
    name = path.name.removesuffix(".gz")
    bare = name[: -len(Path(name).suffix)] if Path(name).suffix else name
    return _DEEPLABCUT.sub("", bare, count=1)


def plain_stem(path: Path) -> str:
    """Return the stem without words at its end that only say what the file is."""
    name = stem(path)
    while (cut := re.sub(r"[_\-. ]+([^\W\d_]+)$", _drop_role, name)) != name:
        name = cut
    return name


def _drop_role(match: re.Match[str]) -> str:
    return "" if match[1].lower() in _ROLES else match[0]


def tokens(name: str) -> Tokens:
    """Return the words and numbers of a name, without the words that only say what a file is."""
    found = tuple(_TOKEN.findall(name.casefold()))
    return tuple(t for t in found if t not in _ROLES) or found


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts 2 before 10."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(p)) if p.isdigit() else (1, p) for p in parts if p)


@dataclass(frozen=True)
class Named:
    """A file (or an observation inside one) to be paired. `media`: stems of the videos it names."""

    shown: str
    name: str
    folders: frozenset[str] = frozenset()
    media: frozenset[str] = frozenset()
    words: Tokens = field(default=())

    @classmethod
    def of(cls, path: Path, *, observation: str = "", media: Sequence[str] = ()) -> Named:
        """Return the name of a file, or of one observation in it."""
        shown = f"{path} (observation '{observation}')" if observation else str(path)
        files = [Path(m.replace("\\", "/")) for m in media]
        named = frozenset(stem(m).casefold() for m in files)
        name = observation or stem(path)
        return cls(shown, name, frozenset(path.parts[:-1]), named, tokens(name))


def pair(
    anchors: Sequence[Named], others: Sequence[Named], what: str, anchor: str
) -> tuple[dict[int, int], dict[int, str]]:
    """Return the anchor of each of `others`, and a fault for each that has none or several.

    At most one of `others` goes to an anchor. `what` and `anchor` say in messages what they are.
    """
    if len(anchors) == len(others) == 1:
        return {0: 0}, {}
    pairs: dict[int, int] = {}
    faults: dict[int, str] = {}
    (trimmed_anchors, anchor_numbers), (trimmed_others, other_numbers) = _trim(anchors), _trim(others)
    # Names that differ in a number all of a kind share, such as the year, are of another study.
    related = not anchor_numbers or not other_numbers or anchor_numbers == other_numbers

    def score(o: int, a: int, level: int) -> int:
        one, two = others[o], anchors[a]
        if level == 0:
            return int(two.name.casefold() in one.media)
        if level == 1:
            return len(one.words) * (one.words == two.words)
        if level == 2:
            return contained(one.words, two.words)
        return len(trimmed_others[o]) * (related and trimmed_others[o] == trimmed_anchors[a])

    for level in range(4):
        open_others = [o for o in range(len(others)) if o not in pairs and o not in faults]
        free = [a for a in range(len(anchors)) if a not in pairs.values()]
        wishes: dict[int, tuple[tuple[int, int], int]] = {}
        for o in open_others:
            ranked = [
                ((score(o, a, level), len(others[o].folders & anchors[a].folders)), a)
                for a in free
                if score(o, a, level)
            ]
            if not ranked:
                continue
            best = max(rank for rank, _ in ranked)
            top = [a for rank, a in ranked if rank == best]
            if len(top) > 1:
                faults[o] = (
                    f"{others[o].shown}: fits {len(top)} {anchor}s equally well: "
                    f"{_some([anchors[a].shown for a in top])}. Rename it after the one it belongs to."
                )
            else:
                wishes[o] = (best, top[0])
        for a in {a for _, a in wishes.values()}:
            rivals = [o for o in wishes if wishes[o][1] == a]
            best = max(wishes[o][0] for o in rivals)
            winners = [o for o in rivals if wishes[o][0] == best]
            if len(winners) == 1:
                pairs[winners[0]] = a
                continue
            shown = _some([others[o].shown for o in winners])
            for o in winners:
                faults[o] = (
                    f"{shown} all fit {anchors[a].shown}; give a pattern that finds one {what} for each"
                )
    for o in range(len(others)):
        if o not in pairs and o not in faults:
            near = get_close_matches(others[o].name, [a.name for a in anchors], n=1, cutoff=0.5)
            hint = f" The nearest is '{near[0]}'." if near else ""
            faults[o] = f"{others[o].shown}: no {anchor} has a name that fits.{hint}"
    return pairs, faults


def contained(one: Tokens, two: Tokens) -> int:
    """Return the length of the shorter name where it stands as a whole inside the longer, else 0."""
    short, long = sorted((one, two), key=len)
    starts = range(len(long) - len(short) + 1)
    return len(short) * any(long[i : i + len(short)] == short for i in starts)


def _trim(names: Sequence[Named]) -> tuple[list[Tokens], frozenset[str]]:
    """Return what tells names apart: their tokens without the beginning and end that all share, and
    the numbers that went with these.
    """
    rows = [n.words for n in names]
    if len(set(rows)) < 2:
        return rows, frozenset()
    head = _shared(rows)
    tail = _shared([row[head:][::-1] for row in rows])
    cut = (*rows[0][:head], *rows[0][len(rows[0]) - tail :])
    return [row[head : len(row) - tail] for row in rows], frozenset(t for t in cut if t.isdigit())


def _shared(rows: Sequence[Tokens]) -> int:
    """Return how many tokens all rows have in common at the beginning."""
    columns = zip(*rows, strict=False)
    return next((i for i, c in enumerate(columns) if len(set(c)) > 1), min(map(len, rows)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
