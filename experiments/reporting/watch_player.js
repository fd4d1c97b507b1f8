// The page around the 3-D view: episodes, timeline, pictures, playing and keys.
"use strict";

const SPEEDS = [0.25, 0.5, 1, 2, 4];
const element = (id) => document.getElementById(id);

/** An episode of the page with its poses decoded. */
class Episode {
  constructor(record, bodies) {
    Object.assign(this, record);
    const bytes = Uint8Array.from(atob(record.poses), (c) => c.charCodeAt(0));
    this.quantised = new Int16Array(bytes.buffer);
    this.base = new Float32Array(8 * bodies);
    for (let body = 0; body < bodies; body++) this.base[8 * body + 4] = 1;
    for (const [body, pose] of record.still) {
      this.base.set([...pose.slice(0, 3), 1, ...pose.slice(3)], 8 * body);
    }
  }

  /** Poses of all bodies, eight numbers each, at a time between two frames. */
  posesAt(time) {
    const low = Math.min(Math.floor(time), this.frames - 1);
    const high = Math.min(low + 1, this.frames - 1), share = time - low;
    const out = this.base.slice(), count = this.moving.length, q = this.quantised;
    this.moving.forEach((body, i) => {
      const a = 7 * (low * count + i), b = 7 * (high * count + i), at = 8 * body;
      for (let k = 0; k < 3; k++) {
        const mixed = q[a + k] + (q[b + k] - q[a + k]) * share;
        out[at + k] = this.origin[k] + mixed * this.step;
      }
      out[at + 3] = 1;
      let sign = 0, square = 0;
      for (let k = 3; k < 7; k++) sign += q[a + k] * q[b + k];
      for (let k = 3; k < 7; k++) {
        const other = sign < 0 ? -q[b + k] : q[b + k];
        const mixed = q[a + k] + (other - q[a + k]) * share;
        out[at + 1 + k] = mixed;
        square += mixed * mixed;
      }
      for (let k = 4; k < 8; k++) out[at + k] /= Math.sqrt(square);
    });
    return out;
  }
}

class Player {
  constructor(data) {
    this.data = data;
    this.episodes = data.episodes.map((record) => new Episode(record, data.scene.bodies));
    this.speed = SPEEDS.indexOf(1);
    this.time = 0;
    this.isPlaying = false;
    try {
      this.view = new SceneView(element("scene"), data.scene);
      listenToPointers(this.view, () => this.redraw());
    } catch (error) {
      element("fallback").textContent = error.message;
      element("fallback").hidden = false;
    }
    this.listEpisodes();
    this.listen();
    this.readAddress();
  }

  readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const number = Number(given.get("episode") || 1) - 1;
    this.choose(Math.min(Math.max(number || 0, 0), this.episodes.length - 1));
    this.seek(Number(given.get("frame") || 0) || 0);
    if (given.get("camera")) this.look(given.get("camera"));
  }

  listEpisodes() {
    this.episodes.forEach((episode, i) => {
      const button = document.createElement("button");
      button.className = `episode ${episode.outcome}`;
      button.innerHTML = "<i></i><span></span><small></small>";
      button.children[1].textContent = episode.title;
      button.children[2].textContent = episode.label;
      button.title = episode.outcome || "outcome unknown";
      button.addEventListener("click", () => this.choose(i));
      element("episodes").append(button);
    });
    const judged = this.episodes.filter((episode) => episode.outcome);
    const reached = judged.filter((episode) => episode.outcome === "success");
    element("count").textContent = judged.length
      ? `${reached.length} of ${judged.length} succeeded` : "";
  }

  choose(number) {
    this.number = number;
    this.episode = this.episodes[number];
    const { title, label, outcome, frames, pictures } = this.episode;
    element("title").textContent = title;
    element("label").textContent = label;
    element("outcome").textContent = outcome;
    element("outcome").className = outcome;
    element("seek").max = frames - 1;
    [...element("episodes").children].forEach((button, i) => {
      button.setAttribute("aria-current", i === number);
    });
    this.sheet = null;
    element("pictures").hidden = !pictures;
    if (pictures) {
      const sheet = new Image();
      sheet.onload = () => {
        if (this.episode.pictures === pictures) this.sheet = sheet;
        this.redraw();
      };
      sheet.src = pictures.sheet;
    }
    this.view?.setEpisode(this.episode);
    this.drawTimeline();
    this.seek(0);
  }

  /** Ticks of chunks, the curves and the success, in the timeline's SVG. */
  drawTimeline() {
    const { frames, decisions, curves, success } = this.episode;
    const x = (frame) => ((1000 * frame) / Math.max(1, frames - 1)).toFixed(1);
    const parts = decisions.map((start, i) => {
      const end = decisions[i + 1] ?? frames - 1;
      const kind = i % 2 ? "odd" : "even";
      return `<rect class="chunk ${kind}" x="${x(start)}" width="${x(end) - x(start)}" height="100"/>`;
    });
    Object.values(curves).forEach((values, i) => {
      const points = values.map((value, frame) =>
        `${x(frame)},${(92 - 84 * Math.min(1, Math.max(0, value))).toFixed(1)}`);
      parts.push(`<polyline class="curve c${i}" points="${points.join(" ")}"/>`);
    });
    if (success !== null) {
      parts.push(`<line class="success" x1="${x(success)}" x2="${x(success)}" y2="100"/>`);
    }
    element("plot").innerHTML = parts.join("");
    element("flag").hidden = success === null;
    element("flag").style.left = `${x(success ?? 0) / 10}%`;
    element("flag").classList.toggle("late", x(success ?? 0) > 850);
    const names = Object.keys(curves);
    element("curves").innerHTML = names.map((_, i) =>
      `<span><i class="c${i}"></i><span></span> <b></b></span>`).join("");
    names.forEach((name, i) => {
      element("curves").children[i].children[1].textContent = name;
    });
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.episode.frames - 1);
    this.redraw();
  }

  /** The first frames of the chunks before and after now. */
  neighbours() {
    const now = Math.floor(this.time), starts = this.episode.decisions;
    const next = starts.find((start) => start > now) ?? this.episode.frames - 1;
    const before = starts.filter((start) => start < now).pop() ?? 0;
    return [before, next];
  }

  play(isPlaying) {
    if (isPlaying && this.time >= this.episode.frames - 1) this.time = 0;
    this.isPlaying = isPlaying;
    element("play").classList.toggle("playing", isPlaying);
    element("play").setAttribute("aria-label", isPlaying ? "pause" : "play");
    this.before = performance.now();
    this.redraw();
  }

  changeSpeed(by) {
    const last = SPEEDS.length - 1;
    this.speed = Math.min(last, Math.max(0, this.speed + by));
    element("speed").textContent = `${SPEEDS[this.speed]}×`;
  }

  look(camera) {
    if (!this.view) return;
    this.view.camera = camera;
    for (const button of element("cameras").children) {
      button.setAttribute("aria-pressed", button.dataset.camera === camera);
    }
    this.redraw();
  }

  redraw() {
    if (this.isScheduled) return;
    this.isScheduled = true;
    requestAnimationFrame((now) => {
      this.isScheduled = false;
      if (this.isPlaying) {
        // A frame may have begun before the click that started playing.
        const passed = Math.max(0, now - this.before) / 1000;
        this.before = now;
        this.time += passed * this.data.fps * SPEEDS[this.speed];
        if (this.time >= this.episode.frames - 1) {
          this.time = this.episode.frames - 1;
          this.play(false);
        }
      }
      this.show();
      if (this.isPlaying) this.redraw();
    });
  }

  show() {
    const frame = Math.floor(this.time), last = this.episode.frames - 1;
    element("frame").textContent = `${frame} / ${last}`;
    element("clock").textContent = `${(frame / this.data.fps).toFixed(2)} s`;
    element("seek").value = frame;
    element("head").style.left = `${(100 * this.time) / Math.max(1, last)}%`;
    Object.values(this.episode.curves).forEach((values, i) => {
      element("curves").children[i].querySelector("b").textContent = values[frame].toFixed(2);
    });
    const chunk = this.episode.decisions.filter((start) => start <= frame).length;
    element("chunk").textContent = chunk ? `chunk ${chunk} of ${this.episode.decisions.length}` : "";
    this.showPictures(frame);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).match(/[\d.]+/g).map((c) => c / 255);
    this.view?.draw(this.time, colour("--stage"), colour("--path"));
  }

  /** The pictures of the last observation up to `frame`. */
  showPictures(frame) {
    const { pictures } = this.episode;
    if (!pictures || !this.sheet) return;
    const row = Math.max(0, pictures.frames.filter((at) => at <= frame).length - 1);
    element("seen").textContent = `observed at frame ${pictures.frames[row]}`;
    const size = pictures.size;
    [...element("pictures").querySelectorAll("canvas")].forEach((canvas, column) => {
      canvas.parentElement.hidden = column >= pictures.views;
      if (canvas.width !== size) canvas.width = canvas.height = size;
      const from = [column * size, row * size, size, size];
      canvas.getContext("2d").drawImage(this.sheet, ...from, 0, 0, size, size);
    });
  }

  listen() {
    element("seek").addEventListener("input", (event) => {
      this.play(false);
      this.seek(Number(event.target.value));
    });
    element("play").addEventListener("click", () => this.play(!this.isPlaying));
    element("back").addEventListener("click", () => this.seek(this.neighbours()[0]));
    element("on").addEventListener("click", () => this.seek(this.neighbours()[1]));
    element("speed").addEventListener("click", () => {
      this.changeSpeed(this.speed === SPEEDS.length - 1 ? -this.speed : 1);
    });
    for (const button of element("cameras").children) {
      button.addEventListener("click", () => this.look(button.dataset.camera));
    }
    window.addEventListener("resize", () => this.redraw());
    window.addEventListener("hashchange", () => this.readAddress());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const action = this.keys()[event.key];
      if (!action) return;
      event.preventDefault();
      action(event.shiftKey);
    });
  }

  keys() {
    const step = (by, byChunk) => {
      this.play(false);
      const [before, next] = this.neighbours();
      this.seek(byChunk ? (by < 0 ? before : next) : Math.floor(this.time) + by);
    };
    const turn = (by) => {
      const count = this.episodes.length;
      this.choose((this.number + by + count) % count);
    };
    const cameras = [...element("cameras").children].map((button) => button.dataset.camera);
    return {
      " ": () => this.play(!this.isPlaying),
      ArrowLeft: (byChunk) => step(-1, byChunk),
      ArrowRight: (byChunk) => step(1, byChunk),
      Home: () => this.seek(0),
      End: () => this.seek(this.episode.frames - 1),
      "-": () => this.changeSpeed(-1),
      "+": () => this.changeSpeed(1),
      n: () => turn(1),
      p: () => turn(-1),
      c: () => this.look(cameras[(cameras.indexOf(this.view?.camera) + 1) % cameras.length]),
    };
  }
}

window.player = new Player(JSON.parse(element("data").textContent));
