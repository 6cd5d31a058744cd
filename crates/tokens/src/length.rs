//! Tokens estimated from length alone, for text beyond the limits of counting.
//!
//! Texts and raw JSON go in. Images and files in base64 inside JSON are skipped: counted as text
//! they would be hundreds of thousands of tokens that are never billed.

/// ASCII characters per token on average in English, as OpenAI's help pages have it.
const ASCII_PER_TOKEN: u64 = 4;
/// Fields that hold bytes as base64 in the requests of OpenAI, Anthropic, Gemini and Ollama.
const BASE64_FIELDS: [&str; 5] = ["data", "b64_json", "file_data", "bytes", "images"];
/// Shortest string that is taken for base64 by the name of its field and its letters, bytes.
const BASE64_BYTES_MIN: usize = 64;

/// Tokens of a text, estimated from its length: one per 4 ASCII characters, rounded up, and one per
/// other character.
#[must_use]
pub fn by_length(text: &str) -> u64 {
    let n_ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let n_other = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    n_ascii.div_ceil(ASCII_PER_TOKEN) + n_other
}

/// The same for JSON as written, without base64 data. The names of fields and the signs of JSON
/// count as text: too many tokens, rather than too few.
#[must_use]
pub fn by_length_of_json(json: &str) -> u64 {
    let (mut n_tokens, mut n_ascii, mut from) = (0, 0, 0);
    let mut add = |text: &str| {
        let n = text.bytes().filter(u8::is_ascii).count() as u64;
        n_ascii += n;
        n_tokens += text.chars().count() as u64 - n;
    };
    let mut field = "";
    while let Some((begin, end)) = next_string(json, from) {
        add(&json[from..begin]);
        let text = &json[begin + 1..end - 1];
        if json[end..].trim_ascii_start().starts_with(':') {
            field = text;
            add(text);
        } else if !is_base64(field, text) {
            add(&json[begin..end]);
        }
        from = end;
    }
    add(&json[from..]);
    n_ascii.div_ceil(ASCII_PER_TOKEN) + n_tokens
}

/// Where the next string begins and ends, its quotes included.
fn next_string(json: &str, from: usize) -> Option<(usize, usize)> {
    let begin = from + json[from..].find('"')?;
    let mut at = begin + 1;
    let bytes = json.as_bytes();
    loop {
        match bytes.get(at)? {
            b'"' => return Some((begin, at + 1)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether a text is a file as a data URL.
pub(crate) fn is_data_url(text: &str) -> bool {
    // Its beginning is short: a type and its parameters.
    let head = &text[..text.floor_char_boundary(128)];
    text.starts_with("data:") && head.contains(";base64,")
}

fn is_base64(field: &str, text: &str) -> bool {
    if is_data_url(text) {
        return true;
    }
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_\\".contains(byte);
    BASE64_FIELDS.contains(&field)
        && text.len() >= BASE64_BYTES_MIN
        && text.as_bytes().iter().all(is_letter)
}

#[cfg(test)]
mod tests;
