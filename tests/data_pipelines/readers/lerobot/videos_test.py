"""Tests of lerobot.videos: seeking, key frames far apart, files that are cut short."""

import shutil
import threading

import av
import numpy as np
import pytest

from data_pipelines.readers.lerobot import videos
from tests.data_pipelines.readers.fixtures.make_fixtures import FOLDER

FRAMES, FPS = 24, 10


def encode(file, codec, **options):
    """A video whose frame t is grey of 10 t; returns `file`."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, FPS, options=options)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for t in range(FRAMES):
            picture = np.full((64, 64, 3), 10 * t, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


@pytest.mark.parametrize(
    "codec, options",
    [
        ("libsvtav1", {"g": "2", "crf": "30"}),
        ("libx264", {"g": "2"}),
        ("libx264", {"g": "12", "bf": "3"}),
        ("libx264", {"g": "250", "bf": "2"}),
        ("libx264", {"g": "1"}),
    ],
)
def test_frames_are_found_in_any_order(tmp_path, codec, options):
    file = encode(tmp_path / "a.mp4", codec, **options)
    order = [0, 1, 2, 23, 22, 3, 11, 12, 12, 5, 20, 0]
    found = [videos.read_frame(file, t / FPS, where="row").mean() for t in order]
    np.testing.assert_allclose(found, 10.0 * np.asarray(order), atol=3)


def test_threads_share_an_open_video(tmp_path):
    file = encode(tmp_path / "a.mp4", "libx264", g="2")
    found = {}

    def read(frames):
        for t in frames:
            found[t] = videos.read_frame(file, t / FPS, where="row").mean()

    threads = [threading.Thread(target=read, args=(range(k, 24, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = np.arange(FRAMES)
    np.testing.assert_allclose([found[t] for t in frames], 10.0 * frames, atol=3)


def test_a_time_between_frames_is_refused(tmp_path):
    file = encode(tmp_path / "a.mp4", "libx264")
    text = r"no frame at 0.25 s \(but one at 0.3 s\), which t.parquet, row 7 asks for"
    with pytest.raises(ValueError, match=text):
        videos.read_frame(file, 0.25, where="t.parquet, row 7")
    with pytest.raises(ValueError, match=r"no frame at 3 s \(but one at 2.3 s\)"):
        videos.read_frame(file, 3.0, where="t.parquet, row 7")


@pytest.mark.parametrize("name", ["v30_av1", "v30_h264"])
def test_a_video_that_is_cut_short_is_named(tmp_path, name):
    source = next((FOLDER / name).glob("videos/*.image/*/*.mp4"))
    whole = source.read_bytes()
    for share in (0.3, 0.9):
        file = tmp_path / f"{name}_{share}.mp4"
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match=r"\.mp4 .*t.parquet, row \d+") as error:
            for t in range(20):
                videos.read_frame(file, t / FPS, where=f"t.parquet, row {t}")
        assert len(str(error.value).splitlines()) == 1


def test_what_is_no_video_is_named(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="a.mp4 is a Git-LFS pointer"):
        videos.read_frame(file, 0.0, where="row 0")
    shutil.copy(FOLDER / "v21_images.npz", file)
    with pytest.raises(ValueError, match="a.mp4 is a NumPy archive"):
        videos.read_frame(file, 0.0, where="row 0")
