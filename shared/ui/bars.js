// Drawing a VM's times. x is ms since the run began: another axis is another viewBox, and nothing is drawn anew.

import { draw } from "./dom.js";
import { markText, marks } from "./axis.js";
import { lasting } from "./text.js";

const HEIGHT = 28;

export function viewBox({ from, to }) {
  return `${from} 0 ${to - from} ${HEIGHT}`;
}

// The phases as bars, each freeze window around its own, snapshots as ticks, the dead-man's limit as a line.
export function timeBar(vm, axis, now) {
  return draw(
    "svg", { class: "bar", viewBox: viewBox(axis), preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    shapes(vm, now),
  );
}

export function redraw(svg, vm, now) {
  svg.replaceChildren(...shapes(vm, now));
}

function shapes(vm, now) {
  const found = [];
  const phases = vm.phases ?? [];
  phases.forEach((start, place) => {
    if (start.phase === "done") return;
    const end = phases[place + 1]?.at_ms ?? vm.ended_ms ?? now;
    found.push(draw("rect", { class: `phase ${word(start.phase)}`, x: start.at_ms, y: 8, width: Math.max(0, end - start.at_ms), height: 12 }));
  });
  for (const hold of vm.holds ?? []) found.push(...holdShapes(hold, now));
  for (const at of vm.snapshots_ms ?? []) found.push(line("tick", at, 3, 25));
  return found;
}

function holdShapes(hold, now) {
  const end = hold.end_ms ?? Math.min(now, hold.limit_ms);
  const kind = hold.end_ms === null ? "held open" : "held";
  return [
    draw("rect", { class: kind, x: hold.start_ms, y: 3, width: Math.max(0, end - hold.start_ms), height: 22 }),
    hold.anchored ? null : line("limit", hold.limit_ms, 0, HEIGHT),
  ].filter(Boolean);
}

function line(kind, x, y1, y2) {
  return draw("line", { class: kind, x1: x, x2: x, y1, y2 });
}

// The freeze window by itself, against what was allowed: every VM on the same scale, so that they can be compared.
export function gauge(hold, snapshots, scale, now) {
  const end = (hold.end_ms ?? Math.min(now, hold.limit_ms)) - hold.start_ms;
  const limit = hold.limit_ms - hold.start_ms;
  return draw(
    "svg", { class: "gauge", viewBox: `0 0 ${scale} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    draw("line", { class: "ground", x1: 0, x2: scale, y1: 25, y2: 25 }),
    draw("rect", { class: hold.end_ms === null ? "held open" : "held", x: 0, y: 5, width: Math.max(0, end), height: 20 }),
    snapshots.map((at) => line("tick", at - hold.start_ms, 5, 25)),
    hold.anchored ? null : line("limit", limit, 0, HEIGHT),
  );
}

// The marks of an axis, as a list of places for HTML: texts in a stretched drawing would be stretched too.
export function axisBar(axis, most) {
  const width = axis.to - axis.from;
  const places = marks(axis, most).map((at) => ({ at, left: ((at - axis.from) / width) * 100 })).filter(({ left }) => left < (most > 4 ? 95 : 84));
  const svg = draw(
    "svg", { class: "rule", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    places.map(({ left }) => line("mark", left, 0, HEIGHT)),
  );
  const labels = places.map(({ at, left }) => {
    const label = document.createElement("span");
    label.className = "mark-text";
    label.style.left = `${left}%`; // by the object model, which the page's policy allows; never from data
    label.textContent = markText(at);
    return label;
  });
  return [svg, ...labels];
}

// The numbers of a freeze window, as text.
export function holdText(vm, hold, now) {
  const limit = hold.limit_ms - hold.start_ms;
  const inside = (vm.snapshots_ms ?? []).filter((at) => at >= hold.start_ms && at <= (hold.end_ms ?? Math.min(now, hold.limit_ms))).length;
  // Whose end was never told has been let go by the dead-man at the latest.
  const untold = hold.end_ms === null && (vm.outcome || vm.ended_ms !== null && vm.ended_ms !== undefined || now > hold.limit_ms);
  const length = hold.end_ms === null ? now - hold.start_ms : hold.end_ms - hold.start_ms;
  return { length: untold ? "for a time that was not told" : lasting(length), limit: hold.anchored ? "none" : lasting(limit), inside, all: (vm.snapshots_ms ?? []).length };
}

// Words of the API that become names of classes: letters only.
export function word(text) {
  return String(text).replace(/[^a-z]/g, "");
}
