/** Requests to the server that this page came from, and their errors in its one shape. The key stays in this tab. */

const KEY = "tie.api-key";

/** What the server refused, or that nothing answered. `retryAfter` is in seconds, null where the server names none. */
export class ApiError extends Error {
  constructor({ message, code, param = null, status = 0, retryAfter = null, requestId = null }) {
    super(message);
    Object.assign(this, { code, param, status, retryAfter, requestId });
  }
}

export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setApiKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Throws an ApiError for everything but an answer of the 200s. */
export async function ask(path, { method = "GET", headers = {}, ...options } = {}) {
  const key = apiKey();
  const authorization = key ? { authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { method, headers: { ...headers, ...authorization }, cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "unreachable", message: "the server cannot be reached" });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const told = await response.json().catch(() => null);
  const error = told?.error ?? {};
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return new ApiError({
    message: String(error.message ?? `the answer is HTTP ${response.status}, and says no more`),
    code: String(error.code ?? `http_${response.status}`),
    param: typeof error.param === "string" ? error.param : null,
    status: response.status,
    retryAfter: Number.isNaN(seconds) ? null : seconds,
    requestId: response.headers.get("x-request-id"),
  });
}
