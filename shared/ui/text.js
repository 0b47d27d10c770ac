// Words, times and lengths, the same everywhere on the page.

export const OUTCOMES = { succeeded: "succeeded", degraded: "degraded", failed: "failed", cancelled: "cancelled", rehearsed: "rehearsed" };

export const GRADES = {
  application: "the applications held still across the snapshots of all disks",
  filesystem: "all filesystems were held across the snapshots of all disks",
  crash: "as after a power cut",
};

export const PHASES = {
  pending: "not begun",
  preflight: "VM, disks and limits are read",
  arming: "the agent is started, the dead-man stands by",
  admitting: "waits for its turn; nothing is held",
  quiescing: "scripts, applications and filesystems are brought to hold still",
  armed: "ready, and waits until all of its group are; nothing is held",
  held: "held, and waits until all of its group are",
  capturing: "the snapshots are taken while the guest is held",
  captured: "held until all of its group have their snapshots",
  resuming: "the guest goes on",
  proved: "waits for the others' proof that they were held too; the guest is free",
  completing: "background copies go on; the guest is free",
  copying: "copies to other regions go on; the guest is free",
  cleaning: "tags are written, leftovers removed",
  done: "ended",
  running: "goes on; not looked at one by one",
};

// A length in ms: 850 ms, 1.92 s, 12.4 s, 3 min 05 s, 2 h 04 min.
export function lasting(ms) {
  if (ms === null || ms === undefined) return "unknown";
  const negative = ms < 0 ? "−" : "";
  const size = Math.abs(ms);
  if (size < 1000) return `${negative}${Math.round(size)} ms`;
  if (size < 10_000) return `${negative}${(size / 1000).toFixed(2)} s`;
  if (size < 60_000) return `${negative}${(size / 1000).toFixed(1)} s`;
  const seconds = Math.round(size / 1000);
  if (seconds < 3600) return `${negative}${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 2880) return `${negative}${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${negative}${Math.round(minutes / 1440)} days`;
}

const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", year: "numeric", month: "short", day: "numeric" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// An RFC 3339 time, or ms, in the time zone of whoever looks: "Tue, Nov 24, 2026 03:00:05".
export function at(moment) {
  if (moment === null || moment === undefined) return "never";
  const date = new Date(moment);
  return Number.isNaN(date.getTime()) ? String(moment) : `${DAY.format(date)} ${CLOCK.format(date)}`;
}

export function clock(moment) {
  return CLOCK.format(new Date(moment));
}

// "5 min 00 s ago", "in 2 h 04 min".
export function fromNow(moment, now = Date.now()) {
  const ms = new Date(moment).getTime() - now;
  if (Number.isNaN(ms)) return "";
  if (Math.abs(ms) < 1500) return "now";
  return ms > 0 ? `in ${lasting(rough(ms))}` : `${lasting(rough(-ms))} ago`;
}

function rough(ms) {
  return ms < 60_000 ? Math.round(ms / 1000) * 1000 : ms;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

export function shortName(armId) {
  return String(armId).slice(String(armId).lastIndexOf("/") + 1);
}
