// The beginning: which view stands in the page, the key, dark or light, the state of the line.

import { forgetKey, hasKey } from "./api.js";
import { askForKey } from "./ask.js";
import { say, setText } from "./dom.js";
import { pointsView } from "./points.js";
import { policiesView } from "./policies.js";
import { parse } from "./router.js";
import { runView } from "./run.js";
import { runsView } from "./runs.js";
import { vmView } from "./vm.js";

const main = document.getElementById("main");
let leave = () => {};
let lost = false;

function viewOf({ parts, query }, page) {
  const [part, id, below, vm] = parts;
  if (part === "runs" && below === "vms" && vm) return vmView(page, id, vm);
  if (part === "runs" && id) return runView(page, id, query);
  if (part === "points") return pointsView(page, query);
  if (part === "policies") return policiesView(page);
  return runsView(page, query);
}

// What a view is given: where to draw, what to tell about the line, what to do when the key opens nothing.
function pageFor(name) {
  return {
    main,
    title: (text) => { document.title = `${text} – Stillframe`; },
    onLink: (state, error) => {
      if (error?.status === 401) return onRefused(error);
      tellLink(state, error);
    },
    name,
  };
}

function show({ focus = true } = {}) {
  leave();
  leave = () => {};
  const place = parse(location.hash);
  for (const each of document.querySelectorAll("nav a")) {
    if (each.dataset.part === place.parts[0]) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  document.getElementById("forget").hidden = !hasKey();
  main.replaceChildren();
  leave = viewOf(place, pageFor(place.parts[0]));
  if (focus) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function onRefused(error) {
  leave();
  leave = () => {};
  const refused = hasKey() ? error.message : null;
  forgetKey();
  document.getElementById("forget").hidden = true;
  setText(document.getElementById("link"), "");
  const { form, focus } = askForKey(() => show(), refused);
  document.title = "Key – Stillframe";
  main.replaceChildren(form);
  focus();
}

function tellLink(state, error) {
  const place = document.getElementById("link");
  place.className = `link ${state}`;
  setText(place, { live: "live", hidden: "paused", lost: `no answer: ${error?.message ?? ""}` }[state] ?? "");
  if (state === "lost" && !lost) say(`The app does not answer: ${error?.message ?? ""}`);
  if (state === "live" && lost) say("The app answers again.");
  if (state !== "hidden") lost = state === "lost";
}

// Dark or light: as the system says, until somebody says otherwise here.
function theming() {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light");
  const label = () => setText(button, now() === "dark" ? "Light" : "Dark");
  const kept = localStorage.getItem("stillframe-theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
  button.addEventListener("click", () => {
    const other = now() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    localStorage.setItem("stillframe-theme", other);
    label();
  });
  system.addEventListener("change", label);
  label();
}

// The skip link must not become an address of the page's own.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("forget").addEventListener("click", () => {
  forgetKey();
  show();
});
addEventListener("hashchange", () => show());
theming();
show({ focus: false });
