// Names that somebody else chose. What a gateway may send: consumers of any letters, and display
// names; odd.sql has those that no gateway could.

export const CONSUMERS = [
  `<img src=x onerror="window.hostile=1">`,
  `"><script>window.hostile=1</script>`,
  `javascript:window.hostile=1`,
  `' onmouseover='window.hostile=1`,
  "\u202egnp.exe\u202c \u2067abc\u2069",
  "שלום עולם مرحبا بالعالم",
  "群组 👩‍👩‍👧 ñ",
  "W".repeat(128),
  "=1+1",
  "{{constructor.constructor('window.hostile=1')()}}",
];

/** Code and display name. */
export const NAMESPACES: readonly (readonly [string, string])[] = [
  ["hostile", `<script>window.hostile=1</script><b onclick="window.hostile=1">bold</b>`],
  ["hostile/../b:c", "\u202eright to left\u2066 عربى"],
  ["Hostile.long", "M".repeat(128)],
];
