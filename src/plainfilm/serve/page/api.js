// Talking to the service. The token lives in this module's memory and nowhere else.

let token = null;
let asking = null;
let askForToken = async () => null;

/** An answer of the service that is no success; `code` is stable, `title` is for people. */
export class Problem extends Error {
  constructor(status, code, title, { wait = null, detail = null } = {}) {
    super(title);
    Object.assign(this, { status, code, title, wait, detail });
  }
}

/** Say how a token is asked for: a function that resolves to one when somebody enters it. */
export function onUnauthorised(ask) {
  askForToken = ask;
}

/** Say whether the service asked for a token. */
export const needsToken = () => token !== null;

/** Ask for a path below this page; resolves to the response, or throws a Problem. */
export async function call(path, options = {}) {
  for (;;) {
    const used = token;
    const headers = { ...options.headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store", referrerPolicy: "no-referrer" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "unreachable", "the service cannot be reached, or broke off");
    }
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    await response.body?.cancel();
    // Several requests may be refused at once; one dialog serves them all.
    if (token === used) await renewToken(used !== null);
  }
}

async function renewToken(wrong) {
  asking ??= askForToken(wrong).then((entered) => {
    token = entered;
    asking = null;
  });
  await asking;
}

async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Something between this page and the service answered in its stead.
  }
  const title = told.title ?? `the service answered with status ${response.status}`;
  const code = told.code ?? `status-${response.status}`;
  const wait = waitOf(response.headers.get("Retry-After"));
  return new Problem(response.status, code, title, { wait, detail: told.detail });
}

/** Return the seconds that a Retry-After asks for, or null. */
export function waitOf(header, now = Date.now()) {
  if (!header) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

/** Return the bundles that the service has. */
export const readBundles = async () => (await (await call("v1/bundles")).json()).bundles;

/** Return what is known of a bundle. */
export const readModel = async (name) =>
  (await call(`v1/model?${new URLSearchParams({ bundle: name })}`)).json();

/**
 * Ask about one file; resolves to the whole answer, in which a file that cannot be read has its error.
 * Neither its name is sent nor its type, which a browser guesses by the name's ending.
 */
export async function predict(file, { bundle, include = [], label = null, signal = null }) {
  const query = new URLSearchParams({ bundle });
  if (include.length) query.set("include", include.join(","));
  if (label !== null) query.set("label", label);
  const body = new FormData();
  body.append("image", new Blob([file], { type: "application/octet-stream" }), "image");
  return (await call(`v1/predictions?${query}`, { method: "POST", body, signal })).json();
}
