// Triangle meshes of the renderer's primitives in their own frames, lengths in m.
//
// A mesh is {position, normal}: three numbers a corner, three corners a triangle.
// Sizes and the wall of a cup are those of omnivla_jax/render/types.py.
"use strict";

const SEGMENTS = 40; // of a circle
const CUP_WALL = 0.06; // as a share of the upper radius
const ROOM = 2; // m: boxes of this half size are walls or floor, seen from inside alone

/** Add a triangle of corners and normals [x, y, z], turned to face its normals. */
function addTriangle(mesh, corners, normals) {
  const [a, b, c] = corners;
  const u = subtract(b, a), v = subtract(c, a);
  const outwards = dot(cross(u, v), normals[0]) + dot(cross(u, v), normals[1]) >= 0;
  for (const i of outwards ? [0, 1, 2] : [0, 2, 1]) {
    mesh.position.push(...corners[i]);
    mesh.normal.push(...normals[i]);
  }
}

/** Add a convex polygon with one normal. */
function addPolygon(mesh, corners, normal) {
  for (let i = 2; i < corners.length; i++) {
    addTriangle(mesh, [corners[0], corners[i - 1], corners[i]], [normal, normal, normal]);
  }
}

/** Turn bands [[r, z, normal r, normal z], the same at the other edge] about z. */
function lathe(bands) {
  const mesh = { position: [], normal: [] };
  for (let i = 0; i < SEGMENTS; i++) {
    const turns = [i, i + 1].map((k) => (2 * Math.PI * k) / SEGMENTS);
    const at = ([r, z, nr, nz], turn) => {
      const x = Math.cos(turn), y = Math.sin(turn), length = Math.hypot(nr, nz);
      return [[r * x, r * y, z], [(nr * x) / length, (nr * y) / length, nz / length]];
    };
    for (const [low, high] of bands) {
      const [a, b] = turns.map((turn) => at(low, turn));
      const [c, d] = turns.map((turn) => at(high, turn));
      for (const [p, q, r] of [[a, b, d], [a, d, c]]) {
        addTriangle(mesh, [p[0], q[0], r[0]], [p[1], q[1], r[1]]);
      }
    }
  }
  return mesh;
}

/** Bands of a circle's arc about (0, z), its angle from the equator in degrees. */
function arc(radius, z, from, to) {
  const steps = Math.round(Math.abs(to - from) / 9);
  const point = (i) => {
    const angle = ((from + ((to - from) * i) / steps) * Math.PI) / 180;
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return [radius * c, z + radius * s, c, s];
  };
  return Array.from({ length: steps }, (_, i) => [point(i), point(i + 1)]);
}

/** A flat ring between two radii at height z that looks up (1) or down (-1). */
function ring(inner, outer, z, up) {
  return [[inner, z, 0, up], [outer, z, 0, up]];
}

/** The side of a frustum, from radius r0 at z0 to r1 at z1; -1 is its inside. */
function side(r0, z0, r1, z1, outwards = 1) {
  const normal = [outwards * (z1 - z0), outwards * (r0 - r1)];
  return [[r0, z0, ...normal], [r1, z1, ...normal]];
}

function cup([r0, r1, half]) {
  const wall = CUP_WALL * r1, bottom = wall - half;
  const radius = (z) => (r0 + r1) / 2 + ((r1 - r0) * z) / (2 * half) - wall;
  return lathe([
    side(r0, -half, r1, half),
    ring(0, r0, -half, -1),
    ring(r1 - wall, r1, half, 1),
    side(radius(bottom), bottom, r1 - wall, half, -1),
    ring(0, radius(bottom), bottom, 1),
  ]);
}

/** A sphere stretched to semi-axes `size`. */
function ellipsoid(size) {
  const mesh = lathe(arc(1, 0, -90, 90));
  for (let i = 0; i < mesh.position.length; i += 3) {
    const stretched = [0, 1, 2].map((k) => mesh.normal[i + k] / size[k]);
    const length = Math.hypot(...stretched);
    for (let k = 0; k < 3; k++) {
      mesh.position[i + k] *= size[k];
      mesh.normal[i + k] = stretched[k] / length;
    }
  }
  return mesh;
}

/** The faces of an intersection of half spaces n . x <= d inside a box of half `size`. */
function polytope(size, planes) {
  const mesh = { position: [], normal: [] };
  const reach = 4 * Math.hypot(...size);
  for (const face of planes) {
    const normal = face.slice(0, 3), d = face[3];
    const u = perpendicular(normal), v = cross(normal, u);
    let corners = [[1, 1], [-1, 1], [-1, -1], [1, -1]].map(([s, t]) =>
      [0, 1, 2].map((k) => d * normal[k] + reach * (s * u[k] + t * v[k])));
    for (const other of planes) {
      if (other !== face) corners = clip(corners, other.slice(0, 3), other[3]);
    }
    addPolygon(mesh, corners, normal);
  }
  return mesh;
}

/** The part of a convex polygon where normal . x <= d. */
function clip(corners, normal, d) {
  const kept = [];
  corners.forEach((here, i) => {
    const next = corners[(i + 1) % corners.length];
    const a = dot(normal, here) - d, b = dot(normal, next) - d;
    if (a <= 1e-9) kept.push(here);
    if (a <= 1e-9 !== b <= 1e-9) {
      kept.push(here.map((x, k) => x + ((next[k] - x) * a) / (a - b)));
    }
  });
  return kept;
}

/** The six faces of a box; of a room's only those towards `inside`, in its frame. */
function box(size, inside) {
  const mesh = { position: [], normal: [] };
  const isRoom = Math.max(...size) >= ROOM;
  for (let axis = 0; axis < 3; axis++) {
    for (const sign of [1, -1]) {
      const normal = [0, 0, 0];
      normal[axis] = sign;
      if (isRoom && sign * inside[axis] <= size[axis]) continue;
      const [u, v] = [(axis + 1) % 3, (axis + 2) % 3];
      const corners = [[1, 1], [-1, 1], [-1, -1], [1, -1]].map(([s, t]) => {
        const corner = [0, 0, 0];
        corner[axis] = sign * size[axis];
        corner[u] = s * size[u];
        corner[v] = t * size[v];
        return corner;
      });
      addPolygon(mesh, corners, normal);
    }
  }
  return mesh;
}

function plane([x, y]) {
  const mesh = { position: [], normal: [] };
  const [a, b] = [x || 10, y || 10]; // 0 is infinite
  addPolygon(mesh, [[-a, -b, 0], [a, -b, 0], [a, b, 0], [-a, b, 0]], [0, 0, 1]);
  return mesh;
}

/** Whether a shape is a wall, which hides the scene from a camera outside. */
function isWall({ kind, size }) {
  return kind === "box" && Math.max(...size) >= ROOM && size[2] > 0.02;
}

/** The mesh of a shape of the page; `inside` is the room's middle in its frame. */
function shapeMesh(shape, inside) {
  const [a, b, c] = shape.size;
  switch (shape.kind) {
    case "plane": return plane(shape.size);
    case "box": return box(shape.size, inside);
    case "sphere": return ellipsoid([a, a, a]);
    case "ellipsoid": return ellipsoid(shape.size);
    case "capsule": return lathe([...arc(a, -b, -90, 0), side(a, -b, a, b), ...arc(a, b, 0, 90)]);
    case "cylinder": return lathe([side(a, -b, a, b), ring(0, a, b, 1), ring(0, a, -b, -1)]);
    case "cone": return lathe([side(a, -c, b, c), ring(0, b, c, 1), ring(0, a, -c, -1)]);
    case "cup": return cup(shape.size);
    case "polytope": return polytope(shape.size, shape.planes);
    default: throw new Error(`No mesh for a ${shape.kind}.`);
  }
}
