// The 3-D view: one buffer of triangles, posed on the GPU, with one shadow map.
"use strict";

const SHADOW_SIZE = 2048;
const SHADOW_FOV = 52; // degrees about the lamp's way to the middle of the workspace
const HOME = { azimuth: 0.62, elevation: 0.4, distance: 1.9 }; // rad, rad, m
const PATH_RADIUS = 0.0025; // m
const FIELD_OF_VIEW = 42; // degrees
const HAZE = 1.0; // m from the middle: where the floor begins to fade

class SceneView {
  /** Compile and upload; throws where the browser has no WebGL 2. */
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: true });
    if (!this.gl) throw new Error("This browser has no WebGL 2, so there is no 3-D view.");
    this.orbit = { ...HOME };
    this.middle = [0, 0, 1];
    this.camera = "free";
    this.sceneProgram = this.program(SCENE_VERTEX, SCENE_FRAGMENT);
    this.shadowProgram = this.program(SHADOW_VERTEX, SHADOW_FRAGMENT);
    this.lineProgram = this.program(LINE_VERTEX, LINE_FRAGMENT);
    this.uploadShapes();
    this.materials = this.floatTexture(3, scene.materials.flat());
    this.poses = this.floatTexture(2, new Float32Array(8 * scene.bodies));
    this.makeShadowMap();
  }

  program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      const log = gl.getShaderInfoLog(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(log);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    return program;
  }

  /** Join the meshes of all shapes in one buffer, in the frames of their bodies. */
  uploadShapes() {
    const rows = [], walls = this.scene.shapes.filter(isWall);
    const others = this.scene.shapes.filter((shape) => !isWall(shape));
    for (const shape of [...others, ...walls]) {
      if (shape === walls[0]) this.openCount = rows.length / 14; // corners without walls
      const up = rotate(conjugate(shape.quat), subtract([0, 0, 1], shape.position));
      const { position, normal } = shapeMesh(shape, up);
      for (let i = 0; i < position.length; i += 3) {
        const local = position.slice(i, i + 3), facing = normal.slice(i, i + 3);
        rows.push(...add(rotate(shape.quat, local), shape.position));
        rows.push(...rotate(shape.quat, facing), ...local, ...facing);
        rows.push(shape.body, shape.material);
      }
    }
    this.count = rows.length / 14;
    this.openCount ??= this.count;
    const names = [["place", 3], ["facing", 3], ["local", 3], ["localFacing", 3], ["ids", 2]];
    const buffer = this.buffer(new Float32Array(rows));
    this.sceneArrays = this.vertexArray(this.sceneProgram, buffer, names);
    this.shadowArrays = this.vertexArray(this.shadowProgram, buffer, names);
  }

  buffer(data) {
    const gl = this.gl, buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    return buffer;
  }

  /** Bind interleaved float attributes [name, size] to those that a program uses. */
  vertexArray(program, buffer, names) {
    const gl = this.gl, arrays = gl.createVertexArray();
    const stride = 4 * names.reduce((sum, [, size]) => sum + size, 0);
    gl.bindVertexArray(arrays);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    let offset = 0;
    for (const [name, size] of names) {
      const place = gl.getAttribLocation(program, name);
      if (place >= 0) {
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, size, gl.FLOAT, false, stride, offset);
      }
      offset += 4 * size;
    }
    gl.bindVertexArray(null);
    return arrays;
  }

  floatTexture(width, values) {
    const gl = this.gl, texture = gl.createTexture(), data = new Float32Array(values);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    const height = data.length / (4 * width);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, data);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    }
    return texture;
  }

  makeShadowMap() {
    const gl = this.gl, size = SHADOW_SIZE;
    this.shadow = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.shadow);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.DEPTH_COMPONENT24, size, size);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_COMPARE_MODE, gl.COMPARE_REF_TO_TEXTURE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    this.shadowFrame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.shadow, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** Show another episode: aim at its workspace and lay out the hand's path. */
  setEpisode(episode) {
    this.episode = episode;
    this.middle = episode.middle;
    const rows = [];
    for (let i = 1; i < episode.hand.length; i++) {
      const [a, b] = [episode.hand[i - 1], episode.hand[i]];
      const u = perpendicular(unit(subtract(b, a))), v = cross(unit(subtract(b, a)), u);
      const corner = (end, k) => {
        const turn = (k * Math.PI) / 2;
        const way = add(scale(u, Math.cos(turn)), scale(v, Math.sin(turn)));
        return add(end, scale(way, PATH_RADIUS));
      };
      for (let k = 0; k < 4; k++) {
        const [p, q, r, s] = [corner(a, k), corner(a, k + 1), corner(b, k), corner(b, k + 1)];
        for (const place of [p, q, r, r, q, s]) rows.push(...place, i);
      }
    }
    this.pathCount = rows.length / 4;
    const buffer = this.buffer(new Float32Array(rows));
    this.pathArrays = this.vertexArray(this.lineProgram, buffer, [["place", 3], ["number", 1]]);
  }

  /** The eye and the matrix of the chosen camera at these poses. */
  lookThrough(poses, aspect) {
    const mount = this.scene.cameras[this.camera];
    if (!mount) {
      const { azimuth, elevation, distance } = this.orbit;
      const flat = distance * Math.cos(elevation);
      const way = [flat * Math.cos(azimuth), flat * Math.sin(azimuth), distance * Math.sin(elevation)];
      const eye = add(this.middle, way);
      const fov = FIELD_OF_VIEW * Math.min(1.5, Math.max(1, 1.15 / aspect));
      return { eye, fov, matrix: multiply(perspective(fov, aspect, 0.03, 30), lookAt(eye, this.middle)) };
    }
    const at = 8 * mount.body, place = [...poses.slice(at, at + 3)];
    const turned = [...poses.slice(at + 4, at + 8)];
    const eye = add(place, rotate(turned, mount.position));
    const q = compose(turned, mount.quat);
    const [right, up, back] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((axis) => rotate(q, axis));
    const fov = aspect < 1 ? mount.fovy * Math.min(1.6, 1 / aspect) : mount.fovy;
    const view = viewMatrix(eye, right, up, back);
    return { eye, fov, matrix: multiply(perspective(fov, aspect, 0.01, 30), view) };
  }

  /** Draw the episode at `time`, in frames, on a background [r, g, b] in [0, 1]. */
  draw(time, background, tint) {
    const gl = this.gl, canvas = this.canvas, lights = this.scene.lights;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
    }
    if (!width || !height) return;
    const poses = this.episode.posesAt(time);
    gl.bindTexture(gl.TEXTURE_2D, this.poses);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 2, this.scene.bodies, gl.RGBA, gl.FLOAT, poses);
    const { eye, fov, matrix } = this.lookThrough(poses, width / height);
    const lamp = lights.position[0];
    const lampMatrix = multiply(perspective(SHADOW_FOV, 1, 1, 9), lookAt(lamp, this.middle));
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.CULL_FACE);

    gl.bindFramebuffer(gl.FRAMEBUFFER, this.shadowFrame);
    gl.viewport(0, 0, SHADOW_SIZE, SHADOW_SIZE);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    this.use(this.shadowProgram, { lampMatrix }, { poses: this.poses });
    gl.bindVertexArray(this.shadowArrays);
    gl.drawArrays(gl.TRIANGLES, 0, this.openCount);

    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const uniforms = {
      cameraMatrix: matrix, lampMatrix, eye, middle: this.middle,
      lamps: lights.position.flat(), diffuse: lights.diffuse.flat(),
      specular: lights.specular.flat(), ambient: lights.ambient, headlight: lights.headlight,
      pixelAngle: (2 * Math.tan((fov * Math.PI) / 360)) / height,
      fog: [...background, this.camera === "free" ? HAZE : 1e6],
    };
    const textures = { poses: this.poses, materials: this.materials, shadow: this.shadow };
    this.use(this.sceneProgram, uniforms, textures);
    gl.bindVertexArray(this.sceneArrays);
    gl.drawArrays(gl.TRIANGLES, 0, this.camera === "free" ? this.openCount : this.count);
    if (this.camera === "free" && this.pathCount) {
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
      this.use(this.lineProgram, { cameraMatrix: matrix, frame: time, tint }, {});
      gl.bindVertexArray(this.pathArrays);
      gl.drawArrays(gl.TRIANGLES, 0, this.pathCount);
      gl.disable(gl.BLEND);
    }
  }

  /** Make a program current, with its uniforms by name and textures by sampler. */
  use(program, uniforms, textures) {
    const gl = this.gl;
    gl.useProgram(program);
    for (const [name, value] of Object.entries(uniforms)) {
      const place = gl.getUniformLocation(program, name);
      if (value.length === 16) gl.uniformMatrix4fv(place, false, value);
      else if (value.length === 4) gl.uniform4fv(place, value);
      else if (value.length) gl.uniform3fv(place, value);
      else gl.uniform1f(place, value);
    }
    Object.entries(textures).forEach(([name, texture], unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(gl.getUniformLocation(program, name), unit);
    });
    gl.activeTexture(gl.TEXTURE0);
  }
}

/** Turn, shift and zoom the free camera by mouse, touch and wheel. */
function listenToPointers(view, redraw) {
  const canvas = view.canvas, pointers = new Map();
  const shift = (dx, dy) => {
    const { azimuth, distance } = view.orbit, step = distance / canvas.clientHeight;
    const right = [-Math.sin(azimuth), Math.cos(azimuth), 0];
    view.middle = add(view.middle, add(scale(right, -dx * step), [0, 0, dy * step]));
  };
  const zoom = (factor) => {
    view.orbit.distance = Math.min(6, Math.max(0.25, view.orbit.distance * factor));
  };
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
    const others = [...pointers].filter(([id]) => id !== event.pointerId);
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (others.length) {
      const gap = ([x, y]) => Math.hypot(x - others[0][1][0], y - others[0][1][1]);
      zoom(gap(last) / Math.max(1, gap([event.clientX, event.clientY])));
      shift(dx / 2, dy / 2);
    } else if (event.shiftKey || event.buttons > 1) {
      shift(dx, dy);
    } else {
      view.orbit.azimuth -= dx * 0.008;
      const tilt = view.orbit.elevation + dy * 0.006;
      view.orbit.elevation = Math.min(1.5, Math.max(-0.1, tilt));
    }
    redraw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.001));
    redraw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => {
    view.orbit = { ...HOME };
    view.middle = view.episode.middle;
    redraw();
  });
}
