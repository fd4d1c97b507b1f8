"""Tests of experiments.reporting.report: offline, escaped, well formed, complete."""

import base64
import copy
from html.parser import HTMLParser

import pytest

from experiments.reporting import report

VOID = {"meta", "img", "br", "circle", "line"}
EVALUATION = {
    "success": 0.25,
    "interval": [0.2, 0.31],
    "per_task": {
        "turn on the stove": {"success": 0.5, "interval": [0.4, 0.6], "episodes": 80},
        "<b>&": {"success": 0.0, "interval": [0.0, 0.05], "episodes": 80},
    },
}
RESULTS = {
    "before": EVALUATION,
    "after": {**EVALUATION, "success": 0.75, "interval": [0.69, 0.8]},
    "episodes": 240,
    "swapped_instructions": {"success": 0.1, "interval": [0.06, 0.14]},
    "wall_seconds": {"demonstrations": 60.0, "online": 300.0, "total": 360.0},
    "time_split": {"physics": 3.0, "rendering": 1.0},
    "seed": 7,
    "versions": {"jax": "0.10.2"},
    "device": "cpu",
    "config": {"rl": {"group_size": 8, "empty": {}}},
}
HISTORY = [{"success": 0.5, "reward": 0.6, "clip_fraction": 0.1, "kl": 0.01}]


class Outline(HTMLParser):
    """Checks that tags close in order, and collects text and outside addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.words, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[k] for k in ("src", "href") if k in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def render(tmp_path, results=RESULTS, history=HISTORY, **media):
    path = tmp_path / "report.html"
    report.write(path, results, history, **media)
    outline = Outline()
    outline.feed(path.read_text("utf-8"))
    assert outline.open == []
    return outline, " ".join(" ".join(outline.words).split())


def test_every_number_is_on_the_page(tmp_path):
    _, words = render(tmp_path)
    words = words.replace(" %", "%")  # a thin space
    for wanted in (
        *("25%", "75%", "20% to 31%", "69% to 80%", "+50 points", "do not overlap"),
        *("240", "turn on the stove", "10%", "the words matter", "1 min 00 s"),
        *("5 min 00 s, 83%", "6 min 00 s in all", "physics 75%", "seed 7", "cpu"),
        *("rl.group_size", "rl.empty", "0.10.2", "success 0.5"),
    ):
        assert wanted in words, wanted


def test_divergence_is_counted(tmp_path):
    names = ("before", "after", "swapped_instructions")
    counted = {n: {**EVALUATION, "diverged": i} for i, n in enumerate(names, 1)}
    history = [{"diverged": 3.0}, {"diverged": 4.0}]
    _, words = render(tmp_path, {**RESULTS, **counted}, history)
    assert "failures: 1 before, 2 after, 3 with swapped instructions." in words
    assert "Diverged episodes in all of them: 7." in words


def test_text_from_outside_is_escaped(tmp_path):
    results = copy.deepcopy(RESULTS)
    results["device"] = "<script>alert(1)</script>"
    results["config"] = {"<i>": '"&'}
    render(tmp_path, results)
    content = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in content
    assert "&lt;script&gt;alert(1)" in content and "&lt;b&gt;&amp;" in content
    assert "<i>" not in content


def test_media_are_embedded_and_nothing_is_fetched(tmp_path):
    (tmp_path / "curve.png").write_bytes(b"picture")
    (tmp_path / "before.mp4").write_bytes(b"film")
    videos = {"Before & after": tmp_path / "before.mp4"}
    outline, words = render(tmp_path, curve=tmp_path / "curve.png", videos=videos)
    picture, film = [base64.b64encode(b).decode() for b in (b"picture", b"film")]
    assert set(outline.addresses) == {
        f"data:image/png;base64,{picture}",
        f"data:video/mp4;base64,{film}",
    }
    assert "Before & after" in words
    content = (tmp_path / "report.html").read_text("utf-8")
    assert "http" not in content and "@import" not in content


def test_the_episodes_page_is_linked(tmp_path):
    outline, words = render(tmp_path, episodes=tmp_path / "episodes.html")
    assert outline.addresses == ["episodes.html"] and "Episodes in 3-D" in words


def test_what_was_not_measured_is_left_out(tmp_path):
    results = {key: RESULTS[key] for key in ("before", "after")}
    _, words = render(tmp_path, results, [])
    for absent in ("Time", "Settings", "swapped", "Online learning", "looks like"):
        assert absent not in words


def test_weak_results_are_told_as_they_are(tmp_path):
    results = {**RESULTS, "after": EVALUATION}
    results["swapped_instructions"] = {"success": 0.2, "interval": [0.1, 0.3]}
    _, words = render(tmp_path, results)
    assert "+0 points" in words and "intervals overlap" in words
    assert "words matter" not in words and "is still" in words


def test_a_missing_video_leaves_no_report(tmp_path):
    with pytest.raises(FileNotFoundError, match="lost.mp4"):
        render(tmp_path, videos={"x": tmp_path / "lost.mp4"})
    assert list(tmp_path.iterdir()) == []
