// Asking for the key.

import { keepKey } from "./api.js";
import { el } from "./dom.js";

// The form; `done` is called once there is a key. `refused` says that there was one, and it opened nothing.
export function askForKey(done, refused) {
  const input = el("input", {
    id: "key", name: "key", type: "password", autocomplete: "off", required: true, spellcheck: "false",
    "aria-describedby": "key-about", "aria-invalid": refused ? "true" : null,
  });
  const form = el(
    "form", { class: "box ask", "aria-labelledby": "key-head", submit: (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (key) {
        keepKey(key);
        done();
      }
    } },
    el("h1", { id: "key-head" }, "Whose eyes?"),
    refused ? el("p", { class: "bad", role: "alert" }, refused) : null,
    el("p", null, el("label", { for: "key" }, "Access key (the right “read” is enough)")),
    el("p", null, input, " ", el("button", { type: "submit" }, "Open")),
    el("p", { id: "key-about", class: "quiet" },
      "It stays in this tab until the tab is closed, and is sent as a header, never in an address. This page changes nothing."),
  );
  return { form, focus: () => input.focus() };
}
