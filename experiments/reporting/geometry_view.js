// Two clouds of points a scene, true and predicted, turned together; cameras as frames.
"use strict";
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const scenes = JSON.parse(document.getElementById("clouds").textContent).map((pair) =>
  pair.map((cloud) => ({
    points: new Int16Array(bytes(cloud.points).buffer),
    colours: bytes(cloud.colours),
    scale: cloud.scale,
    cameras: cloud.cameras,
  })));
const poses = scenes.map(() => ({ yaw: 0.45, pitch: 0.35, away: 1.9 }));
const PIVOT = 1; // mean distances of the points along the first camera's view
const FOCAL = 0.95; // of a picture's width
const CAMERA_COLOURS = ["#ffb454", "#5ec8f2"]; // of the views
const TRUE_COLOUR = "#8a93a3";

// A function from a point in the first camera's frame to [column, row, depth].
function projection({ yaw, pitch, away }, width, height) {
  const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return (x, y, z) => {
    const across = cy * x + sy * (z - PIVOT), along = -sy * x + cy * (z - PIVOT);
    const down = cp * y - sp * along, depth = sp * y + cp * along + away * PIVOT;
    const zoom = FOCAL * width / Math.max(depth, 0.05);
    return [width / 2 + zoom * across, height / 2 + zoom * down, depth];
  };
}

function drawPoints(context, cloud, project) {
  const { width, height } = context.canvas;
  const image = context.createImageData(width, height);
  const nearest = new Float32Array(width * height).fill(Infinity);
  const { points, colours, scale } = cloud;
  for (let row = 0; row < colours.length / 3; row += 1) {
    const [column, line, depth] = project(
      points[3 * row] * scale, points[3 * row + 1] * scale, points[3 * row + 2] * scale);
    if (depth < 0.1) continue;
    const size = Math.max(2, Math.round(0.016 * width / depth));
    const left = Math.round(column - size / 2), top = Math.round(line - size / 2);
    const light = Math.max(0.55, Math.min(1, 1.35 - 0.18 * depth)); // distant points dim
    for (let v = Math.max(top, 0); v < Math.min(top + size, height); v += 1) {
      for (let u = Math.max(left, 0); u < Math.min(left + size, width); u += 1) {
        const pixel = v * width + u;
        if (nearest[pixel] < depth) continue;
        nearest[pixel] = depth;
        for (let channel = 0; channel < 3; channel += 1) {
          image.data[4 * pixel + channel] = light * colours[3 * row + channel];
        }
        image.data[4 * pixel + 3] = 255;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

// A pyramid from the camera's place to a small picture in front of it.
function drawCamera(context, camera, project, colour) {
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([right, down]) => {
    const [x, y, z] = [0.07 * right, 0.07 * down, 0.12];
    return project(...camera.axes.map(
      (row, i) => row[0] * x + row[1] * y + row[2] * z + camera.place[i]));
  });
  const tip = project(...camera.place);
  if ([tip, ...corners].some(([, , depth]) => depth < 0.1)) return;
  context.strokeStyle = colour;
  context.lineWidth = 1.6 * devicePixelRatio;
  context.lineJoin = "round";
  context.beginPath();
  corners.forEach((corner, i) => {
    const next = corners[(i + 1) % 4];
    context.moveTo(tip[0], tip[1]);
    context.lineTo(corner[0], corner[1]);
    context.lineTo(next[0], next[1]);
  });
  context.stroke();
}

function draw(canvas) {
  const [scene, number] = [Number(canvas.dataset.scene), Number(canvas.dataset.cloud)];
  const pixels = Math.min(devicePixelRatio, 2);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * pixels));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * pixels));
  const context = canvas.getContext("2d");
  const project = projection(poses[scene], canvas.width, canvas.height);
  const cloud = scenes[scene][number];
  drawPoints(context, cloud, project);
  if (number === 1) {
    scenes[scene][0].cameras.forEach((camera) => drawCamera(context, camera, project, TRUE_COLOUR));
  }
  cloud.cameras.forEach((camera, view) => drawCamera(
    context, camera, project, CAMERA_COLOURS[view % CAMERA_COLOURS.length]));
}

const canvases = [...document.querySelectorAll("canvas")];
const redraw = (scene) => canvases.filter((c) => Number(c.dataset.scene) === scene).forEach(draw);
for (const canvas of canvases) {
  const scene = Number(canvas.dataset.scene), pose = poses[scene];
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    pose.yaw += event.movementX / 120;
    pose.pitch = Math.max(-1.5, Math.min(1.5, pose.pitch + event.movementY / 120));
    redraw(scene);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    pose.away = Math.max(0.4, Math.min(5, pose.away * Math.exp(event.deltaY / 600)));
    redraw(scene);
  }, { passive: false });
}
addEventListener("resize", () => canvases.forEach(draw));
canvases.forEach(draw);
document.body.dataset.drawn = canvases.length;
