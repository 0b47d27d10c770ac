// Policies with their next times, the soonest first.

import { getAll } from "./api.js";
import { el } from "./dom.js";
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

// The next times of a policy: [{name, at}], the soonest first.
export function nextTimes(policy) {
  const named = (policy.schedules ?? []).flatMap((schedule) => [schedule.next ?? []].flat().map((moment) => ({ name: schedule.name ?? "", at: moment })));
  const own = [policy.next ?? []].flat().map((each) => (typeof each === "string" ? { name: "", at: each } : { name: each.schedule ?? each.name ?? "", at: each.at }));
  return [...named, ...own].filter((each) => each.at).sort((a, b) => new Date(a.at) - new Date(b.at));
}

function sooner(a, b) {
  const first = (policy) => new Date(nextTimes(policy)[0]?.at ?? 8.64e15).getTime();
  return first(a) - first(b) || String(a.policy).localeCompare(String(b.policy));
}

function card(policy) {
  const times = nextTimes(policy);
  return el("li", { class: "card", "data-policy": policy.policy },
    el("strong", null, policy.policy),
    el("span", { class: "state" }, times.length ? `next ${fromNow(times[0].at)}` : "no schedule"),
    policy.description ? el("span", null, policy.description) : null,
    times.length ? el("ul", { class: "times-list" }, times.slice(0, 5).map((each) => el("li", null, el("time", { datetime: each.at }, at(each.at)), each.name ? ` – ${each.name}` : ""))) : null,
    el("span", { class: "quiet" }, policy.vm_count === undefined ? "" : count(policy.vm_count, "VM")),
    el("a", { href: link(["runs"], { policy: policy.policy }) }, "Its runs"), " ",
    el("a", { href: link(["points"], { policy: policy.policy }) }, "Its recovery points"));
}
