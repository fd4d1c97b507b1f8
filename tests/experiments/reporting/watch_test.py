"""Tests of experiments.reporting.watch: the page in a headless browser."""

import base64
import io
import json
import math
import re

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from experiments.reporting import watch
from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.world import observe, visual_scene
from tests.helpers import browser

FRAMES, SIDE = 21, 192
PROGRAM = browser.find()
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def scene():
    return scenes.make("libero_goal", tasks=(7,), engine="mujoco")


@pytest.fixture(scope="module")
def visuals(scene):
    return visual_scene.make(scene)


@pytest.fixture(scope="module")
def start(scene):
    """The simulator's physics after a reset."""
    reset = compilation.jit(lambda keys: env.reset(scene, jnp.array([7]), keys))
    return reset(jax.random.split(jax.random.key(0), 1)).physics


def turning_arm(scene, start):
    """Poses [T, N, ...]: the arm turns about its base, everything else stands still."""
    model, base = scene.model, scene.bodies["robot_base"]
    arm = [body for body in range(model.nbody) if model.body_rootid[body] == base]
    positions, quaternions = [], []
    for angle in np.linspace(0, 0.6, FRAMES):
        turn = Rotation.from_rotvec([0, 0, angle])
        position, quaternion = np.array(start.xpos[0]), np.array(start.xquat[0])
        position[arm] = position[base] + turn.apply(position[arm] - position[base])
        turned = turn * Rotation.from_quat(quaternion[arm], scalar_first=True)
        quaternion[arm] = turned.as_quat(scalar_first=True)
        positions.append(position)
        quaternions.append(quaternion)
    return np.array(positions, np.float32), np.array(quaternions, np.float32)


@pytest.fixture(scope="module")
def record(scene, start):
    position, quaternion = turning_arm(scene, start)
    pictures = np.random.default_rng(0).integers(0, 255, (5, 2, 16, 16, 3), np.uint8)
    return watch.EpisodeRecord(
        title="turn on </script> the stove",
        label="episode 1",
        outcome="success",
        success=16,
        position=position,
        quaternion=quaternion,
        hand=position[:, scene.bodies[panda.EEF_BODY]],
        decisions=(0, 4, 8, 12, 16),
        curves={"alignment": np.linspace(0, 1, FRAMES)},
        pictures=pictures,
        picture_frames=(0, 4, 8, 12, 16),
    )


@pytest.fixture(scope="module")
def page(visuals, record, tmp_path_factory):
    path = tmp_path_factory.mktemp("watch") / "episodes.html"
    still = record._replace(title="stand", outcome="", success=None, pictures=None)
    still = still._replace(decisions=(), curves={}, picture_frames=())
    watch.write(path, visuals, [record, still], title="Two episodes")
    return path


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    assert PROGRAM is not None
    with browser.launched(PROGRAM, tmp_path_factory.mktemp("browser") / "p") as tab:
        yield tab


def text(tab, name):
    return tab.run(f"document.getElementById('{name}').textContent")


def drawn(tab):
    """Wait until what was asked for is on the screen."""
    tab.run(
        "new Promise((done) =>"
        " requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def picture(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)


def test_the_page_needs_no_network_and_is_small(page):
    source = page.read_text("utf-8")
    assert not re.search(r"(src|href)=\"(?!data:)|@import|https?://(?!www\.w3)", source)
    assert len(source) < 250_000 and source.count("</script>") == 2
    data = re.search(r'id="data">(.*?)</script>', source, re.DOTALL)
    assert data and json.loads(data[1])["episodes"][0]["success"] == 16


def test_poses_keep_a_tenth_of_a_millimetre(record):
    stored = watch._episode(record)
    numbers = np.frombuffer(base64.b64decode(stored["poses"]), "<i2")
    moving = stored["moving"]
    numbers = numbers.reshape(FRAMES, len(moving), 7).astype(float)
    position = numbers[..., :3] * stored["step"] + stored["origin"]
    np.testing.assert_allclose(position, record.position[:, moving], atol=1e-4)
    turned = numbers[..., 3:] / watch.INT16
    np.testing.assert_allclose(turned, record.quaternion[:, moving], atol=1e-4)
    still = dict(stored["still"])
    assert len(still) > 3 and not set(still) & set(moving)
    for body, pose in still.items():
        np.testing.assert_allclose(pose[:3], record.position[0, body], atol=1e-4)


def test_quaternions_of_matrices_turn_alike(visuals):
    for group in visuals.shapes:
        for matrix in group.rotation:
            w, x, y, z = watch._quaternion(matrix)
            back = np.zeros(9)
            mujoco.mju_quat2Mat(back, np.array([w, x, y, z]))
            np.testing.assert_allclose(back.reshape(3, 3), matrix, atol=1e-5)


def test_no_episodes_are_refused(visuals, tmp_path):
    with pytest.raises(ValueError, match="no episodes"):
        watch.write(tmp_path / "page.html", visuals, [], title="")
    assert not list(tmp_path.iterdir())


@needs_browser
@pytest.mark.slow
def test_scrubbing_moves_counter_pictures_and_scene(tab, page, record):
    tab.open(page, width=1200, height=800)
    assert text(tab, "title") == record.title and text(tab, "frame") == "0 / 20"
    first = picture(tab.screenshot())
    tab.run(
        "(() => { const seek = document.getElementById('seek'); seek.value = 13;"
        "seek.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    drawn(tab)
    assert text(tab, "frame") == "13 / 20" and text(tab, "chunk") == "chunk 4 of 5"
    assert text(tab, "seen") == "observed at frame 12"
    second = picture(tab.screenshot())
    stage = np.s_[120:600, 60:800]
    assert first[stage].std() > 20  # not blank
    assert np.abs(first[stage] - second[stage]).max(axis=-1).mean() > 0.5  # it moved
    shown = tab.run("document.querySelector('figure canvas').toDataURL()")
    shown = picture(base64.b64decode(shown.split(",")[1]))
    np.testing.assert_array_equal(shown, record.pictures[3, 0])
    assert tab.complaints == []


@needs_browser
@pytest.mark.slow
def test_keys_and_episodes_work(tab, page):
    tab.open(page, width=1200, height=800, fragment="#episode=1&frame=5")
    assert text(tab, "frame") == "5 / 20"
    for key, modifiers, frame in (
        ("ArrowRight", 0, 6),
        ("ArrowRight", 8, 8),  # with shift: the next chunk
        ("ArrowLeft", 8, 4),
        ("End", 0, 20),
    ):
        tab.send("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers)
        drawn(tab)
        assert text(tab, "frame") == f"{frame} / 20"
    play = "document.getElementById('play').click(), player.isPlaying && player.time"
    assert tab.run(play) == 0  # from the start again
    tab.wait_for("!player.isPlaying")
    assert text(tab, "frame") == "20 / 20"
    tab.run("document.querySelectorAll('.episode')[1].click()")
    drawn(tab)
    assert text(tab, "title") == "stand" and text(tab, "outcome") == ""
    assert tab.run("document.getElementById('pictures').hidden")
    assert text(tab, "count") == "1 of 1 succeeded" and tab.complaints == []


@needs_browser
@pytest.mark.slow
def test_a_frame_from_before_the_click_plays_on(tab, page):
    tab.open(page, width=1200, height=800, fragment="#episode=1&frame=20")
    tab.run("player.play(true), player.before += 100")  # ms
    tab.wait_for("!player.isPlaying")
    assert text(tab, "frame") == "20 / 20" and tab.complaints == []


@needs_browser
@pytest.mark.slow
def test_a_phone_shows_all_without_scrolling_sideways(tab, page):
    tab.open(page, width=360, height=740)
    assert tab.run("document.documentElement.scrollWidth") == 360
    for name in ("scene", "seek", "play", "pictures", "episodes"):
        left, right = tab.run(
            f"(({{left, right}}) => [left, right])(document.getElementById('{name}')"
            ".getBoundingClientRect())"
        )
        assert 0 <= left < right <= 360, name
    assert picture(tab.screenshot())[100:400].std() > 20


@needs_browser
@pytest.mark.slow
def test_the_agent_view_is_the_renderers(tab, page, visuals, start):
    """The shaders repeat shading and textures: pictures agree but for edges."""
    tab.open(page, width=900, height=700, fragment="#episode=1&frame=0")
    tab.run(
        f"Object.assign(document.getElementById('scene').style, {{width: '{SIDE}px',"
        f"height: '{SIDE}px'}}), player.look('agent view')"
    )
    drawn(tab)
    shown = tab.run("document.getElementById('scene').toDataURL()")
    shown = picture(base64.b64decode(shown.split(",")[1]))
    draw = compilation.jit(
        lambda physics: observe.images(visuals, physics, size=SIDE, shadows=True),
        fused=True,
    )
    expected = np.asarray(draw(start))[0, 0]
    difference = np.abs(shown - expected).mean(axis=-1)
    assert np.median(difference) < 1 and np.mean(difference > 24) < 0.05


def frustum(low, high, height):
    return math.pi * height / 3 * (low**2 + low * high + high**2)


WALL = 0.06 * 0.3  # of the cup below
CUBE = [[x, y, z, 0.5] for x, y, z in np.vstack([np.eye(3), -np.eye(3)]).tolist()]
VOLUMES = [
    ("box", [0.1, 0.2, 0.3], 8 * 0.1 * 0.2 * 0.3),
    ("sphere", [0.5], 4 / 3 * math.pi * 0.5**3),
    ("ellipsoid", [0.1, 0.2, 0.3], 4 / 3 * math.pi * 0.1 * 0.2 * 0.3),
    ("capsule", [0.2, 0.4], math.pi * 0.2**2 * (0.8 + 4 / 3 * 0.2)),
    ("cylinder", [0.2, 0.4], math.pi * 0.2**2 * 0.8),
    ("cone", [0.2, 0.1, 0.3], frustum(0.2, 0.1, 0.6)),
    (
        "cup",
        [0.2, 0.3, 0.2],
        # The cavity's bottom is as wide as the outside at its height, less a wall.
        frustum(0.2, 0.3, 0.4)
        - frustum(0.2 + 0.1 * WALL / 0.4 - WALL, 0.3 - WALL, 0.4 - WALL),
    ),
    ("polytope", [1, 1, 1], 1.0),
]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("kind, size, volume", VOLUMES)
def test_meshes_enclose_their_volume(tab, page, kind, size, volume):
    """By the divergence theorem: a hole or a face turned round would show."""
    if tab.run("typeof shapeMesh") == "undefined":
        tab.open(page, width=900, height=700)
    shape = json.dumps({"kind": kind, "size": size, "planes": CUBE})
    corners = tab.run(f"shapeMesh({shape}, [0, 0, 1]).position")
    a, b, c = np.reshape(corners, (-1, 3, 3)).transpose(1, 0, 2)
    found = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    assert found == pytest.approx(volume, rel=0.015)
