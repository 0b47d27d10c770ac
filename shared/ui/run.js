// One run: what went wrong first, then every VM on one time axis, live.

import { getAll } from "./api.js";
import { reach } from "./axis.js";
import { axisBar } from "./bars.js";
import { el, say, setText } from "./dom.js";
import { poll } from "./live.js";
import { replace } from "./router.js";
import { Rows, group, GROUPS } from "./rows.js";
import { asked } from "./runs.js";
import { at, count, fromNow, PHASES } from "./text.js";
import { numbersOf } from "./numbers.js";

const PAGE = 500;
const ENDED_SOON_MS = 10_000;
const AXES = [["all", "the whole run"], ["guests", "until the guests went on"], ["window", "the freeze window of the VM in focus"]];

export function runView(page, run, query) {
  page.title(`Run ${run}`);
  const view = new RunPage(page, run, query);
  const stop = poll((signal) => view.look(signal), { onLink: (state, error) => view.onLink(state, error) });
  const ticking = setInterval(() => view.tick(), 1_000);
  return () => { stop(); clearInterval(ticking); };
}

class RunPage {
  constructor(page, run, query) {
    Object.assign(this, { page, run, query: { axis: "all", ...query } });
    this.vms = new Map();
    this.head = null;
    this.since = null;
    this.ahead = 0; // by how much the app's clock is ahead of this one (ms)
    this.summary = el("p", { class: "summary" });
    this.groups = el("ul", { class: "groups", "aria-label": "Groups whose VMs are to share one instant" });
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Show only" });
    this.rule = el("div", { class: "axis", "aria-hidden": "true" });
    this.numbers = el("div", { class: "numbers" });
    this.rows = new Rows(run, () => this.draw());
    this.build();
  }

  build() {
    const search = el("input", { id: "find", type: "search", autocomplete: "off", spellcheck: "false", value: this.query.find ?? "",
      input: () => this.ask({ find: search.value }) });
    const axis = el("select", { id: "axis", change: () => this.ask({ axis: axis.value }) },
      AXES.map(([value, name]) => el("option", { value, selected: value === this.query.axis }, name)));
    const numbers = el("button", { type: "button", "aria-expanded": "false", click: () => this.toggleNumbers(numbers) }, "Numbers as a table");
    this.page.main.replaceChildren(
      el("nav", { class: "trail", "aria-label": "Where this is" }, el("a", { href: "#/runs" }, "Runs"), " / ", this.run),
      (this.name = el("h1", null, `Run ${this.run}`)),
      this.summary, this.groups, this.chips,
      el("div", { class: "filter" }, el("label", { for: "find" }, "VM "), search, el("label", { for: "axis" }, " Time axis: "), axis, " ", numbers),
      legend(), this.numbers,
      el("div", { class: "axis-row", "aria-hidden": "true" }, this.rule),
      this.rows.list,
    );
  }

  onLink(state, error) {
    if (error?.status === 404) {
      this.page.main.replaceChildren(el("h1", null, "There is no such run"), el("p", null, el("a", { href: "#/runs" }, "All runs")));
      return;
    }
    this.page.onLink(state, error);
  }

  // Ask what has changed. VMs that ended before `since` are left out of the answer; one that was going on and
  // is left out ended without being seen to. Then, and when a VM is tried again, everything is asked again.
  async look(signal) {
    const told = await getAll(`runs/${encodeURIComponent(this.run)}/timeline`, { query: { limit: PAGE, since: this.since }, signal, most: 20_000 });
    if (!told.changed && this.head) return false;
    this.ahead = new Date(told.head.now).getTime() - Date.now();
    const here = new Set(told.items.map((vm) => vm.saga));
    const missed = [...this.vms.values()].some((vm) => !vm.outcome && !here.has(vm.saga));
    const triedAgain = this.since !== null && told.items.some((vm) => !this.vms.has(vm.saga));
    if (missed || triedAgain) {
      this.since = null;
      return 100;
    }
    const news = told.items.filter((vm) => this.isNew(vm));
    for (const vm of told.items) this.vms.set(vm.saga, vm);
    const first = this.head === null;
    this.head = told.head;
    const ended = told.items.filter((vm) => vm.outcome).map((vm) => vm.ended_ms ?? 0);
    if (ended.length) this.since = new Date(this.created + Math.max(...ended)).toISOString();
    this.draw();
    if (!first) this.announce(news);
    return this.goingOn ? true : ENDED_SOON_MS;
  }

  get created() { return new Date(this.head.created_at).getTime(); }
  get now() { return Date.now() + this.ahead - this.created; }
  get goingOn() { return [...this.vms.values()].some((vm) => !vm.outcome); }

  isNew(vm) {
    const before = this.vms.get(vm.saga);
    return before && (before.outcome !== vm.outcome || before.overdue !== vm.overdue);
  }

  announce(news) {
    const bad = news.filter((vm) => (vm.outcome === "failed" && !vm.retried) || (vm.overdue && !vm.outcome));
    const names = (vms) => vms.slice(0, 5).map((vm) => vm.name).join(", ") + (vms.length > 5 ? " and others" : "");
    const over = news.length && !this.goingOn ? `The run has ended: ${this.countText()}. ` : "";
    if (bad.length || over) say(`${over}${bad.length ? `${count(bad.length, "VM")} failed or overdue: ${names(bad)}` : ""}`);
  }

  ask(change) {
    Object.assign(this.query, change);
    const { axis, ...others } = this.query;
    replace(["runs", this.run], { ...others, axis: axis === "all" ? "" : axis });
    this.draw();
  }

  draw() {
    if (!this.head) return;
    const all = [...this.vms.values()];
    const wanted = all.filter((vm) => this.fits(vm));
    const chosen = [this.vms.get(this.rows.chosen), ...this.rows.inOrder()].find((vm) => vm?.holds?.length);
    const axis = reach(wanted, this.now, this.query.axis, chosen);
    const policy = this.head.policy;
    setText(this.name, policy ?? "Named VMs");
    setText(this.summary, `${at(this.head.created_at)} (${fromNow(this.head.created_at)}), ${asked(this.head.requested_by)}. ${this.countText()}.`
      + (this.head.cancel_requested ? " It is being cancelled, guests first." : ""));
    this.drawGroups();
    this.drawChips(all);
    this.rule.replaceChildren(...axisBar(axis, this.rule.clientWidth < 500 ? 4 : 8));
    this.rows.show(wanted, axis, this.now);
    if (this.numbers.firstChild) this.drawNumbers();
  }

  // Between two answers only what goes on grows.
  tick() {
    if (this.head && !document.hidden && this.goingOn) this.draw();
  }

  fits(vm) {
    const { find, only } = this.query;
    return (!only || group(vm) === only) && (!find || vm.name.toLowerCase().includes(find.toLowerCase()));
  }

  countText() {
    const counts = this.counts();
    const parts = GROUPS.filter(({ id }) => counts[id]).map(({ id, name }) => `${counts[id]} ${name}`);
    return `${count(this.head.vm_count, "VM")}: ${parts.join(", ") || "none begun"}`;
  }

  counts() {
    const counts = {};
    for (const vm of this.vms.values()) counts[group(vm)] = (counts[group(vm)] ?? 0) + 1;
    return counts;
  }

  drawGroups() {
    const groups = this.head.groups ?? [];
    const signature = JSON.stringify(groups);
    if (signature === this.groupsShown) return;
    this.groupsShown = signature;
    const sign = { true: "✓", false: "!" };
    this.groups.replaceChildren(...groups.map((each) => el("li", { class: each.one_instant === false ? "apart" : "" },
      el("span", { class: "sign", "aria-hidden": "true" }, sign[each.one_instant] ?? "…"), " ", el("b", null, each.group), ` ${each.sentence}`)));
  }

  drawChips() {
    const counts = this.counts();
    const wanted = GROUPS.filter(({ id }) => counts[id]);
    const signature = JSON.stringify([wanted.map(({ id }) => [id, counts[id]]), this.query.only]);
    if (signature === this.chipsShown) return;
    this.chipsShown = signature;
    const held = document.activeElement?.dataset?.chip;
    this.chips.replaceChildren(...wanted.map(({ id, name }) => el("button", {
      type: "button", class: `chip ${id}`, "data-chip": id, "aria-pressed": String(this.query.only === id),
      click: () => this.ask({ only: this.query.only === id ? "" : id }),
    }, `${counts[id]} ${name}`)));
    if (held) this.chips.querySelector(`[data-chip="${held}"]`)?.focus();
  }

  toggleNumbers(button) {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    if (open) this.drawNumbers();
    else this.numbers.replaceChildren();
  }

  drawNumbers() {
    const wanted = [...this.vms.values()].filter((vm) => this.fits(vm));
    const signature = JSON.stringify(wanted);
    if (signature === this.numbersShown && this.numbers.firstChild) return;
    this.numbersShown = signature;
    this.numbers.replaceChildren(numbersOf(wanted, this.now));
  }
}

function legend() {
  const phases = [
    "preflight", "arming", "admitting", "quiescing", "capturing", "resuming", "completing", "copying", "cleaning",
  ];
  return el("details", { class: "legend" }, el("summary", null, "What the colours mean"),
    el("dl", null, phases.map((phase) => [el("dt", { class: `key phase ${phase}` }, phase), el("dd", null, PHASES[phase])]),
      el("dt", { class: "key held" }, "freeze window"), el("dd", null, "writes were held in the guest"),
      el("dt", { class: "key tick" }, "snapshot"), el("dd", null, "the instant of one disk's snapshot, by Azure's clock"),
      el("dt", { class: "key limit" }, "dead-man's limit"), el("dd", null, "when the guest would have gone on by itself")));
}
