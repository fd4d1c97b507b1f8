// Vectors, quaternions wxyz and column-major 4x4 matrices as plain arrays.
"use strict";

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const add = (a, b) => a.map((x, i) => x + b[i]);
const subtract = (a, b) => a.map((x, i) => x - b[i]);
const scale = (a, s) => a.map((x) => x * s);
const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
const unit = (a) => scale(a, 1 / (Math.hypot(...a) || 1));

/** A unit vector at a right angle to `a`. */
function perpendicular(a) {
  return unit(cross(a, Math.abs(a[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0]));
}

/** Turn vector `v` by quaternion `q`. */
function rotate(q, v) {
  const axis = q.slice(1);
  const t = scale(cross(axis, v), 2);
  return add(add(v, scale(t, q[0])), cross(axis, t));
}

const conjugate = (q) => [q[0], -q[1], -q[2], -q[3]];

/** The rotation by `b`, then by `a`. */
function compose(a, b) {
  const u = a.slice(1), v = b.slice(1);
  const axis = add(add(scale(v, a[0]), scale(u, b[0])), cross(u, v));
  return [a[0] * b[0] - dot(u, v), ...axis];
}

/** The matrix product a b. */
function multiply(a, b) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      for (let k = 0; k < 4; k++) out[4 * column + row] += a[4 * k + row] * b[4 * column + k];
    }
  }
  return out;
}

/** A projection with a vertical field of view in degrees. */
function perspective(fovy, aspect, near, far) {
  const f = 1 / Math.tan((fovy * Math.PI) / 360);
  const depth = near - far;
  return new Float32Array([
    f / aspect, 0, 0, 0,
    0, f, 0, 0,
    0, 0, (near + far) / depth, -1,
    0, 0, (2 * near * far) / depth, 0,
  ]);
}

/** World to camera, for a camera at `eye` with axes right, up, back. */
function viewMatrix(eye, right, up, back) {
  return new Float32Array([
    right[0], up[0], back[0], 0,
    right[1], up[1], back[1], 0,
    right[2], up[2], back[2], 0,
    -dot(right, eye), -dot(up, eye), -dot(back, eye), 1,
  ]);
}

/** World to camera, for a camera at `eye` that looks at `target`, z up. */
function lookAt(eye, target) {
  const back = unit(subtract(eye, target));
  const right = unit(cross([0, 0, 1], back));
  return viewMatrix(eye, right, cross(back, right), back);
}
