"""Tests of experiments.reporting.video: pixels, marks, and a file that plays."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from experiments.reporting import video

T, E, SIDE = 6, 3, 16
INSTRUCTIONS = ["turn on the stove", "put the bowl on the plate", "word " * 80]


@pytest.fixture(scope="module")
def views() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (2, T, E, SIDE, SIDE, 3)
    agent, wrist = rng.integers(0, 120, shape, dtype=np.uint8)
    return agent, wrist


@pytest.fixture(scope="module")
def frames(views):
    return video.compose(views[0], views[1], INSTRUCTIONS, [-1, 0, 3])


def left(e):
    """The left edge of an episode's images."""
    return video.GAP + e * (video.MIN_SIDE + video.GAP)


def test_frames_are_even_and_hold_every_image(frames, views):
    assert frames.dtype == np.uint8 and frames.shape[0] == T
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    scale, side = video.MIN_SIDE // SIDE, video.MIN_SIDE
    for e in range(E):
        for row, view in enumerate(views):
            top = video.HEADER + row * (side + video.GAP)
            tile = frames[2, top : top + side, left(e) : left(e) + side]
            if (e, row) != (1, 0):  # that one carries a badge
                np.testing.assert_array_equal(tile[::scale, ::scale], view[2, e])


def test_the_badge_appears_with_success_and_stays(frames):
    def green(t, e):
        top, start = video.HEADER + video.BADGE_OFFSET, left(e) + video.BADGE_OFFSET
        pixel = frames[t, top + 3 : top + 8, start + 20 : start + 40].astype(int)
        return pixel[..., 1].mean() > 140 and pixel[..., 0].mean() < 60

    assert [green(t, 0) for t in range(T)] == [False] * T
    assert [green(t, 1) for t in range(T)] == [True] * T
    assert [green(t, 2) for t in range(T)] == [False] * 3 + [True] * 3


def test_each_instruction_stays_in_its_column(frames):
    header = frames[0, : video.HEADER]
    for e in range(E):
        assert header[:, left(e) : left(e) + video.MIN_SIDE].max() > 200
    between = [left(e) - video.GAP // 2 for e in range(E)]
    assert (header[:, between] == video.PAPER).all()


def test_wrapping_cuts_what_does_not_fit():
    font = video.ImageFont.load_default(video.TEXT_SIZE)
    assert video.wrap("", font, 200) == []
    assert video.wrap("turn on", font, 200) == ["turn on"]
    lines = video.wrap("word " * 80, font, 200)
    assert len(lines) == video.TEXT_LINES and lines[-1].endswith("…")
    assert video.wrap("w" * 200, font, 200)[0].endswith("…")
    assert all(font.getlength(line) <= 200 for line in lines)


def test_inputs_stay_as_they_were(views):
    copies = [view.copy() for view in views]
    video.compose(views[0], views[1], INSTRUCTIONS, np.zeros(3, int))
    for view, copy in zip(views, copies):
        np.testing.assert_array_equal(view, copy)


def test_disagreements_are_named(views):
    agent, wrist = views
    with pytest.raises(ValueError, match="3 episodes came with 1 instructions"):
        video.compose(agent, wrist, ["one"], [0, 0, 0])
    with pytest.raises(ValueError, match="float32"):
        video.compose(agent.astype(np.float32), wrist, INSTRUCTIONS, [0, 0, 0])


@pytest.mark.slow
def test_a_video_has_every_frame(tmp_path, frames):
    path = tmp_path / "new" / "after.mp4"
    video.write_mp4(path, frames, fps=5)
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    height, width = frames.shape[1:3]
    assert meta["size"] == (width, height) and meta["fps"] == 5
    assert meta["codec"] == "h264" and "yuv420p" in meta["pix_fmt"]
    found = [np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader]
    assert len(found) == T
    assert np.abs(found[1].astype(float) - frames[1]).mean() < 12
    assert list(path.parent.iterdir()) == [path]


def test_a_video_that_cannot_be_encoded_raises(tmp_path, frames, monkeypatch):
    def elsewhere(command, **options):
        return run([*command[:-1], str(tmp_path / "absent" / "x.mp4")], **options)

    run = subprocess.run
    monkeypatch.setattr(video.subprocess, "run", elsewhere)
    with pytest.raises(OSError, match="could not be encoded"):
        video.write_mp4(tmp_path / "x.mp4", frames)
    assert list(tmp_path.iterdir()) == []


def test_odd_or_empty_frames_are_refused(tmp_path):
    for shape in ((2, 3, 4, 3), (0, 4, 4, 3), (4, 4, 3)):
        with pytest.raises(ValueError, match="even h and w"):
            video.write_mp4(tmp_path / "x.mp4", np.zeros(shape, np.uint8))
    assert list(tmp_path.iterdir()) == []
