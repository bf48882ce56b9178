"""Episodes as files: GIF, MP4 and PNG, read back."""

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from rlbench.errors import StoreError, UsageError
from rlbench.viewer import files
from rlbench.viewer.files import check_path, contact_sheet, save


def solid(*colors, size=(40, 30)):
    """Pictures of one colour each."""
    return [np.full((size[1], size[0], 3), color, np.uint8) for color in colors]


RED, GREEN, BLUE = (200, 30, 30), (30, 160, 60), (40, 60, 200)


def frames_of(path):
    with Image.open(path) as image:
        return [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]


def test_a_gif_has_every_frame_in_its_colours_and_rests_on_the_last(tmp_path):
    path = save(tmp_path / "trip.gif", solid(RED, GREEN, BLUE), fps=4)
    found = frames_of(path)
    assert [duration for _, duration in found] == [250, 250, 1200]
    for (pixels, _), color in zip(found, (RED, GREEN, BLUE), strict=True):
        assert np.abs(pixels.astype(int) - color).max() < 10


def test_a_gif_shows_each_picture_and_not_traces_of_those_before(tmp_path):
    pictures = []
    for k in range(12):
        picture = np.full((60, 80, 3), (90, 98, 110), np.uint8)
        picture[10:30, 5 * k : 5 * k + 20] = (252, 204, 38)
        pictures.append(picture)
    found = frames_of(save(tmp_path / "moving.gif", pictures, fps=10))
    for picture, (pixels, _) in zip(pictures, found, strict=True):
        assert np.abs(pixels.astype(int) - picture).max() < files.NEAR_COLOR + 10


@pytest.mark.parametrize(("fps", "expected"), [(3, [330, 340, 330]), (50, [20] * 3), (400, [20] * 3)])
def test_a_gif_keeps_time_in_hundredths_of_a_second(tmp_path, fps, expected):
    found = frames_of(save(tmp_path / "a.gif", solid(RED, GREEN, BLUE, RED), fps=fps))
    assert [duration for _, duration in found][:-1] == expected


def test_the_endings_decide_in_either_case(tmp_path):
    assert save(tmp_path / "A.GIF", solid(RED), fps=4).read_bytes()[:3] == b"GIF"
    assert save(tmp_path / "A.PNG", solid(RED), fps=4).read_bytes()[1:4] == b"PNG"


def test_an_mp4_has_every_frame_at_its_rate_with_even_sides(tmp_path):
    path = save(tmp_path / "trip.mp4", solid(RED, GREEN, BLUE, size=(61, 43)), fps=5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    read = subprocess.run(command, capture_output=True, check=True)
    assert b"62x44" in read.stderr
    assert b"5 fps" in read.stderr
    pictures = np.frombuffer(read.stdout, np.uint8).reshape(-1, 44, 62, 3)
    assert len(pictures) == 3 + 6  # the last rests for 1.2 s
    for picture, color in zip(pictures, (RED, GREEN, BLUE), strict=False):
        assert np.abs(picture.astype(int) - color).max() < 25


def test_one_frame_is_that_picture(tmp_path):
    path = save(tmp_path / "one.png", solid(RED, GREEN), fps=4, frame=1)
    assert np.array_equal(np.asarray(Image.open(path)), solid(GREEN)[0])


def test_one_frame_reads_no_further_than_it(tmp_path):
    save(
        tmp_path / "one.png",
        (picture if k < 3 else pytest.fail("it read on") for k, picture in enumerate(solid(*[RED] * 4))),
        fps=4,
        frame=2,
    )


def test_a_sheet_shows_all_frames_in_reading_order():
    sheet = contact_sheet(solid(RED, GREEN, BLUE))
    places = [(0, 0), (0, 1), (1, 0)]
    tiles = [
        sheet[files.SHEET_GAP + 15 + row * (30 + files.SHEET_GAP), files.SHEET_GAP + 20 + col * (40 + files.SHEET_GAP)]
        for row, col in places
    ]
    assert [tuple(tile) for tile in tiles] == [RED, GREEN, BLUE]
    assert tuple(sheet[0, 0]) == tuple(sheet[-20, -20]) == files.PAPER


@given(st.integers(1, 200), st.integers(1, 900), st.integers(1, 900))
@settings(max_examples=25)
def test_a_sheet_of_any_number_of_frames_is_not_too_large_and_has_the_first_and_the_last(count, width, height):
    pictures = [np.zeros((height, width, 3), np.uint8)] * count
    first, last = np.full((height, width, 3), RED, np.uint8), np.full((height, width, 3), GREEN, np.uint8)
    sheet = contact_sheet([first, *pictures, last])
    assert sheet.shape[1] <= files.SHEET
    flat = sheet.reshape(-1, 3)
    assert (flat == RED).all(axis=1).any()
    assert (flat == GREEN).all(axis=1).any()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trip.avi", "must end in .gif, .mp4 or .png, got '.*trip.avi'"),
        ("trip", "must end in .gif, .mp4 or .png"),
        ("none/trip.gif", "folder '.*none' does not exist: create it first"),
    ],
)
def test_a_path_that_cannot_be_is_refused(tmp_path, name, said):
    with pytest.raises(UsageError, match=said):
        check_path(tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(UsageError, match="is a folder: name a file in it"):
        check_path(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_a_file_that_cannot_be_written_says_why(tmp_path, monkeypatch, name):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(StoreError, match=rf"cannot write .*{name}: Permission denied"):
        save(tmp_path / name, solid(RED), fps=4)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder in which nobody may write")
def test_a_film_that_cannot_be_written_says_so_in_one_line():
    with pytest.raises(StoreError) as caught:
        save("/proc/a.mp4", solid(RED), fps=4)
    assert re.fullmatch(r"cannot write /proc/a.mp4: [\w ]+", str(caught.value))


@pytest.mark.parametrize("fps", [0, -1, 1e9, float("nan")])
def test_an_impossible_frame_rate_is_refused(tmp_path, fps):
    with pytest.raises(UsageError, match="frame rate must be above 0"):
        save(tmp_path / "a.gif", solid(RED), fps=fps)


@pytest.mark.parametrize("frame", [2, -1])
def test_a_frame_that_is_not_there_is_refused(tmp_path, frame):
    with pytest.raises(UsageError, match=f"frame {frame} is out of range"):
        save(tmp_path / "a.png", solid(RED, GREEN), fps=4, frame=frame)


def test_one_frame_of_a_film_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a single frame needs a \.png"):
        save(tmp_path / "a.gif", solid(RED), fps=4, frame=0)
