// What this browser remembers: how things are shown, never a key and never a number.

/** Names of what is remembered. */
export type Remembered = "theme" | "lang" | "tz";

/** Null if nothing is remembered or the browser keeps nothing. */
export function recall(name: Remembered): string | null {
  try {
    return localStorage.getItem(`gatemeter.${name}`);
  } catch {
    return null;
  }
}

/** Does nothing if the browser keeps nothing. */
export function remember(name: Remembered, value: string) {
  try {
    localStorage.setItem(`gatemeter.${name}`, value);
  } catch {
    // A view is still a link.
  }
}
