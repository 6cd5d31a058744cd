//! Bodies of every kind, made by choices: ordinary ones, and all that can be wrong with them.
//!
//! The choices are bytes, so that a property test can shrink them and a seed can stand for as many
//! as wanted. Without choices left, the plainest thing is made.

use std::fmt::Write as _;

/// Names of the event's fields with a value of the right kind for each.
const FIELDS: [(&str, &[&str]); 27] = [
    ("id", &["\"e1\"", "\"evt-00000000000004d2\"", "\"käthe\"", "\"a\\u0031\"", "\"\""]),
    ("time", &["1769862896", "1769862896.25", "\"2026-01-31T12:34:56.789Z\"", "1769862896123456"]),
    ("namespace", &["\"wechat\"", "\"team-07\"", "\"all\"", "\"a b\""]),
    ("upstream", &["\"openai\"", "\"azure\"", "\"\""]),
    ("method", &["\"POST\"", "\"get\"", "\"PROPFIND\""]),
    ("endpoint", &["\"/v1/chat/completions\"", "\"\\/v1\\/x\"", "\"a b\""]),
    ("status", &["200", "429", "200.0", "2e2", "99", "600"]),
    ("duration_ms", &["1534.2", "1500", "0.0015", "86400000", "86400001", "1e3"]),
    ("model", &["\"gpt-4o\"", "\"a\\/b\"", "\"\""]),
    ("requested_model", &["\"gpt\"", "\"模型\""]),
    ("ttft_ms", &["12", "12.3456", "-1"]),
    ("stream", &["true", "false"]),
    ("kind", &["\"event\"", "\"connections\"", "\"span\""]),
    ("usage", &[]),
    ("text", &[]),
    ("request_id", &["\"req-00000000000004d2\"", "\"r\\u0031\""]),
    ("attempt", &["0", "1", "65535", "65536"]),
    ("final", &["true", "false"]),
    ("error_type", &["\"timeout\"", "\"policy\"", "\"kaputt\""]),
    ("consumer", &["\"key-0007\"", "\"käthe\"", "\"k\\u00e4the\""]),
    ("service_tier", &["\"batch\"", "\"auto\"", "\"gold\""]),
    ("producer", &["\"w1\""]),
    ("epoch", &["0", "1769862000123"]),
    ("seq", &["0", "7", "18446744073709551615", "18446744073709551616"]),
    ("limited_by", &["\"token_limit\""]),
    ("gateway", &["\"gw-1\"", "\"a b\""]),
    ("active", &["42", "10000001"]),
];
/// How many of them every event must have; the others come after them.
const N_REQUIRED: usize = 8;
const TOKENS: [&str; 5] = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
];
const PARTS: [&str; 11] = [
    "messages",
    "output",
    "input",
    "prompt",
    "system",
    "instructions",
    "tools",
    "response_format",
    "reasoning",
    "tool_calls",
    "other",
];
/// Names that nobody knows, some of them alike, and known ones that are written oddly.
const NAMES: [&str; 18] = [
    "x",
    "y",
    "",
    "trace",
    "a long name that no field has",
    "Id",
    "\\u0069d",
    "st\\u0061tus",
    "inp\\u0075t",
    "\\ud83d",
    "x\\ud83d\\ude00",
    "input_tokens",
    "messages",
    "id ",
    "模型",
    "a\\nb",
    "model\0",
    "x\u{1f}",
];
const NUMBERS: [&str; 40] = [
    "0",
    "7",
    "12",
    "200",
    "4096",
    "65535",
    "1000000000",
    "1769862896",
    "1769862896123456",
    "9999999999999999999",
    "18446744073709551615",
    "18446744073709551616",
    "100000000000000000000000",
    "-1",
    "-0",
    "-0.0",
    "-9223372036854775808",
    "-9223372036854775809",
    "0.5",
    "12.0",
    "1.2e1",
    "1E+2",
    "1e-3",
    "1534.2",
    "0.1e1",
    "123456789.123456789123456789",
    "9007199254740993.0",
    "2.2250738585072011e-308",
    "1e308",
    "1e309",
    "-1e999",
    "0e999",
    "1e-999",
    "00",
    "01",
    "1.",
    ".5",
    "1e",
    "+1",
    "-",
];
const STRINGS: [&str; 20] = [
    "",
    "a",
    "hidden",
    "seven b",
    "eight by",
    "nine byte",
    "a text that is longer than two words",
    "käthe",
    "模型",
    "\u{7f}",
    "\\n",
    "\\\"",
    "\\\\",
    "\\u00e4",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\x",
    "\\u12g4",
    "\u{1f}",
    "\t",
];
/// What can stand anywhere by mistake.
const SIGNS: [u8; 24] = *b"\"\\{}[]:,0-+.eEtfnu \n\r\t\x00\xff";

/// Choices that were made beforehand.
pub struct Choices<'c> {
    left: &'c [u8],
    /// Whether the item that is being made may have mistakes and what is rare.
    may_slip: bool,
}

impl<'c> Choices<'c> {
    pub fn new(choices: &'c [u8]) -> Choices<'c> {
        Choices { left: choices, may_slip: false }
    }

    /// A number below a bound of at most 65,536.
    fn below(&mut self, bound: usize) -> usize {
        let mut choice = 0;
        for _ in 0..if bound > 256 { 2 } else { 1 } {
            let Some((first, rest)) = self.left.split_first() else { return 0 };
            self.left = rest;
            choice = choice << 8 | usize::from(*first);
        }
        choice % bound
    }

    /// Whether something happens that happens once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// Whether something rare happens.
    fn slips(&mut self, n: usize) -> bool {
        self.may_slip && self.once_in(n)
    }

    fn of<'t>(&mut self, things: &[&'t str]) -> &'t str {
        things[self.below(things.len())]
    }

    fn blank(&mut self) -> &'static str {
        if self.once_in(8) { self.of(&[" ", "", "  ", "\t", "\r", "\n", "\r\n  "]) } else { "" }
    }

    fn string(&mut self, into: &mut String) {
        into.push('"');
        for _ in 0..=self.below(3) {
            // The last ones make no JSON.
            let n = if self.slips(12) { STRINGS.len() } else { STRINGS.len() - 4 };
            into.push_str(self.of(&STRINGS[..n]));
        }
        into.push('"');
    }

    /// Any value, a few levels deep at most, but for one that is as deep as can be or deeper.
    fn value(&mut self, into: &mut String, levels: usize) {
        match self.below(if levels == 0 { 8 } else { 12 }) {
            0 => into.push_str("null"),
            1 => into.push_str(self.of(&["true", "false"])),
            2 | 3 => {
                let n = if self.slips(12) { NUMBERS.len() } else { NUMBERS.len() - 7 };
                into.push_str(self.of(&NUMBERS[..n]));
            }
            4..=6 => self.string(into),
            7 if self.slips(8) => {
                let n = 12 + self.below(6);
                let (open, close) = if self.once_in(2) { ("{\"a\":", "}") } else { ("[", "]") };
                let innermost = if open == "[" { "" } else { "0" };
                write!(into, "{}{innermost}{}", open.repeat(n), close.repeat(n)).expect("fits");
            }
            7 => into.push_str("{}"),
            8 | 9 => {
                self.list(into, "[", "]", |choices, into| choices.value(into, levels - 1));
            }
            _ => self.list(into, "{", "}", |choices, into| {
                choices.string(into);
                into.push_str(choices.blank());
                into.push(':');
                into.push_str(choices.blank());
                choices.value(into, levels - 1);
            }),
        }
    }

    /// A list of things between brackets.
    fn list(
        &mut self,
        into: &mut String,
        open: &str,
        close: &str,
        thing: impl Fn(&mut Self, &mut String),
    ) {
        into.push_str(open);
        for i in 0..self.below(5) {
            into.push_str(if i == 0 { "" } else { "," });
            into.push_str(self.blank());
            thing(self, into);
            into.push_str(self.blank());
        }
        into.push_str(close);
    }

    /// An object of these entries, in any order if so chosen, and with a mistake at times.
    fn object(&mut self, into: &mut String, mut entries: Vec<(&str, String)>) {
        for _ in 0..if self.once_in(4) { 1 + self.below(3) } else { 0 } {
            let mut value = String::new();
            self.value(&mut value, 3);
            entries.push((self.of(&NAMES), value));
        }
        if self.slips(60) {
            let many = 10 + self.below(60);
            entries.extend((0..many).map(|_| ("z", "0".to_owned())));
        }
        if !entries.is_empty() && self.slips(25) {
            entries.push(entries[self.below(entries.len())].clone());
        }
        if self.once_in(2) {
            for i in (1..entries.len()).rev() {
                entries.swap(i, self.below(i + 1));
            }
        }
        into.push('{');
        for (i, (name, value)) in entries.iter().enumerate() {
            into.push_str(if i == 0 { "" } else { "," });
            into.push_str(self.blank());
            // Many unknown fields have names of their own.
            let number = if *name == "z" { i.to_string() } else { String::new() };
            write!(into, "\"{name}{number}\"{}:{}", self.blank(), self.blank()).expect("fits");
            into.push_str(value);
            into.push_str(self.blank());
        }
        into.push('}');
    }

    /// A value for a field of the event.
    fn field(&mut self, name: &'static str, good: &[&str]) -> (&'static str, String) {
        let mut value = String::new();
        if self.slips(40) {
            self.value(&mut value, 3);
        } else if name == "usage" {
            let n = self.below(TOKENS.len() + 1);
            let counts = TOKENS[..n].iter().map(|name| {
                let count = self.below(3_000) >> if name.contains("put") { 0 } else { 6 };
                let odd = self.slips(30).then(|| self.of(&NUMBERS));
                (*name, odd.map_or_else(|| count.to_string(), str::to_owned))
            });
            let counts: Vec<_> = counts.collect();
            self.object(&mut value, counts);
        } else if name == "text" {
            let n = self.below(4);
            let parts = (0..n).map(|i| {
                let mut part = String::new();
                self.value(&mut part, 3);
                (PARTS[(i + self.below(PARTS.len())) % PARTS.len()], part)
            });
            let parts: Vec<_> = parts.collect();
            self.object(&mut value, parts);
        } else {
            // The first values of each are the usual ones.
            let n = if self.slips(6) { good.len() } else { good.len().min(2) };
            value.push_str(self.of(&good[..n]));
        }
        (name, value)
    }

    /// An item of a body.
    fn item(&mut self) -> String {
        let mut item = String::new();
        self.may_slip = self.once_in(2);
        if self.slips(30) {
            self.value(&mut item, 3);
            return item;
        }
        let mut entries = Vec::new();
        for (i, (name, good)) in FIELDS.into_iter().enumerate() {
            let is_given = if i < N_REQUIRED { !self.slips(80) } else { self.once_in(2) };
            if name != "kind" && is_given || self.slips(40) {
                entries.push(self.field(name, good));
            }
        }
        self.object(&mut item, entries);
        item
    }

    /// A body, whole or spoilt.
    pub fn body(&mut self) -> Vec<u8> {
        let n = [1, 3, 2, 1, 4, 0][self.below(6)];
        let items: Vec<String> = (0..n).map(|_| self.item()).collect();
        let mut body = String::new();
        body.push_str(if self.once_in(20) { "\u{feff}" } else { "" });
        body.push_str(self.blank());
        match self.below(3) {
            0 => {
                body.push('[');
                for (i, item) in items.iter().enumerate() {
                    body.push_str(if i == 0 { "" } else { "," });
                    write!(body, "{}{item}{}", self.blank(), self.blank()).expect("fits");
                }
                body.push(']');
            }
            1 => {
                for item in items {
                    // Blanks of one line, so that the items stay lines.
                    let item = if self.once_in(8) { item } else { item.replace(['\n', '\r'], " ") };
                    let end = self.of(&["\n", "\n", "\r\n", "\n\n", "", " \n \t\n"]);
                    write!(body, "{}{item}{end}", self.of(&["", "", "", " "])).expect("fits");
                }
            }
            _ if self.once_in(8) => body.push_str(&items.concat()),
            _ => body.push_str(items.first().map_or("", |item| item)),
        }
        body.push_str(self.blank());
        let mut body = body.into_bytes();
        if self.once_in(3) {
            self.spoil(&mut body);
        }
        body
    }

    /// Changes, adds, takes away or repeats bytes, or cuts the rest off.
    fn spoil(&mut self, body: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(body.len().clamp(1, 65_536));
            let sign = if self.once_in(4) { self.below(256) as u8 } else { SIGNS[self.below(24)] };
            match self.below(5) {
                _ if body.is_empty() => body.push(sign),
                0 => body[at] = sign,
                1 => body.insert(at, sign),
                2 => _ = body.remove(at),
                3 => body.truncate(at),
                _ => {
                    let end = (at + self.below(40)).min(body.len());
                    let again = body[at..end].to_vec();
                    body.splice(at..at, again);
                }
            }
        }
    }
}
