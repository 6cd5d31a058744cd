//! Lines of a file, of a gzip file or of stdin, with a bound on each.
//!
//! A name goes in, lines without their end come out one at a time, so that a file of any size is
//! read with the memory of one line. Nothing here knows what a line means.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;

/// Longest line in bytes: an event with its text may take as much, a file without line ends must
/// not fill the memory.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// One file, read line by line.
pub struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    n_lines: u64,
}

impl Lines {
    /// Opens a file; `-` is stdin, a name that ends in `.gz` is unpacked on the way.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Lines> {
        let reader: Box<dyn BufRead + Send> = if is_stdin(path) {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            let file = File::open(path)
                .with_context(|| format!("cannot open the source {}", path.display()))?;
            if path.extension().is_some_and(|extension| extension == "gz") {
                Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
            } else {
                Box::new(BufReader::new(file))
            }
        };
        Ok(Lines { path: path.to_path_buf(), reader, line: Vec::new(), n_lines: 0 })
    }

    /// The next line that is not empty, without line end and byte order mark.
    ///
    /// # Errors
    /// The file cannot be read, the line is too long or not UTF-8.
    pub fn next(&mut self) -> anyhow::Result<Option<&str>> {
        loop {
            self.line.clear();
            let bound = LINE_BYTES_MAX as u64 + 2;
            let read = (&mut self.reader).take(bound).read_until(b'\n', &mut self.line);
            let n_bytes = read.with_context(|| format!("cannot read {}", self.path.display()))?;
            if n_bytes == 0 {
                return Ok(None);
            }
            self.n_lines += 1;
            if n_bytes > LINE_BYTES_MAX {
                bail!("{}: the line is longer than {LINE_BYTES_MAX} bytes", self.place());
            }
            if self.line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                break;
            }
        }
        let text = std::str::from_utf8(&self.line)
            .with_context(|| format!("{}: not UTF-8", self.place()))?;
        Ok(Some(text.trim_start_matches('\u{feff}').trim()))
    }

    /// File and line number of the line read last, for messages.
    pub fn place(&self) -> String {
        format!("{} line {}", self.path.display(), self.n_lines)
    }
}

/// Whether a source name means stdin.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
