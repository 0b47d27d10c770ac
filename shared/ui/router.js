// Addresses within the page: #/runs/ID/vms/SAGA?a=b. They can be kept, sent and opened again.

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(unescaped);
  return { parts: parts.length ? parts : ["runs"], query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const search = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

// Change the address without a new view: filters go into it, and the back button is not filled with them.
export function replace(parts, query) {
  history.replaceState(null, "", link(parts, query));
}

function unescaped(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % is taken as it stands
  }
}
