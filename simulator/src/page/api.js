// The control API, as far as the page uses it.

async function call(method, path, body) {
  const answer = await fetch(`/control/${path}`, {
    method,
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok) throw new Error(result.error ?? `the simulator answered ${answer.status}`);
  return result;
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);

/** Puts a person's file there; gives its id and kind. */
export async function put(file, name) {
  const answer = await fetch(`/control/media?filename=${encodeURIComponent(name)}`, {
    method: "POST", headers: { "content-type": file.type || "application/octet-stream" }, body: file,
  });
  const result = await answer.json();
  if (!answer.ok) throw new Error(result.error ?? `the simulator answered ${answer.status}`);
  return result;
}

/** Calls `heard` with each event, and `opened` whenever the line is there (again): then everything is to be read anew. */
export function listen({ opened, heard, lost }) {
  const events = new EventSource("/control/events");
  events.onopen = opened;
  events.onerror = lost;
  events.onmessage = (event) => heard(JSON.parse(event.data));
}
