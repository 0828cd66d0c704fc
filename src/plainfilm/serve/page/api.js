// Requests to the service. The token is kept in this module only.

let token = null;
let entering = null;
let enterToken = async () => null;

/** An error of the service or the connection; `code` is stable, `title` is for people. */
export class Problem extends Error {
  constructor(status, code, title, { wait = null, detail = null } = {}) {
    super(title);
    Object.assign(this, { status, code, title, wait, detail });
  }
}

/** Set the function that asks the user for a token and resolves to it. */
export function onUnauthorised(enter) {
  enterToken = enter;
}

/** Return whether the service requires a token. */
export const needsToken = () => token !== null;

/** Request a path relative to this page; resolves to the response, or throws a Problem. */
export async function call(path, options = {}) {
  for (;;) {
    const used = token;
    const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "unreachable", "the service cannot be reached");
    }
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    await response.body?.cancel();
    // Several requests may be refused at once; they share one dialog.
    if (token === used) await renewToken(used !== null);
  }
}

async function renewToken(wrong) {
  entering ??= enterToken(wrong).then((entered) => {
    token = entered;
    entering = null;
  });
  await entering;
}

async function problemOf(response) {
  // A proxy between this page and the service may answer without JSON.
  const content = await response.json().catch(() => ({}));
  const title = content.title ?? `the service returned status ${response.status}`;
  const code = content.code ?? `status-${response.status}`;
  const wait = parseRetryAfter(response.headers.get("Retry-After"));
  return new Problem(response.status, code, title, { wait, detail: content.detail });
}

/** Return the seconds of a Retry-After header, or null. */
export function parseRetryAfter(header, now = Date.now()) {
  if (!header) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** Return the loaded bundles. */
export const readBundles = async () => (await (await call("v1/bundles")).json()).bundles;

/** Return the description of a bundle. */
export const readModel = async (name) =>
  (await call(`v1/model?${new URLSearchParams({ bundle: name })}`)).json();

/**
 * Predict on one file; resolves to the whole answer, in which an unreadable file has a reason.
 * Neither the file's name nor its type, which the browser derives from the name, is sent.
 */
export async function predict(file, { bundle, include = [], label = null, signal = null }) {
  const query = new URLSearchParams({ bundle });
  if (include.length) query.set("include", include.join(","));
  if (label !== null) query.set("label", label);
  const body = new FormData();
  body.append("image", new Blob([file], { type: "application/octet-stream" }), "image");
  return (await call(`v1/predictions?${query}`, { method: "POST", body, signal })).json();
}
