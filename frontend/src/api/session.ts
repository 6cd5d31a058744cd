// Whether the API wants a key. Any answer of 401 says so, whatever was asked.
import { setKey } from "./http.ts";

/** Open: no key was asked for. Wanted: one is needed. Refused: the one that was given is wrong. */
export type Session = "open" | "wanted" | "refused";

let session: Session = "open";
let wasGiven = false;
const listeners = new Set<() => void>();

function become(next: Session) {
  if (next === session) return;
  session = next;
  for (const listener of listeners) listener();
}

export function sessionNow(): Session {
  return session;
}

export function onSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The API answered 401. */
export function wantKey() {
  become(wasGiven ? "refused" : "wanted");
}

/** Somebody typed a key. Whether it is right the next answer says. */
export function giveKey(key: string) {
  wasGiven = true;
  setKey(key);
  become("open");
}
