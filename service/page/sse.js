/** Server-sent events from a response's body: `{id, type, data}`, data as text. Comments (pings) are left out. */

/** `onBytes` is called whenever something came, be it a ping. */
export async function* serverSentEvents(body, onBytes = () => {}) {
  const decoder = new TextDecoder();
  let rest = "";
  let message = { id: "", type: "message", data: [] };
  for await (const bytes of chunks(body)) {
    onBytes();
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines.map((one) => (one.endsWith("\r") ? one.slice(0, -1) : one))) {
      if (line !== "") {
        take(line, message);
        continue;
      }
      if (message.data.length) yield { ...message, data: message.data.join("\n") };
      message = { id: message.id, type: "message", data: [] };
    }
  }
}

function take(line, message) {
  const colon = line.indexOf(":");
  const name = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (name === "data") message.data.push(value);
  if (name === "event") message.type = value;
  if (name === "id") message.id = value;
}

async function* chunks(body) {
  const reader = body.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    reader.cancel().catch(() => {}); // the stream may have broken off by itself
  }
}
