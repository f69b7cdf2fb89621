// Client of the control API.

async function call(method, path, body) {
  const response = await fetch(`/control/${path}`, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error ?? `the simulator responded with ${response.status}`);
  return result;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);

/** Uploads a person's file; returns its id and kind. */
export async function put(file, name) {
  const response = await fetch(`/control/media?filename=${encodeURIComponent(name)}`, {
    method: "POST", headers: { "content-type": file.type || "application/octet-stream" }, body: file,
  });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error ?? `the simulator responded with ${response.status}`);
  return result;
}

/** Calls `heard` with each event, and `opened` after each (re)connection, when the page has to reload everything. */
export function listen({ opened, heard, lost }) {
  const events = new EventSource("/control/events");
  events.onopen = opened;
  events.onerror = lost;
  events.onmessage = (event) => heard(JSON.parse(event.data));
}
