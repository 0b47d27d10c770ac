// All runs, newest first, and before them whatever needs a person.

import { get, hasKey } from "./api.js";
import { el, say, unseen } from "./dom.js";
import { poll } from "./live.js";
import { link } from "./router.js";
import { at, count, fromNow, lasting, shortName } from "./text.js";

const LIMIT = 100;
const HEALTH_EVERY_MS = 30_000;
const RUNNING_EVERY_MS = 5_000;

export function runsView(page, query) {
  page.title("Runs");
  const health = el("section", { class: "health", "aria-label": "How the app is" });
  const list = el("div", { class: "runs" }, el("p", { class: "quiet" }, "The runs are being read."));
  page.main.replaceChildren(el("h1", null, "Runs"), health, filterForm(query), list, openForm());
  const known = new Map();

  const stopHealth = poll(async (signal) => {
    const { body } = await get("health", { signal, fine: [503] });
    showHealth(health, body);
    return HEALTH_EVERY_MS;
  }, { onLink: (state, error) => {
    if (error?.status === 401 && !hasKey()) page.onLink(state, error);
    else if (error) showNoHealth(health, error);
  } });

  const stopRuns = poll(async (signal) => {
    const { body } = await get("runs", { query: { limit: LIMIT, ...asFilter(query) }, signal });
    const more = showRuns(list, body);
    announce(body.items, known);
    return more;
  }, {
    onLink: (state, error) => {
      if (error?.status === 404 || error?.status === 405) list.replaceChildren(el("p", null, "This app keeps no list of its runs: open one by its id."));
      else page.onLink(state, error);
    },
  });
  return () => { stopHealth(); stopRuns(); };
}

const STATES = [["", "all"], ["running", "going on"], ["ended", "ended"]];

function asFilter({ policy, state }) {
  return { policy, state };
}

function filterForm(query) {
  const policy = el("input", { id: "f-policy", name: "policy", value: query.policy ?? "", autocomplete: "off", spellcheck: "false" });
  const state = el("select", { id: "f-state", name: "state" },
    STATES.map(([value, name]) => el("option", { value, selected: value === (query.state ?? "") }, name)));
  const go = (event) => {
    event.preventDefault();
    location.hash = link(["runs"], { policy: policy.value.trim(), state: state.value });
  };
  return el("form", { class: "filter", role: "search", "aria-label": "Which runs", submit: go, change: go },
    el("label", { for: "f-policy" }, "Policy "), policy,
    el("label", { for: "f-state" }, " Which "), state,
    " ", el("button", { type: "submit" }, "Show"));
}

function openForm() {
  const id = el("input", { id: "run-id", required: true, autocomplete: "off", spellcheck: "false" });
  return el("form", { class: "filter", submit: (event) => {
    event.preventDefault();
    location.hash = link(["runs", id.value.trim()]);
  } }, el("label", { for: "run-id" }, "Open a run by its id "), id, " ", el("button", { type: "submit" }, "Open"));
}

function showHealth(place, health) {
  const problems = health.problems ?? [];
  const attention = health.attention ?? [];
  const late = health.overdue?.oldest;
  place.replaceChildren(
    problems.length || attention.length
      ? el("div", { class: `box ${problems.length ? "bad" : "warn"}` },
        el("h2", null, problems.length ? "The app is not well" : "Somebody should look"),
        el("ul", null, [...problems, ...attention].map((each) => el("li", null, each))),
        late ? el("p", null, el("a", { href: link(["runs", late.run, "vms", late.saga]) },
          `Overdue by ${lasting(late.overdue_s * 1000)}: ${late.vm ? shortName(late.vm) : late.saga}, while ${late.phase}`)) : null)
      : el("p", { class: "quiet" }, `The app is well; nothing is overdue. Version ${health.version}.`),
  );
}

function showNoHealth(place, error) {
  place.replaceChildren(el("p", { class: "quiet" }, `How the app is cannot be seen: ${error.message}`));
}

// How bad a run is: the smaller, the further up it stands.
export function rank(run) {
  if (run.vms_failed) return 1;
  if (run.state === "running") return 2;
  return run.warnings ? 3 : 4;
}

function showRuns(place, body) {
  const held = document.activeElement?.closest?.("[data-run]")?.dataset.run;
  const runs = body.items.map((run, order) => ({ run, order })).sort((a, b) => rank(a.run) - rank(b.run) || a.order - b.order);
  const groups = [["Failed", (r) => r < 2], ["Going on", (r) => r === 2], ["Ended", (r) => r > 2]];
  place.replaceChildren(...groups.map(([name, fits]) => {
    const rows = runs.filter(({ run }) => fits(rank(run)));
    return rows.length ? el("section", null, el("h2", null, name), el("ul", { class: "cards" }, rows.map(({ run }) => card(run)))) : null;
  }).filter(Boolean));
  if (!runs.length) place.replaceChildren(el("p", { class: "quiet" }, "There is no such run."));
  if (body.continuation) place.append(el("p", { class: "quiet" }, `The newest ${body.items.length} are shown; filter by policy to see others.`));
  if (held) place.querySelector(`[data-run="${CSS.escape(held)}"] a`)?.focus({ preventScroll: true });
  return runs.some(({ run }) => run.state === "running") ? RUNNING_EVERY_MS : HEALTH_EVERY_MS / 2;
}

function card(run) {
  const bad = rank(run) < 2;
  return el("li", { class: `card ${bad ? "bad" : run.state === "running" ? "on" : ""}`, "data-run": run.run },
    el("a", { href: link(["runs", run.run]) }, run.policy ?? "named VMs", unseen(`, run ${run.run}`)),
    el("span", { class: "state" }, stateOf(run)),
    el("span", { class: "quiet" }, `${at(run.created_at)} (${fromNow(run.created_at)}), ${asked(run.requested_by)}, run ${run.run}`));
}

const ASKED = { http: "asked for over HTTP", schedule: "by schedule" };

export function asked(by) {
  return ASKED[by] ?? `by ${by}`;
}

function stateOf(run) {
  const on = run.state === "running";
  return [
    run.vms_failed ? `${run.vms_failed} failed` : null,
    on ? "going on" : "ended",
    on && run.vms_ended !== null ? `${run.vms_ended} of ${count(run.vm_count, "VM")} ended` : count(run.vm_count, "VM"),
    run.warnings ? count(run.warnings, "warning") : null,
  ].filter(Boolean).join(" · ");
}

// Only what a person would want to be told of: a run that fails while the page is open.
function announce(runs, known) {
  const first = known.size === 0;
  const fresh = runs.filter((run) => rank(run) < 2 && known.get(run.run) !== true);
  for (const run of runs) known.set(run.run, rank(run) < 2);
  if (!first && fresh.length) say(`${count(fresh.length, "run")} with failed VMs: ${fresh.map((run) => run.policy ?? run.run).join(", ")}`);
}
