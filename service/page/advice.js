/** What to do about an error, by its code: the table of docs/http-api.md, for people in front of this page. */

const CHANGE = "Change the request: the message says which part and how.";
const LATER = "Wait a little, then try again.";
const KEY = "Enter an API key of this server above; whoever runs it can make one.";
const OPERATOR = "Try again; if it stays, tell whoever runs the server, with the request id.";

export const ADVICE = {
  invalid_json: OPERATOR,
  body_too_complex: CHANGE,
  invalid_http: OPERATOR,
  invalid_value: CHANGE,
  invalid_request: CHANGE,
  invalid_prompt: CHANGE,
  prompt_too_long: "Shorten the prompt.",
  context_length_exceeded: "Shorten the prompt, or ask for a shorter canvas.",
  unknown_field: "Reload this page: it was made for another version of the server.",
  unsupported_value: CHANGE,
  request_too_large: "Ask for a shorter canvas or fewer models: the message has the figures.",
  invalid_idempotency_key: OPERATOR,
  missing_api_key: KEY,
  invalid_api_key: KEY,
  not_found: "Reload this page: it was made for another version of the server.",
  model_not_found: "Reload this page: the server's models have changed.",
  request_not_found: "The server keeps a run for a while only, and not over a restart: run it again.",
  method_not_allowed: "Reload this page: it was made for another version of the server.",
  body_timeout: "The connection is slow: try again.",
  header_timeout: "The connection is slow: try again.",
  cancelled: "What there is so far can be looked at below; run it again for an answer.",
  session_required: "Something on the way to the server takes the header x-session-id away: tell whoever runs it.",
  idempotency_conflict: "Run it again: it then gets a number of its own.",
  body_too_large: "Shorten the prompt.",
  unsupported_media_type: OPERATOR,
  host_not_allowed:
    "Open this page under a name that the server answers to (127.0.0.1, or one of server.allowed_hosts).",
  quota_exceeded: "This key has used up its quota: try again when the time that the server names is over.",
  too_many_followers: "Too many pages follow runs with this key: close some.",
  headers_too_large: "Clear this site's cookies in the browser, or shorten the API key.",
  member_failed: "Change the prompt or the options: every model that was asked failed at this request.",
  internal_error: OPERATOR,
  http_error: OPERATOR,
  loading: "This page goes on by itself when they are there.",
  draining: "The server is stopping: try again when it is back.",
  stopped: "The server has stopped: start it again.",
  failed: "The server could not load its models: its log says why.",
  stalled: LATER,
  member_down: LATER,
  no_member_left: LATER,
  out_of_memory: "Try again later, or ask for a shorter canvas.",
  queue_full: "The server is busy: try again when the time that it names is over.",
  too_many_connections: LATER,
  deadline_exceeded: "Allow more time (deadline_ms), or take a partial answer (on_deadline).",
  unreachable: "Check that the server still runs and that the network is there, then try again.",
};

export function adviceFor(code) {
  return Object.hasOwn(ADVICE, code) ? ADVICE[code] : OPERATOR;
}
