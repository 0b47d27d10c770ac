// Recovery points: "the one of last Tuesday" is two steps away.

import { get } from "./api.js";
import { el, say } from "./dom.js";
import { link } from "./router.js";
import { at, count, fromNow, GRADES, lasting, shortName } from "./text.js";

const LIMIT = 100;
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: "long" });

export function pointsView(page, query) {
  page.title("Recovery points");
  const list = el("div", null, el("p", { class: "quiet" }, "The recovery points are being read."));
  page.main.replaceChildren(el("h1", null, "Recovery points"), filterForm(query), list);
  const leaving = new AbortController();
  show(page, list, query, leaving.signal);
  return () => leaving.abort();
}

async function show(page, list, query, signal) {
  const shown = el("ul", { class: "cards points", "aria-label": "Recovery points, newest first" });
  const more = el("p", null);
  let number = 0;

  async function next(continuation) {
    const { body } = await get("recovery-points", { query: { ...filterOf(query), limit: LIMIT, continuation }, signal });
    number += body.items.length;
    shown.append(...body.items.map(card));
    if (continuation === "") list.replaceChildren(number ? shown : el("p", null, "There is no such recovery point."), more);
    more.replaceChildren(body.continuation ? el("button", { type: "button", click: () => attempt(body.continuation) }, "More") : `${count(number, "recovery point")}.`);
    say(`${count(number, "recovery point")}${body.continuation ? ", and more" : ""}.`);
  }

  async function attempt(continuation) {
    try {
      await next(continuation);
      page.onLink("live");
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401 || !error.status) page.onLink("lost", error);
      if (error.status === undefined) console.error(error);
      list.replaceChildren(el("p", { class: "box bad", role: "alert" }, error.message));
    }
  }
  await attempt("");
}

// A day is one in the time zone of whoever looks.
export function filterOf(query) {
  const since = query.day ? new Date(`${query.day}T00:00:00`) : null;
  const until = since ? new Date(since.getFullYear(), since.getMonth(), since.getDate() + 1) : null;
  const written = (date) => (date && !Number.isNaN(date.getTime()) ? date.toISOString() : "");
  return { vm: query.vm, policy: query.policy, grade: query.grade, since: written(since), until: written(until) };
}

function filterForm(query) {
  const field = (name, label, type = "text") => {
    const input = el("input", { id: `p-${name}`, name, type, value: query[name] ?? "", autocomplete: "off", spellcheck: "false" });
    return [el("label", { for: `p-${name}` }, `${label} `), input, " "];
  };
  const grade = el("select", { id: "p-grade", name: "grade" }, ["", ...Object.keys(GRADES)].map((each) => el("option", { value: each, selected: each === (query.grade ?? "") }, each || "any")));
  const form = el("form", { class: "filter", role: "search", "aria-label": "Which recovery points", submit: (event) => {
    event.preventDefault();
    go(Object.fromEntries(new FormData(form)));
  } },
  field("vm", "VM (its ARM id)"), field("policy", "Policy"), field("day", "Day", "date"), el("label", { for: "p-grade" }, "Grade "), grade, " ", el("button", { type: "submit" }, "Show"),
  el("div", { class: "chips", role: "group", "aria-label": "One of the last days" }, el("button", { type: "button", class: "chip", "aria-pressed": String(!query.day), click: () => go({ ...query, day: "" }) }, "any day"), lastDays().map(({ day, name }) => el("button", {
    type: "button", class: "chip", "aria-pressed": String(query.day === day), click: () => go({ ...Object.fromEntries(new FormData(form)), day }),
  }, name))));
  return form;
}

function go(query) {
  const trimmed = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, String(value).trim()]));
  location.hash = link(["points"], trimmed);
}

// Today, yesterday, and the five days before by their names.
function lastDays(now = new Date()) {
  return [0, 1, 2, 3, 4, 5, 6, 7].map((back) => {
    const date = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back, 12);
    const day = [date.getFullYear(), String(date.getMonth() + 1).padStart(2, "0"), String(date.getDate()).padStart(2, "0")].join("-");
    const name = back === 0 ? "today" : back === 1 ? "yesterday" : `${back === 7 ? "last " : ""}${WEEKDAY.format(date)}`;
    return { day, name };
  });
}

function card(point) {
  const state = point.state && point.state !== "available" ? [" ", el("strong", { class: "bad" }, point.state)] : null;
  const hold = point.hold ? `, on hold${point.hold.until ? ` until ${at(point.hold.until)}` : ""}` : "";
  const window = point.freeze_window_ms === null || point.freeze_window_ms === undefined ? "nothing was held" : `held ${lasting(point.freeze_window_ms)}`;
  const id = point.point ?? point.saga;
  const reasons = point.reasons ?? (point.why ? [point.why] : []);
  return el("li", { class: "card" },
    el("span", { class: "state" }, el("strong", { class: `grade ${point.grade}` }, point.grade), state),
    el("a", { href: link(["runs", point.run, "vms", id]), "aria-label": `${shortName(point.vm)}, ${at(point.created ?? point.created_at)}: evidence` }, shortName(point.vm)),
    el("span", null, `${at(point.created ?? point.created_at)} (${fromNow(point.created ?? point.created_at)}), ${window}, policy ${point.policy || "none"}${hold}`),
    reasons.length ? el("p", { class: "what" }, reasons.join(" ")) : null);
}

