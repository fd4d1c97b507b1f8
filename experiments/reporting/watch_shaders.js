// GLSL of the 3-D view: poses from a texture, shading and textures as the renderer's.
//
// Formulas are those of omnivla_jax/render/shading.py and textures.py, so that what
// people see has the colours that the policy sees; shadows are added.
"use strict";

const POSE_GLSL = `
uniform highp sampler2D poses; // a row for each body: position and visibility, quaternion
vec3 turn(vec4 q, vec3 v) {
  return v + 2.0 * cross(q.yzw, cross(q.yzw, v) + q.x * v);
}
vec4 bodyPlace(float body) { return texelFetch(poses, ivec2(0, int(body)), 0); }
vec4 bodyTurn(float body) { return texelFetch(poses, ivec2(1, int(body)), 0); }
`;

const SHADOW_VERTEX = `#version 300 es
precision highp float;
in vec3 place;
in vec2 ids;
uniform mat4 lampMatrix;
${POSE_GLSL}
void main() {
  vec4 origin = bodyPlace(ids.x);
  vec3 point = origin.xyz + turn(bodyTurn(ids.x), place);
  gl_Position = origin.w > 0.5 ? lampMatrix * vec4(point, 1.0) : vec4(0, 0, 2, 1);
}`;

const SHADOW_FRAGMENT = `#version 300 es
precision highp float;
void main() {}`;

const SCENE_VERTEX = `#version 300 es
precision highp float;
in vec3 place;
in vec3 facing;
in vec3 local;
in vec3 localFacing;
in vec2 ids; // body, material
uniform mat4 cameraMatrix;
uniform mat4 lampMatrix;
out vec3 point;
out vec3 normal;
out vec3 ownPoint;
out vec3 ownNormal;
out vec4 lampPoint;
flat out int material;
${POSE_GLSL}
void main() {
  vec4 origin = bodyPlace(ids.x), q = bodyTurn(ids.x);
  point = origin.xyz + turn(q, place);
  normal = turn(q, facing);
  ownPoint = local;
  ownNormal = localFacing;
  material = int(ids.y);
  lampPoint = lampMatrix * vec4(point + 0.004 * normal, 1.0);
  gl_Position = origin.w > 0.5 ? cameraMatrix * vec4(point, 1.0) : vec4(0, 0, 2, 1);
}`;

const TEXTURE_GLSL = `
float wave(float x) {
  float f = 2.0 * fract(x) - 1.0;
  return -4.0 * f * (1.0 - abs(f));
}
float cellNoise(float column, float row) {
  return abs(wave(0.618 * column + 0.377 * row + 0.171 * wave(0.29 * column)));
}
bool textLine(float along, float across, float pitch) {
  float column = floor(along / pitch);
  float offset = abs(along / pitch - column - 0.5);
  return offset < 0.18 + 0.3 * cellNoise(column, 0.0) && abs(across) < 1.0;
}
float wood(float u, float v) {
  float board = floor(v), shift = 0.37 * board;
  float bend = 0.25 * wave(0.13 * u + shift) + 0.12 * wave(0.41 * u + 0.3 * v + shift);
  float grain = 0.5 + 0.5 * wave(2.3 * (v + bend)) * wave(0.9 * v + 0.07 * u + shift);
  float fine = 0.5 + 0.5 * wave(11.0 * v + 0.6 * u + 2.0 * bend);
  float joint = step(0.485, abs(v - board - 0.5));
  float tone = 0.5 + 0.5 * wave(0.618 * board + 0.1);
  return clamp(0.4 * grain + 0.2 * fine + 0.3 * tone + 0.8 * joint, 0.0, 1.0);
}
float marble(float u, float v, float w) {
  float bend = wave(0.31 * u - 0.53 * v + 0.2 * w) + 0.5 * wave(0.93 * u + 0.77 * v);
  float vein = abs(wave(0.5 * (u + 0.7 * v) + 0.35 * bend));
  float cloud = 0.5 + 0.5 * wave(0.23 * u + 0.41 * v + 0.2 * bend);
  return clamp(0.25 * cloud + 0.75 * pow(1.0 - vein, 3.0), 0.0, 1.0);
}
float tiles(float u, float v) {
  vec2 cell = floor(vec2(u, v)), off = abs(vec2(u, v) - cell - 0.5);
  float tone = 0.5 + 0.5 * wave(0.618 * cell.x + 0.387 * cell.y);
  return max(off.x, off.y) > 0.475 ? 1.0 : 0.22 * tone;
}
float speckle(float u, float v) {
  vec2 cell = floor(vec2(u, v)), off = vec2(u, v) - cell - 0.5;
  return dot(off, off) < 0.12 * cellNoise(cell.x, cell.y) ? 1.0 : 0.0;
}
float weave(float u, float v) {
  float a = 2.0 * u, b = 2.0 * v, sum = floor(a) + floor(b);
  bool level = sum - 2.0 * floor(sum / 2.0) > 0.5;
  float across = (level ? fract(a) : fract(b)) - 0.5;
  float along = (level ? fract(b) : fract(a)) - 0.5;
  return clamp(3.2 * across * across + 1.2 * along * along, 0.0, 1.0);
}
float bricks(float u, float v) {
  float row = floor(2.0 * v), along = u + 0.5 * (row - 2.0 * floor(row / 2.0));
  bool joint = abs(fract(along) - 0.5) > 0.46 || abs(fract(2.0 * v) - 0.5) > 0.42;
  return joint ? 1.0 : 0.3 * cellNoise(floor(along), row);
}
float twill(float u, float v) {
  float ridge = 0.5 + 0.5 * wave(u + v);
  return clamp(ridge + 0.2 * wave(3.0 * u) * wave(3.0 * v), 0.0, 1.0);
}
float pebbles(float u, float v) {
  float a = u + 0.22 * wave(0.83 * v + 0.31 * wave(0.41 * u));
  float b = v + 0.22 * wave(0.71 * u + 0.27 * wave(0.37 * v)), row = floor(b);
  float along = a + 0.5 * (row - 2.0 * floor(row / 2.0));
  vec2 off = vec2(fract(along), fract(b)) - 0.5;
  float gap = clamp(8.0 * dot(off, off) - 0.9, 0.0, 1.0);
  return clamp(gap + 0.3 * cellNoise(floor(along), row), 0.0, 1.0);
}
float print(float u, float v) {
  bool title = textLine(u, (v - 0.3) / 0.2, 0.34) && abs(u) < 1.5;
  bool lines = textLine(u, (v + 0.35) / 0.09, 0.16) || textLine(u + 3.0, (v + 0.65) / 0.09, 0.16);
  bool block = v > -0.1 && v < 0.75 && !title;
  return block || (lines && abs(u) < 1.3) ? 1.0 : 0.0;
}
float fruit(float u, float v) {
  float high = v - 0.15, radius = length(vec2(u, high));
  bool spokes = abs(u * high) * abs(u * u - high * high) > 0.012 * radius * radius;
  bool disc = radius < 0.62 && (radius > 0.52 || spokes);
  return disc || textLine(u, (v + 0.85) / 0.14, 0.3) ? 1.0 : 0.0;
}
float secondColour(int kind, float u, float v, float w) {
  switch (kind) { // the order of omnivla_jax.render.types.TEXTURES
    case 1: return wave(u) * wave(v) > 0.0 ? 1.0 : 0.0; // checker
    case 2: return wood(u, v);
    case 3: return marble(u, v, w);
    case 4: return tiles(u, v);
    case 5: return abs(w) < 1.0 && !(abs(w) > 0.72 && abs(w) < 0.84) ? 1.0 : 0.0; // label
    case 6: return 0.5 + 0.25 * wave(u) + 0.25 * wave(v); // cloth
    case 7: return print(u, v);
    case 8: return fruit(u, v);
    case 9: return weave(u, v);
    case 10: return 0.5 + 0.5 * wave(u); // stripes
    case 11: return speckle(u, v);
    case 12: return u * u + v * v > 0.74 ? 1.0 : 0.0; // rim
    case 13: return wave(length(vec2(u, v)) + 0.25) > 0.0 ? 1.0 : 0.0; // coil
    case 14: return w > 0.6 ? 1.0 : 0.0; // glaze
    case 15: return w > 0.0 ? 1.0 : 0.0; // dipped
    case 16: return bricks(u, v);
    case 17: return twill(u, v);
    case 18: return pebbles(u, v);
    default: return 0.0;
  }
}
`;

const SCENE_FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2DShadow;
in vec3 point;
in vec3 normal;
in vec3 ownPoint;
in vec3 ownNormal;
in vec4 lampPoint;
flat in int material;
uniform highp sampler2D materials;
uniform sampler2DShadow shadow;
uniform vec3 eye;
uniform vec3 lamps[2];
uniform vec3 diffuse[2];
uniform vec3 specular[2];
uniform vec3 ambient;
uniform vec3 headlight;
uniform float pixelAngle;
uniform vec4 fog; // the backdrop's colour, and the distance (m) from which it shows
uniform vec3 middle;
out vec4 colour;
${TEXTURE_GLSL}
float lit() {
  vec3 p = lampPoint.xyz / lampPoint.w * 0.5 + 0.5;
  if (any(lessThan(p, vec3(0.0))) || any(greaterThan(p, vec3(1.0)))) return 1.0;
  float sum = 0.0;
  for (int x = -2; x <= 2; x++) {
    for (int y = -2; y <= 2; y++) {
      sum += texture(shadow, p + vec3(vec2(x, y) * 0.0009, -0.0002));
    }
  }
  return sum / 25.0;
}
vec3 toned(vec3 x) {
  vec3 over = 4.0 * max(x - 0.75, 0.0);
  return min(x, 0.75) + 0.25 * over / (1.0 + over);
}
void main() {
  vec4 first = texelFetch(materials, ivec2(0, material), 0);
  vec4 second = texelFetch(materials, ivec2(1, material), 0);
  vec4 gloss = texelFetch(materials, ivec2(2, material), 0);
  vec3 n = normalize(normal), view = normalize(eye - point);
  float facing = max(dot(n, view), 0.0);
  vec3 a = abs(ownNormal), p = ownPoint / second.w;
  bool alongX = a.x > a.y && a.x > a.z;
  float u = alongX ? p.y : p.x, v = alongX || a.y > a.z ? p.z : p.y;
  float footprint = pixelAngle * distance(eye, point) / (facing + 0.05);
  float sharp = clamp(1.6 - 1.6 * footprint / second.w, 0.0, 1.0);
  float weight = 0.3 + (secondColour(int(first.w), u, v, p.z) - 0.3) * sharp;
  vec3 base = mix(first.rgb, second.rgb, first.w > 0.5 ? weight : 0.0);
  vec3 light = (0.8 + 0.2 * n.z) * ambient + facing * headlight, glint = vec3(0.0);
  float exponent = 128.0 * gloss.y + 1.0;
  for (int i = 0; i < 2; i++) {
    vec3 way = normalize(lamps[i] - point);
    float lambert = max(dot(n, way), 0.0) * (i == 0 ? lit() : 1.0);
    float cosine = max(dot(n, normalize(way + view)), 0.0);
    float peak = cosine / (exponent - exponent * cosine + cosine);
    light += lambert * diffuse[i];
    glint += lambert > 0.0 ? peak * gloss.x * specular[i] : vec3(0.0);
  }
  float haze = smoothstep(fog.w, 1.7 * fog.w, distance(point.xy, middle.xy));
  colour = vec4(mix(toned(base * light + glint), fog.rgb, haze), 1.0);
}`;

const LINE_VERTEX = `#version 300 es
precision highp float;
in vec3 place;
in float number;
uniform mat4 cameraMatrix;
uniform float frame;
out float age;
void main() {
  age = frame - number;
  gl_Position = cameraMatrix * vec4(place, 1.0);
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
in float age;
uniform vec3 tint;
out vec4 colour;
void main() { colour = vec4(tint, age >= 0.0 ? 0.95 : 0.25); }`;
