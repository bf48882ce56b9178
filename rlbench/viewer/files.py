"""Writes episodes to files: a film (GIF, MP4), one frame or a contact sheet (PNG); needs no display."""

from __future__ import annotations

import math
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.files import require, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]  # (height, width, 3)

SUFFIXES = (".gif", ".mp4", ".png")
SAMPLES = 8  # frames sampled to choose a GIF's colours
GIF_COLORS = 63  # of a GIF, plus one for "unchanged"
NEAR_COLOR = 28  # of 255: a pixel that changes no more in red, green and blue stays unchanged
FASTEST_GIF = 50  # frames per second: GIF times are in 1/100 s, and viewers slow down faster ones
PAUSE = 1.2  # seconds to hold the last frame
TILES = 24  # most frames on a contact sheet
SHEET = 2000  # pixels: largest width of a contact sheet
TILE = 320  # pixels: longer side of a frame made for a contact sheet
SHEET_GAP = 8  # pixels between frames on a sheet
PAPER = (245, 245, 242)
QUALITY = 8  # of an MP4, 0 to 10
UNFINISHED = "ffmpeg did not finish it; make room on the disk and try again"


def check_path(path: str | Path) -> Path:
    """Returns the path, checked.

    Raises:
        UsageError: it does not end in .gif, .mp4 or .png, is a folder, or its folder does not exist.
    """
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the file must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, got {str(path)!r}")
    if target.is_dir():
        raise UsageError(f"{str(path)!r} is a folder: name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"folder {str(target.parent)!r} does not exist: create it first")
    return target


def save(path: str | Path, pictures: Iterable[Picture], *, fps: float, frame: int | None = None) -> Path:
    """Writes pictures of equal size to a file, in the format of its suffix.

    Args:
        path: ends in .gif, .mp4 or .png.
        pictures: uint8 (height, width, 3).
        fps: frames per second.
        frame: only this one (.png); None: a contact sheet of all.

    Raises:
        UsageError: an invalid path, a frame out of range, or a single frame for a film.
        StoreError: the file cannot be written.
    """
    target = check_path(path)
    if not 0 < fps <= 1000:  # noqa: PLR2004
        raise UsageError(f"the frame rate must be above 0 and at most 1000 frames per second, got {fps:g}")
    if frame is not None and target.suffix.lower() != ".png":
        raise UsageError(f"a single frame needs a .png file, got {target.name!r}: omit the frame, or name a .png")
    with written(target, overwrite=True) as draft:
        if target.suffix.lower() == ".png":
            _write_png(draft, pictures, frame)
        else:
            WRITERS[target.suffix.lower()](draft, iter(pictures), fps)
    return target


# ------------------------------------------------------------------ PNG


def _write_png(path: Path, pictures: Iterable[Picture], frame: int | None) -> None:
    image = _image()
    if frame is None:
        image.fromarray(contact_sheet(list(pictures))).save(path, optimize=True)
        return
    found = next(islice(pictures, frame, None), None) if frame >= 0 else None
    if found is None:
        raise UsageError(f"frame {frame} is out of range: the first is 0, the last is the number of steps")
    image.fromarray(found).save(path, optimize=True)


def contact_sheet(pictures: Sequence[Picture]) -> Picture:
    """Returns the pictures in rows, thinned evenly if there are many; the first and the last are always kept."""
    image = _image()
    chosen = [pictures[round(k)] for k in np.linspace(0, len(pictures) - 1, min(len(pictures), TILES))]
    height, width, _ = chosen[0].shape
    columns = max(1, min(len(chosen), math.ceil(math.sqrt(len(chosen) * height / width * 1.4))))
    scale = min(1.0, (SHEET - (columns + 1) * SHEET_GAP) / columns / width)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    rows = math.ceil(len(chosen) / columns)
    sheet = np.full(
        ((high + SHEET_GAP) * rows + SHEET_GAP, (wide + SHEET_GAP) * columns + SHEET_GAP, 3), PAPER, np.uint8
    )
    for k, picture in enumerate(chosen):
        top, left = SHEET_GAP + k // columns * (high + SHEET_GAP), SHEET_GAP + k % columns * (wide + SHEET_GAP)
        tile = image.fromarray(picture).resize((wide, high), image.Resampling.LANCZOS)
        sheet[top : top + high, left : left + wide] = np.asarray(tile)
    return sheet


# ------------------------------------------------------------------ films


def _write_gif(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    frames = list(pictures)
    colors, table = _palette([frames[round(k)] for k in np.linspace(0, len(frames) - 1, SAMPLES)])
    images = [_with_colors(picture, colors) for picture in _changes(frames, colors, table)]
    durations = [*_hundredths(1000 / min(fps, FASTEST_GIF), len(frames) - 1), round(PAUSE * 100) * 10]
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        optimize=False,
        transparency=GIF_COLORS,
        disposal=1,
    )


def _changes(frames: Sequence[Picture], colors: bytes, table: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yields the colour indices of each frame, with "unchanged" where the colour is close to the one before."""
    values = np.frombuffer(colors, np.uint8).reshape(-1, 3).astype(np.int16)
    distance = np.abs(values[:, None] - values[None]).max(axis=-1)
    shown = _numbered(frames[0], table)
    yield shown
    for frame in frames[1:]:
        wanted, change = _numbered(frame, table), np.full_like(shown, GIF_COLORS)
        at = np.flatnonzero(wanted != shown)
        at = at[distance[wanted.take(at), shown.take(at)] > NEAR_COLOR]
        shown = shown.copy()
        for picture in (shown, change):
            picture.put(at, wanted.take(at))
        yield change


def _hundredths(milliseconds: float, frames: int) -> list[int]:
    """Returns frame durations in milliseconds, rounded to hundredths of a second without drift."""
    ends = [round(k * milliseconds / 10) for k in range(frames + 1)]
    return [max(2, after - before) * 10 for before, after in pairwise(ends)]


def _palette(samples: Sequence[Picture]) -> tuple[bytes, NDArray[np.uint8]]:
    """Returns a film's palette, and the index of the nearest colour for each 15-bit colour."""
    image, every = _image(), np.arange(2**15)
    cube = np.stack([(every >> shift & 31) * 255 / 31 for shift in (10, 5, 0)], axis=-1).round().astype(np.uint8)
    counts = np.bincount(np.concatenate([_coarse(sample).ravel() for sample in samples]), minlength=2**15)
    # weighted by the square root of its count: rare colours, such as a passenger's face, matter too
    weighed = np.repeat(cube, np.ceil(np.sqrt(counts)).astype(int), axis=0)
    chosen = image.fromarray(weighed[None]).quantize(GIF_COLORS)
    nearest = image.fromarray(cube[None]).quantize(palette=chosen, dither=image.Dither.NONE)
    return bytes(chosen.getpalette())[: 3 * GIF_COLORS].ljust(3 * GIF_COLORS + 3, b"\0"), np.asarray(nearest)[0].astype(
        np.uint8
    )


def _numbered(frame: Picture, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return table.take(_coarse(frame))


def _coarse(frame: Picture) -> NDArray[np.uint16]:
    """Returns the 15-bit colour of each pixel."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(frame, -1, 0)) >> 3
    coarse: NDArray[np.uint16] = red.astype(np.uint16) << 10 | green.astype(np.uint16) << 5 | blue
    return coarse


def _with_colors(numbers: NDArray[np.uint8], colors: bytes) -> Any:
    picture = _image().fromarray(numbers)
    picture.putpalette(colors)
    return picture


def _write_mp4(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    imageio_ffmpeg = require("imageio_ffmpeg", "viewer", "an .mp4 file")  # it finds ffmpeg
    with path.open("wb"):  # fails with a clean error; ffmpeg would print a long one
        first = _even(next(pictures))
    writer = imageio_ffmpeg.write_frames(
        str(path), (first.shape[1], first.shape[0]), fps=fps, quality=QUALITY, macro_block_size=1
    )
    last, n = first, 0
    try:
        writer.send(None)
        for picture in chain([first], map(_even, pictures)):
            writer.send(np.ascontiguousarray(picture))
            last, n = picture, n + 1
        for _ in range(round(PAUSE * fps)):
            writer.send(np.ascontiguousarray(last))
        writer.close()
        whole = imageio_ffmpeg.count_frames_and_secs(str(path))[0] == n + round(PAUSE * fps)
    except (OSError, RuntimeError) as error:  # the message is ffmpeg's command
        raise OSError(UNFINISHED) from error
    if not whole:  # on a full disk, ffmpeg does not report that its last write failed
        raise OSError(UNFINISHED)


def _even(picture: Picture) -> Picture:
    """Returns a picture with even sides, as the codec requires, by repeating the last row or column."""
    height, width, _ = picture.shape
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


WRITERS: dict[str, Callable[[Path, Iterator[Picture], float], None]] = {".gif": _write_gif, ".mp4": _write_mp4}


def _image() -> Any:
    return require("PIL.Image", "viewer", "a file of pictures")
