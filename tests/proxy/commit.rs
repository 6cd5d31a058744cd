//! Finds COMMIT in what a MySQL client sends.
//!
//! The stream is a row of packets: three bytes of length, least first, one of sequence number, the
//! payload; a command begins at number 0. COM_QUERY is the byte 3 and the text, behind two bytes
//! of counts if the client sends query attributes. Bytes come in pieces of any size; only the
//! head of the packet at hand is kept, so the scanner needs no memory for what it passes over.
//! Source: MySQL Internals, "MySQL Packets" and "COM_QUERY".

const COM_QUERY: u8 = 3;
/// No attributes, one set of them: what stands before the text with CLIENT_QUERY_ATTRIBUTES.
const NO_ATTRIBUTES: &[u8] = &[0, 1];
/// Longest payload that is looked at: COMMIT with blanks, a semicolon and attributes is shorter.
const PAYLOAD_BYTES_MAX: usize = 64;
const HEAD_BYTES: usize = 4;

/// How far the packet at hand has come.
#[derive(Clone, Debug, Default)]
pub struct CommitScanner {
    head: Vec<u8>,
    payload: Vec<u8>,
    n_payload_left: usize,
}

impl CommitScanner {
    /// Takes the next bytes of the stream and says how many COMMITs end in them.
    pub fn push(&mut self, mut bytes: &[u8]) -> usize {
        let mut n_commits = 0;
        while !bytes.is_empty() {
            if self.head.len() < HEAD_BYTES {
                let n = bytes.len().min(HEAD_BYTES - self.head.len());
                self.head.extend_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                if self.head.len() < HEAD_BYTES {
                    break;
                }
                self.n_payload_left = usize::from(self.head[0])
                    | usize::from(self.head[1]) << 8
                    | usize::from(self.head[2]) << 16;
            }
            let n = bytes.len().min(self.n_payload_left);
            let n_kept = n.min(PAYLOAD_BYTES_MAX + 1 - self.payload.len());
            self.payload.extend_from_slice(&bytes[..n_kept]);
            self.n_payload_left -= n;
            bytes = &bytes[n..];
            if self.n_payload_left == 0 {
                n_commits += usize::from(self.is_commit());
                self.head.clear();
                self.payload.clear();
            }
        }
        n_commits
    }

    fn is_commit(&self) -> bool {
        if self.head[3] != 0 || self.payload.len() > PAYLOAD_BYTES_MAX {
            return false;
        }
        let Some((&COM_QUERY, rest)) = self.payload.split_first() else { return false };
        let text = rest.strip_prefix(NO_ATTRIBUTES).unwrap_or(rest).trim_ascii();
        let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii();
        text.eq_ignore_ascii_case(b"COMMIT") || text.eq_ignore_ascii_case(b"COMMIT WORK")
    }
}

/// A packet with this number and payload, for tests that speak the protocol by hand.
pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_le_bytes();
    assert_eq!(length[3], 0, "a payload has three bytes of length");
    [&length[..3], &[sequence], payload].concat()
}

/// A COM_QUERY packet.
pub fn query(text: &str) -> Vec<u8> {
    packet(0, &[&[COM_QUERY], text.as_bytes()].concat())
}

#[cfg(test)]
mod tests;
