// The calls of the API. The key is kept in this tab's session storage and sent as a header, never in an address.

const BASE = new URL("../", import.meta.url); // /api/ui/api.js -> /api/
const KEY = "stillframe-key";
const known = new Map(); // address -> {etag, body}
const KNOWN_AT_MOST = 64;

export class ApiError extends Error {
  // status 0: there was no answer. retryAfter in ms, null where nothing was said.
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

export function keepKey(key) {
  known.clear(); // what another key was shown is not this one's
  sessionStorage.setItem(KEY, key);
}

export function forgetKey() {
  known.clear();
  sessionStorage.removeItem(KEY);
}

export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

// GET; gives {body, changed}. With {fine: [503]} these statuses count as answers too.
export async function get(path, { query, signal, fine = [] } = {}) {
  const url = address(path, query);
  const before = known.get(url.href);
  const headers = { accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["x-functions-key"] = key;
  if (before) headers["if-none-match"] = before.etag;
  let answer;
  try {
    // The cache of the browser is left out: what a key was shown must not stay on the disk.
    answer = await fetch(url, { headers, signal, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The app does not answer.");
  }
  if (answer.status === 304 && before) return { body: before.body, changed: false };
  if (!answer.ok && !fine.includes(answer.status)) throw await refusal(answer);
  const body = await answer.json();
  remember(url.href, answer.headers.get("etag"), body);
  return { body, changed: true };
}

// All items of a call that is answered in pages, at most `most`; `head` is the first page's answer.
export async function getAll(path, { query = {}, signal, most = 5000 } = {}) {
  const items = [];
  let head = null, changed = false, continuation = "";
  do {
    const page = await get(path, { query: { ...query, continuation }, signal });
    head ??= page.body;
    changed ||= page.changed;
    items.push(...page.body.items);
    continuation = page.body.continuation;
  } while (continuation && items.length < most);
  return { head, items, changed, more: Boolean(continuation) };
}

function remember(href, etag, body) {
  if (!etag) return;
  known.delete(href);
  known.set(href, { etag, body });
  if (known.size > KNOWN_AT_MOST) known.delete(known.keys().next().value);
}

async function refusal(answer) {
  const seconds = Number.parseInt(answer.headers.get("retry-after") ?? "", 10);
  const wait = Number.isNaN(seconds) ? null : seconds * 1000;
  let problem = {};
  try {
    problem = await answer.json();
  } catch {
    problem = {}; // the host answers 401 and 404 without a body
  }
  const detail = problem.detail || problem.title || STATUS[answer.status] || `The app answered ${answer.status}.`;
  return new ApiError(answer.status, problem.field ? `${problem.field}: ${detail}` : detail, wait);
}

const STATUS = {
  401: "This key does not open this part of the app.",
  404: "There is none of that name.",
  503: "The app's storage does not answer.",
};
