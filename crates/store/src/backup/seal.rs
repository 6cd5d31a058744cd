//! The seal of a backup: 64 bytes behind the database, with a BLAKE3 over all that comes before.
//!
//! It is written last. A file without it is no backup, and one that differs from it in a single bit
//! is not restored: the integrity check of SQLite sees a broken page, but not a number that has
//! become another one. SQLite itself does not see the seal, since the header of a database has its
//! length.

use std::path::Path;

use clock::Wall;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{Progress, Report};
use crate::error::{Result, StoreError};

/// Version of the seal.
const VERSION: u8 = 1;
const MAGIC: &[u8; 7] = b"GMBCKUP";
const SEAL_BYTES: usize = 64;
/// Bytes of the seal that its hash is over, too.
const HEAD_BYTES: usize = 32;
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// What a seal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// Bytes of the database before it.
    pub n_bytes: u64,
    /// When it was made, microseconds since the epoch.
    pub made_us: i64,
    /// Hash of the database and of what is above.
    blake3: [u8; 32],
}

impl Seal {
    fn head(n_bytes: u64, made_us: i64) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0] = VERSION;
        head[1..8].copy_from_slice(MAGIC);
        head[8..16].copy_from_slice(&n_bytes.to_le_bytes());
        head[16..24].copy_from_slice(&made_us.to_le_bytes());
        head
    }

    /// Reads the end of a file; or why it is none of a backup.
    fn parse(bytes: &[u8; SEAL_BYTES]) -> std::result::Result<Seal, String> {
        let [head, blake3] = [0, HEAD_BYTES].map(|at| {
            let mut half = [0; HEAD_BYTES];
            half.copy_from_slice(&bytes[at..at + HEAD_BYTES]);
            half
        });
        if &head[1..8] != MAGIC {
            return Err("it is no file of `gatemeter backup`, or not a whole one".to_owned());
        }
        if head[0] != VERSION {
            let found = head[0];
            return Err(format!(
                "its seal has version {found}, this program knows {VERSION}: use a newer one"
            ));
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&head[at..at + 8]);
            word
        };
        let (n_bytes, made_us) = (u64::from_le_bytes(word(8)), i64::from_le_bytes(word(16)));
        Ok(Seal { n_bytes, made_us, blake3 })
    }
}

/// Seals a finished database; the bytes of the whole file.
pub(super) async fn put(path: &Path, now: Wall, report: &Report<'_>) -> Result<u64> {
    let sealed = async {
        let mut file = OpenOptions::new().read(true).append(true).open(path).await?;
        let n_bytes = file.metadata().await?.len();
        let head = Seal::head(n_bytes, now.as_us());
        let hash = hash(&mut file, None, n_bytes, &head, report).await?;
        file.write_all(&head).await?;
        file.write_all(&hash).await?;
        file.flush().await?;
        Ok(n_bytes + SEAL_BYTES as u64)
    };
    sealed.await.map_err(StoreError::file("seal", path))
}

/// Checks the seal of a file, and every byte of it.
///
/// # Errors
/// `Backup` if it does not hold.
pub(super) async fn check(path: &Path, report: &Report<'_>) -> Result<Seal> {
    walk(path, None, report).await
}

/// Copies the database of a backup into an empty file, and checks every byte on the way.
///
/// # Errors
/// As [`check`].
pub(super) async fn copy(path: &Path, target: &Path, report: &Report<'_>) -> Result<()> {
    let target = OpenOptions::new().write(true).open(target).await;
    let mut target = target.map_err(StoreError::file("copy", path))?;
    walk(path, Some(&mut target), report).await.map(|_| ())
}

async fn walk(path: &Path, copy: Option<&mut File>, report: &Report<'_>) -> Result<Seal> {
    let refused = |reason: String| StoreError::Backup { path: path.to_path_buf(), reason };
    let walked = async {
        let mut file = File::open(path).await?;
        let n_bytes = file.metadata().await?.len().checked_sub(SEAL_BYTES as u64);
        let mut end = [0; SEAL_BYTES];
        if let Some(n_bytes) = n_bytes {
            file.seek(std::io::SeekFrom::Start(n_bytes)).await?;
            file.read_exact(&mut end).await?;
        }
        let seal = match Seal::parse(&end) {
            Ok(seal) => seal,
            Err(reason) => return Ok(Err(reason)),
        };
        if Some(seal.n_bytes) != n_bytes {
            return Ok(Err("it is not as long as its seal says".to_owned()));
        }
        let head = Seal::head(seal.n_bytes, seal.made_us);
        if hash(&mut file, copy, seal.n_bytes, &head, report).await? != seal.blake3 {
            return Ok(Err("it is damaged: its bytes are not those that were sealed".to_owned()));
        }
        Ok(Ok(seal))
    };
    walked.await.map_err(StoreError::file("read", path))?.map_err(refused)
}

/// The hash of the first bytes of a file and of the head of its seal; copies the bytes.
async fn hash(
    file: &mut File,
    mut copy: Option<&mut File>,
    n_bytes: u64,
    head: &[u8; HEAD_BYTES],
    report: &Report<'_>,
) -> std::io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    file.seek(std::io::SeekFrom::Start(0)).await?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    while done < n_bytes {
        let wanted = usize::try_from(n_bytes - done).unwrap_or(usize::MAX).min(PIECE_BYTES);
        file.read_exact(&mut piece[..wanted]).await?;
        hasher.update(&piece[..wanted]);
        if let Some(copy) = &mut copy {
            copy.write_all(&piece[..wanted]).await?;
        }
        done += wanted as u64;
        report(Progress::Bytes { done, of: n_bytes });
    }
    if let Some(copy) = copy {
        copy.flush().await?;
    }
    hasher.update(head);
    Ok(hasher.finalize().into())
}
