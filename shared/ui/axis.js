// The one time axis of a run: how far it reaches, where its marks stand.

const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
  900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 28_800_000, 86_400_000,
];

// The last moment (ms since the run began) that a VM is known to have been at.
export function lastOf(vm, now) {
  const held = (vm.holds ?? []).map((hold) => hold.end_ms ?? Math.min(hold.limit_ms, now));
  return Math.max(0, vm.ended_ms ?? (vm.phases?.length ? now : 0), ...held, ...(vm.snapshots_ms ?? []));
}

// From and to of an axis: "all" of the run, "guests" until the last guest went on, "window" of one VM.
export function reach(vms, now, which, chosen) {
  const holds = vms.flatMap((vm) => vm.holds ?? []);
  if (which === "window" && chosen?.holds?.length) return windowOf(chosen, now);
  if (which === "guests" && holds.length) {
    const ends = holds.map((hold) => hold.end_ms ?? now);
    return { from: 0, to: upTo(Math.max(...ends)) };
  }
  const last = vms.reduce((most, vm) => Math.max(most, lastOf(vm, now)), 0);
  return { from: 0, to: upTo(Math.max(1_000, last)) };
}

// A little further than `ms`, in steps: an axis that grows with every tick would have every row laid out again.
function upTo(ms) {
  const step = 10 ** Math.floor(Math.log10(ms)) / 4;
  return Math.ceil((ms * 1.01) / step) * step;
}

// The freeze windows of one VM with some room around; the dead-man's limit too.
export function windowOf(vm, now) {
  const starts = vm.holds.map((hold) => hold.start_ms);
  const ends = vm.holds.map((hold) => Math.max(hold.end_ms ?? now, hold.anchored ? 0 : hold.limit_ms));
  const [from, to] = [Math.min(...starts), Math.max(...ends, ...(vm.snapshots_ms ?? []))];
  const room = Math.max(200, (to - from) * 0.05);
  return { from: from - room, to: to + room };
}

// Marks at round distances, at most `most` of them.
export function marks({ from, to }, most = 8) {
  const step = STEPS.find((each) => (to - from) / each <= most) ?? 86_400_000 * Math.ceil((to - from) / (86_400_000 * most));
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

// What is written at a mark: s, min:s or h:min since the run began.
export function markText(ms) {
  const sign = ms < 0 ? "−" : "";
  const size = Math.abs(ms);
  const seconds = size / 1000;
  if (seconds < 60) return `${sign}${Number(seconds.toFixed(3))} s`;
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${sign}${hours}:${two(minutes)}:${two(rest)}` : `${sign}${minutes}:${two(rest)}`;
}
