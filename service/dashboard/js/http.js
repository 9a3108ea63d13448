// Requests to the API: the key, problems as errors, and server-sent events over fetch (which can carry the key).

const KEY = "trainwright-key";

export class ProblemError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

function headers(extra = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

async function request(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  if (response.status === 401 && askForKey()) return request(path, options);
  if (!response.ok) throw new ProblemError(await problemOf(response));
  return response;
}

function askForKey() {
  const key = window.prompt("This service needs an API key (tw_...)");
  if (key) sessionStorage.setItem(KEY, key.trim());
  return Boolean(key);
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText, status: response.status, detail: `HTTP ${response.status}` };
  }
}

export async function get(path) {
  return (await request(path)).json();
}

// The examples of job specs that the contract gives, by name; a kind has one or more.
export async function jobExamples() {
  const body = (await get("/openapi.json")).paths["/v1/jobs"].post.requestBody;
  return Object.values(body.content["application/json"].examples);
}

// A part of a result that may not exist (yet): null instead of an error.
export async function maybe(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof ProblemError && error.problem.status === 404) return null;
    throw error;
  }
}

export async function post(path, body, type = "application/json") {
  const options = { method: "POST" };
  if (body !== undefined) Object.assign(options, { body, headers: type ? { "Content-Type": type } : {} });
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

export async function remove(path) {
  await request(path, { method: "DELETE" });
}

export async function download(path, filename) {
  const url = URL.createObjectURL(await (await request(path)).blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export async function imageUrl(path) {
  return URL.createObjectURL(await (await request(path)).blob());
}

// Calls `onEvent(type, data)` for each event until `end`; reconnects with Last-Event-ID; `signal` stops it.
export async function events(path, onEvent, signal) {
  let last = "0";
  while (!signal.aborted) {
    try {
      const response = await request(path, { signal, headers: { Accept: "text/event-stream", "Last-Event-ID": last } });
      for await (const event of parse(response.body)) {
        if (event.id) last = event.id;
        onEvent(event.type, JSON.parse(event.data));
        if (event.type === "end") return;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof ProblemError && error.problem.status < 500)) return;
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
}

async function* parse(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const blocks = buffer.split("\n\n");
    buffer = blocks.pop();
    for (const block of blocks) {
      const event = { type: "message", data: "", id: "" };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) event.type = line.slice(7);
        if (line.startsWith("data: ")) event.data += line.slice(6);
        if (line.startsWith("id: ")) event.id = line.slice(4);
      }
      if (event.data) yield event;
    }
  }
}
