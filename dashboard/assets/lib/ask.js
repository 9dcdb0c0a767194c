// Asks a question and hears the answer while it is written.

import { address, headers, problemOf } from "./api.js";
import { events } from "./live.js";

/**
 * Calls `onSources(sources)` and `onText(piece)` as they come, and returns the
 * whole answer. Not repeated by itself: a model's work costs.
 */
export async function ask(body, { signal, onSources, onText }) {
  const more = { Accept: "text/event-stream", "Content-Type": "application/json" };
  const request = { method: "POST", signal, headers: headers(more), body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(address("/api/v2/ask"), request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw problemOf(0, { error: { message: "The server cannot be reached." } });
  }
  if (!response.ok) throw problemOf(response.status, await response.json().catch(() => null));
  try {
    for await (const event of events(response.body)) {
      const data = JSON.parse(event.data);
      if (event.name === "sources") onSources(data.sources);
      else if (event.name === "text") onText(data.text);
      else if (event.name === "done") return data;
      else if (event.name === "error") throw problemOf(500, data);
    }
  } catch (error) {
    if (error.name === "AbortError" || error.status !== undefined) throw error;
  }
  throw problemOf(0, { error: { message: "The connection ended before the answer did." } });
}
