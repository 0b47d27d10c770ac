// Policies with their next times, the soonest first.

import { getAll } from "./api.js";
import { el, unseen } from "./dom.js";
import { poll } from "./live.js";
import { link } from "./router.js";
import { at, count, fromNow } from "./text.js";

const EVERY_MS = 30_000;

export function policiesView(page) {
  page.title("Policies");
  const list = el("div", null, el("p", { class: "quiet" }, "The policies are being read."));
  page.main.replaceChildren(el("h1", null, "Policies"), list);
  return poll(async (signal) => {
    const { items } = await getAll("policies", { query: { limit: 1000 }, signal });
    const held = document.activeElement?.closest?.("[data-policy]")?.dataset.policy;
    list.replaceChildren(items.length ? el("ul", { class: "cards" }, [...items].sort(sooner).map(card)) : el("p", null, "No policy is stored."));
    if (held) list.querySelector(`[data-policy="${CSS.escape(held)}"] a`)?.focus({ preventScroll: true });
    return EVERY_MS;
  }, { onLink: (state, error) => {
    if (error?.status === 404 || error?.status === 405) list.replaceChildren(el("p", null, "This app keeps no list of its policies."));
    else page.onLink(state, error);
  } });
}

// The schedules that have a next time, the soonest first.
export function nextTimes(policy) {
  const due = (policy.times ?? []).filter((each) => each.next_time && !each.paused);
  return due.sort((a, b) => new Date(a.next_time) - new Date(b.next_time));
}

function sooner(a, b) {
  const first = (policy) => new Date(nextTimes(policy)[0]?.next_time ?? 8.64e15).getTime();
  return first(a) - first(b) || String(a.policy).localeCompare(String(b.policy));
}

function card(policy) {
  const [next] = nextTimes(policy);
  const times = policy.times ?? [];
  const selects = policy.selects ? "VMs by conditions" : policy.vms_named === undefined ? null : count(policy.vms_named, "VM");
  return el("li", { class: `card ${policy.readable === false ? "bad" : ""}`, "data-policy": policy.policy },
    el("strong", null, policy.policy),
    el("span", { class: "state" }, next ? `next ${fromNow(next.next_time)}` : times.length ? "no next time" : "no schedule"),
    policy.readable === false ? el("strong", { class: "bad" }, "This version of the app cannot read it: it is not run.") : null,
    policy.description ? el("span", null, policy.description) : null,
    times.length ? el("ul", { class: "times-list" }, times.map(line)) : null,
    selects ? el("span", { class: "quiet" }, selects) : null,
    el("a", { href: link(["runs"], { policy: policy.policy }) }, "Its runs", unseen(`: ${policy.policy}`)), " ",
    el("a", { href: link(["points"], { policy: policy.policy }) }, "Its recovery points", unseen(`: ${policy.policy}`)));
}

// One schedule: when it comes next, when it ran last, what was missed.
function line({ schedule, paused, next_time: next, last_run: last, last_missed: missed }) {
  return el("li", null,
    schedule ? `${schedule}: ` : null,
    paused ? "paused" : next ? el("time", { datetime: next }, at(next)) : "no next time",
    last ? [", last ", el("a", { href: link(["runs", last.run]) }, at(last.time))] : ", not run yet",
    missed ? el("strong", { class: "bad" }, `, missed ${at(missed.time)}${missed.count > 1 ? ` (${missed.count} times)` : ""}: ${missed.why}`) : null);
}
