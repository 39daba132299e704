"""The camera: a cage and an animal drawn as 8-bit RGB pictures, and where each keypoint falls in them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from murine.simulate.behaviours import DEPTH, HOPPER, LID, SPOUT
from murine.simulate.body import PAWS, RADII, SPINE, TAIL_POINTS, Animal
from murine.types import FloatArray

KEYPOINTS = {
    "nose": "nose", "left_ear": "left_ear", "right_ear": "right_ear", "neck": "neck", "body": "loin",
    "left_fore_paw": "left_fore", "right_fore_paw": "right_fore", "left_hind_paw": "left_hind",
    "right_hind_paw": "right_hind", "tail_base": "tail_0", "tail_tip": f"tail_{TAIL_POINTS - 1}",
}  # fmt: skip
SUPERSAMPLE = 2
_SHIFT = 4
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """`view` is "side" or "top"; `size` is (height, width) in pixels; `night` is infrared, grey and noisier."""

    view: str
    size: tuple[int, int]
    night: bool

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return pixel positions (..., 2), x then y, and the size factor (...) of points (..., 3)."""
        height, width = self.size
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        if self.view == "side":
            # The cage fills the middle three quarters of the height: networks that crop the top and
            # the bottom rows, as the dual-stream ones do, still see all of it.
            factor = 1.08 - 0.25 * y
            u = 0.5 + (x - 0.5) * 0.94 * factor
            v = 0.845 - 0.94 * z * factor - 0.09 * y
        else:
            factor = 0.9 + 0.35 * z
            u = 0.5 + (x - 0.5) * 0.94 * factor
            v = 0.5 + (y - DEPTH / 2) * 0.94 * factor
        scale = 0.94 * factor * width
        return np.stack([u * width - 0.5, v * height - 0.5], axis=-1), scale


class Renderer:
    """Draws one recording: one cage, one light, one animal. All that is random comes from `rng`."""

    def __init__(self, camera: Camera, animal: Animal, rng: np.random.Generator) -> None:
        self.camera = camera
        self.animal = animal
        self.rng = rng
        self.light = float(rng.uniform(0.85, 1.15))
        warm = np.array([1.0 + rng.uniform(0, 0.08), 1.0, 1.0 - rng.uniform(0.02, 0.14)])
        self.tint = np.ones(3) if camera.night else warm
        self.drift = float(rng.uniform(0, 2 * np.pi))
        fur = np.array([62.0, 52.0, 44.0]) + animal.coat * np.array([165.0, 160.0, 150.0])
        self.fur = np.full(3, 34.0 + 165.0 * animal.coat) if camera.night else fur
        self.skin = np.full(3, 150.0) if camera.night else np.array([208.0, 160.0, 150.0])
        large = tuple(int(s * SUPERSAMPLE) for s in camera.size)
        self.large = Camera(camera.view, (large[0], large[1]), camera.night)
        self.background = self._cage()

    def _cage(self) -> NDArray[np.uint8]:
        """Paint walls, bedding, lid, food hopper and water spout."""
        height, width = self.large.size
        base = np.array([96.0, 96.0, 96.0]) if self.camera.night else np.array([172.0, 168.0, 160.0])
        base = base * float(self.rng.uniform(0.9, 1.1))
        shade = (
            np.linspace(1.06, 0.9, height)[:, None, None] * np.linspace(0.94, 1.06, width)[None, :, None]
        )
        picture = np.ascontiguousarray(np.clip(base * shade, 0, 255).astype(np.uint8))
        bedding = (base * np.array([0.9, 0.78, 0.6])) if not self.camera.night else base * 0.85
        floor = np.array([[0, 0, 0], [1, 0, 0], [1, DEPTH, 0], [0, DEPTH, 0]], dtype=float)
        self._polygon(picture, floor, bedding)
        speckle = self.rng.normal(0, 10, (height // 2, width // 2)).astype(np.float32)
        speckle = cv2.resize(speckle, (width, height), interpolation=cv2.INTER_LINEAR)
        mask = np.zeros((height, width, 3), dtype=np.uint8)
        self._polygon(mask, floor, np.full(3, 255.0))
        picture = np.clip(picture + speckle[..., None] * (mask > 0), 0, 255).astype(np.uint8)
        metal = base * 0.55
        if self.camera.view == "side":
            for x in np.linspace(0.02, 0.98, 25):
                self._line(picture, np.array([[x, 0.0, LID], [x, DEPTH, LID]]), 0.006, metal)
            self._line(picture, np.array([[0.0, 0.3, LID], [1.0, 0.3, LID]]), 0.008, metal)
            for x in (0.0, 1.0):
                self._line(picture, np.array([[x, 0.3, 0.0], [x, 0.3, LID]]), 0.008, base * 0.7)
        brown = np.full(3, 0.6) if self.camera.night else np.array([0.72, 0.6, 0.45])
        wedge = HOPPER + np.array(
            [[-0.13, 0.1, LID - HOPPER[2]], [0, 0.1, 0.03], [0.13, 0.1, LID - HOPPER[2]]]
        )
        self._polygon(picture, wedge, base * brown)
        self._line(picture, wedge, 0.01, metal)
        pipe = np.stack([SPOUT + np.array([0.07, 0.0, 0.2]), SPOUT])
        self._line(picture, pipe, 0.022, base * 0.45)
        return np.asarray(picture)

    def frame(self, points: dict[str, FloatArray], t: int, fps: float) -> NDArray[np.uint8]:
        """Return frame `t` as (H, W, 3) uint8 RGB."""
        picture = self.background.copy()
        at = {name: place[t] for name, place in points.items()}
        self._shadow(picture, at)
        self._animal(picture, at)
        height, width = self.camera.size
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        small *= (
            self.light * (1 + 0.03 * np.sin(2 * np.pi * t / fps / 25 + self.drift)) * self.tint
        ).astype(np.float32)
        spread = 7.0 if self.camera.night else 3.0
        noise = self.rng.standard_normal(
            (height, width, 1 if self.camera.night else 3), dtype=np.float32
        )
        return np.asarray(np.clip(small + spread * noise, 0, 255).astype(np.uint8))

    def _animal(self, picture: NDArray[np.uint8], at: dict[str, FloatArray]) -> None:
        size, girth = self.animal.length, self.animal.girth
        side = np.array([0.0, -1.0, 0.0]) if self.camera.view == "side" else np.array([0.0, 0.0, 1.0])
        near = sorted(("left", "right"), key=lambda s: float(at[f"{s}_ear"] @ side))
        tail = np.stack([at[f"tail_{i}"] for i in range(TAIL_POINTS)])
        self._line(picture, tail, 0.05 * size, self.skin * 0.85, taper=0.35)
        self._limbs(picture, at, near[0], 0.75)
        self._ear(picture, at[f"{near[0]}_ear"], 0.8)
        for shrink, lift, tone in ((1.0, 0.0, 0.72), (0.86, 0.05, 0.92), (0.55, 0.2, 1.08)):
            radii = [
                RADII[name] * size * (girth if name in {"hip", "loin"} else 1.0) * shrink
                for name in SPINE
            ]
            raised = [at[name] + np.array([0.0, 0.0, lift * RADII[name] * size]) for name in SPINE]
            self._chain(picture, np.stack(raised), radii, self.fur * tone)
        self._limbs(picture, at, near[1], 0.95)
        self._ear(picture, at[f"{near[1]}_ear"], 1.0)
        ahead = at["nose"] - at["head"]
        eyes = [near[1]] if self.camera.view == "side" else near
        for name in eyes:
            eye = at["head"] + 0.45 * ahead + 0.4 * (at[f"{name}_ear"] - at["head"])
            self._ball(picture, eye, 0.028 * size, np.full(3, 12.0))
        self._ball(picture, at["nose"], 0.035 * size, self.skin * 0.8)

    def _limbs(
        self, picture: NDArray[np.uint8], at: dict[str, FloatArray], side: str, tone: float
    ) -> None:
        size = self.animal.length
        for limb, joint, thick in (("hind", "hip", 0.1), ("fore", "chest", 0.065)):
            paw = at[f"{side}_{limb}"]
            root = 0.7 * at[joint] + 0.3 * (at[joint] + (paw - at[joint]) * np.array([0.0, 1.0, 0.0]))
            self._line(picture, np.stack([root, paw]), thick * size, self.fur * 0.8 * tone, taper=0.6)
            self._ball(picture, paw, 0.042 * size, self.skin * tone)

    def _ear(self, picture: NDArray[np.uint8], place: FloatArray, tone: float) -> None:
        self._ball(picture, place, 0.085 * self.animal.length, self.fur * 0.7 * tone)
        self._ball(picture, place, 0.058 * self.animal.length, self.skin * 0.9 * tone)

    def _shadow(self, picture: NDArray[np.uint8], at: dict[str, FloatArray]) -> None:
        """Darken the floor below the body, less the higher it is."""
        low = np.stack([at["hip"], at["loin"], at["chest"]])
        strength = float(np.clip(1.0 - low[:, 2].min() / (1.2 * self.animal.length), 0, 1)) * 0.35
        if strength <= 0:
            return
        below = low * np.array([1.0, 1.0, 0.0])
        mask = np.zeros(picture.shape[:2], dtype=np.uint8)
        radii = [0.2 * self.animal.length] * 3
        self._chain(mask, below, radii, np.array([255.0]))
        soft = cv2.blur(mask, (9, 9)).astype(np.float32) * (strength / 255)
        picture[:] = (picture * (1 - soft[..., None])).astype(np.uint8)

    def _at(self, place: FloatArray) -> tuple[list[tuple[int, int]], FloatArray]:
        spots, scale = self.large.project(place)
        fixed = np.round(spots * (1 << _SHIFT)).astype(int)
        return [(int(x), int(y)) for x, y in fixed.reshape(-1, 2)], np.asarray(scale)

    def _ball(
        self, picture: NDArray[np.uint8], place: FloatArray, radius: float, colour: FloatArray
    ) -> None:
        spots, scale = self._at(place[None])
        pixels = max(1, round(float(radius * scale[0]) * (1 << _SHIFT)))
        cv2.circle(picture, spots[0], pixels, _colour(colour), -1, cv2.LINE_AA, _SHIFT)

    def _chain(
        self, picture: NDArray[np.uint8], places: FloatArray, radii: list[float], colour: FloatArray
    ) -> None:
        """Fill the hull of each pair of neighbouring balls: a limb or body of changing thickness."""
        spots, scale = self._at(places)
        pixels = [float(r * s) for r, s in zip(radii, scale, strict=True)]
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (1 << _SHIFT)
        balls = [np.array(s) + r * ring for s, r in zip(spots, pixels, strict=True)]
        for one, two in zip(balls, balls[1:], strict=False):
            hull = cv2.convexHull(np.round(np.concatenate([one, two])).astype(np.int32))
            cv2.fillConvexPoly(picture, hull, _colour(colour), cv2.LINE_AA, _SHIFT)

    def _line(
        self,
        picture: NDArray[np.uint8],
        places: FloatArray,
        width: float,
        colour: FloatArray,
        taper: float = 1.0,
    ) -> None:
        radii = (width / 2 * np.linspace(1.0, taper, len(places))).tolist()
        self._chain(picture, places, radii, colour)

    def _polygon(self, picture: NDArray[np.uint8], places: FloatArray, colour: FloatArray) -> None:
        spots, _ = self._at(places)
        cv2.fillPoly(picture, [np.array(spots, dtype=np.int32)], _colour(colour), cv2.LINE_AA, _SHIFT)


def _colour(colour: FloatArray) -> tuple[float, ...]:
    return tuple(float(c) for c in np.clip(colour, 0, 255))


def keypoints(camera: Camera, points: dict[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return pixel positions (T, K, 2) and a likelihood (T, K), low for paws and ears behind the body."""
    spots, sure = [], []
    depth = 1 if camera.view == "side" else 2
    sign = -1.0 if camera.view == "side" else 1.0
    for name in KEYPOINTS.values():
        spots.append(camera.project(points[name])[0])
        hidden = np.zeros(len(points[name]), dtype=bool)
        if name in PAWS or name.endswith("_ear"):
            hidden = sign * (points[name][:, depth] - points["loin"][:, depth]) < -0.012
        sure.append(np.where(hidden, 0.55, 1.0))
    return np.stack(spots, axis=1), np.stack(sure, axis=1)
