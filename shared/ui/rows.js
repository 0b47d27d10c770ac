// The VMs of a run as a list: overdue and failed first; one stop of the Tab key, arrows within.

import { gauge, holdText, redraw, timeBar, viewBox } from "./bars.js";
import { el, setText } from "./dom.js";
import { link } from "./router.js";
import { count, lasting } from "./text.js";

// In the order in which they stand.
export const GROUPS = [
  { id: "overdue", name: "overdue" },
  { id: "failed", name: "failed" },
  { id: "degraded", name: "degraded" },
  { id: "running", name: "going on" },
  { id: "pending", name: "waiting" },
  { id: "cancelled", name: "cancelled" },
  { id: "succeeded", name: "succeeded" },
  { id: "rehearsed", name: "rehearsed" },
  { id: "retried", name: "earlier tries" },
];
const ORDER = Object.fromEntries(GROUPS.map(({ id }, place) => [id, place]));
const MARKS = { overdue: "‼", failed: "✕", degraded: "!", running: "…", pending: "·", cancelled: "–", succeeded: "✓", rehearsed: "○", retried: "↻" };
const NAMES = new Intl.Collator(undefined, { numeric: true });
const A_PAGE = 10;

export function group(vm) {
  if (vm.retried) return "retried";
  if (vm.outcome) return vm.outcome;
  if (vm.overdue) return "overdue";
  return vm.phase === "pending" ? "pending" : "running";
}

export class Rows {
  // `onChosen` is called when another VM comes into focus.
  constructor(run, onChosen) {
    this.run = run;
    this.onChosen = onChosen;
    this.chosen = null;
    this.rows = new Map(); // saga -> {item, parts, vm, box, scale}
    this.list = el("ul", { class: "vms", "aria-label": "VMs of the run, overdue and failed first", keydown: (event) => this.onKey(event), focusin: (event) => this.onFocus(event) });
  }

  show(vms, axis, now) {
    const wanted = [...vms].sort((a, b) => ORDER[group(a)] - ORDER[group(b)] || NAMES.compare(a.name, b.name));
    const scale = 1.02 * Math.max(1, ...vms.flatMap((vm) => (vm.holds ?? []).map((hold) => (hold.anchored ? hold.end_ms : hold.limit_ms) - hold.start_ms)));
    const box = viewBox(axis);
    const here = new Set(wanted.map((vm) => vm.saga));
    for (const [saga, row] of this.rows) {
      if (!here.has(saga)) {
        row.item.remove();
        this.rows.delete(saga);
      }
    }
    let before = null;
    for (const vm of wanted) {
      const row = this.rows.get(vm.saga) ?? this.make(vm);
      this.update(row, vm, axis, box, scale, now);
      const place = before ? before.nextElementSibling : this.list.firstElementChild;
      if (place !== row.item) this.move(row.item, place);
      before = row.item;
    }
    this.rove();
  }

  // The VMs as they stand in the list.
  inOrder() {
    return [...this.list.children].map((item) => this.rows.get(item.dataset.saga)?.vm);
  }

  make(vm) {
    const parts = {
      mark: el("span", { class: "sign", "aria-hidden": "true" }),
      link: el("a", { href: link(["runs", this.run, "vms", vm.saga]), tabindex: "-1" }, vm.name),
      state: el("span", { class: "state" }),
      what: el("p", { class: "what" }),
      held: el("span", { class: "held-text" }),
      gauge: el("span", { class: "gauge-box" }),
      bar: el("div", { class: "bar-box" }),
    };
    const item = el("li", { "data-saga": vm.saga },
      el("div", { class: "who" }, parts.mark, parts.link, parts.state), parts.what,
      parts.bar, el("div", { class: "hold" }, parts.gauge, parts.held));
    const row = { item, parts, vm: null, box: "", scale: 0 };
    this.rows.set(vm.saga, row);
    return row;
  }

  update(row, vm, axis, box, scale, now) {
    const { parts, item } = row;
    const changed = vm !== row.vm && JSON.stringify(vm) !== JSON.stringify(row.vm);
    const moves = !vm.outcome && (vm.phases?.length ?? 0) > 0;
    if (changed) {
      const kind = group(vm);
      item.className = kind;
      setText(parts.mark, MARKS[kind]);
      setText(parts.state, stateText(vm, kind));
      setText(parts.what, whatText(vm));
      parts.what.hidden = !parts.what.textContent;
    }
    if (!row.svg) {
      row.svg = timeBar(vm, axis, now);
      parts.bar.replaceChildren(row.svg);
    } else if (changed || moves) redraw(row.svg, vm, now);
    if (row.box !== box) row.svg.setAttribute("viewBox", box);
    const hold = vm.holds?.at(-1);
    if (changed || row.scale !== scale || (hold && hold.end_ms === null)) this.updateHold(parts, vm, hold, scale, now);
    Object.assign(row, { vm, box, scale });
  }

  updateHold(parts, vm, hold, scale, now) {
    if (!hold) {
      parts.gauge.replaceChildren();
      setText(parts.held, vm.outcome || vm.phase === "completing" || vm.phase === "copying" ? "not held" : "");
      return;
    }
    parts.gauge.replaceChildren(gauge(hold, vm.snapshots_ms ?? [], scale, now));
    const text = holdText(vm, hold, now);
    const limit = hold.anchored ? "anchored" : `limit ${text.limit}`;
    const taken = text.all ? `${text.inside} of ${count(text.all, "snapshot")} inside` : "no snapshot";
    setText(parts.held, `held ${text.length}, ${limit}, ${taken}`);
  }

  // A row that is moved loses the focus: it gets it back.
  move(item, place) {
    const held = item.contains(document.activeElement);
    this.list.insertBefore(item, place);
    if (held) item.querySelector("a").focus({ preventScroll: true });
  }

  // One link of the list is in the order of the Tab key: the chosen one, or the first.
  rove() {
    const chosen = this.rows.get(this.chosen)?.item ?? this.list.firstElementChild;
    for (const each of this.list.querySelectorAll("a[tabindex='0']")) if (each !== chosen?.querySelector("a")) each.tabIndex = -1;
    const anchor = chosen?.querySelector("a");
    if (anchor && anchor.tabIndex !== 0) anchor.tabIndex = 0;
  }

  onFocus(event) {
    const saga = event.target.closest("li")?.dataset.saga;
    if (!saga || saga === this.chosen) return;
    this.chosen = saga;
    this.rove();
    this.onChosen(saga);
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const items = [...this.list.children];
    const here = items.findIndex((item) => item.contains(document.activeElement));
    const steps = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1, PageDown: here + A_PAGE, PageUp: here - A_PAGE };
    if (here < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = items[Math.min(items.length - 1, Math.max(0, steps[event.key]))];
    next.querySelector("a").focus({ preventScroll: true });
    bringIntoSight(next, 3);
  }
}

// Rows that come into sight get their true heights, which moves those below: so it is looked at again.
function bringIntoSight(item, times) {
  item.scrollIntoView({ block: "nearest" });
  if (times > 0) requestAnimationFrame(() => bringIntoSight(item, times - 1));
}

function stateText(vm, kind) {
  if (kind === "succeeded" || kind === "degraded") return `${kind}, ${vm.grade ?? "no grade"}`;
  if (kind === "failed") return `failed in ${vm.problem?.step ?? "unknown"}`;
  if (kind === "overdue") return `overdue in ${vm.phase}`;
  if (kind === "running") return vm.phase === "running" ? "going on" : vm.phase;
  if (kind === "retried") return `${vm.outcome ?? "ended"}, tried again since`;
  return kind === "pending" ? "waiting" : kind;
}

function whatText(vm) {
  if (vm.problem) return `${vm.problem.sentence}${vm.problem.what_to_do ? ` ${vm.problem.what_to_do}` : ""}`;
  if (vm.overdue && !vm.outcome) return `It should have left ${vm.phase} ${lasting(vm.deadline_ms)} after the run began. The sweep mends that within a minute; where it does not, look at the health of the app.`;
  if (vm.warnings) return `${count(vm.warnings, "warning")} of the guest.`;
  return "";
}
