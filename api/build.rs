//! Packs the built front end (`frontend/dist`) and writes the table of its files that `page`
//! compiles into the program, so that a build of the program needs neither Node nor a network.
//!
//! What `page` could not serve as it should stops the build here, and the message names it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Content types by the ending of a name, and whether such a file is worth packing.
const TYPES: [(&str, &str, bool); 7] = [
    ("html", "text/html; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("svg", "image/svg+xml", true),
    ("txt", "text/plain; charset=utf-8", true),
    ("png", "image/png", false),
    ("woff2", "font/woff2", false),
];
/// Characters of the hash that Vite puts between a name and its ending.
const HASH_LEN: usize = 8;

fn main() {
    let own = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let front = own.with_file_name("frontend");
    let (dist, public) = (front.join("dist"), front.join("public"));
    println!("cargo::rerun-if-changed=build.rs");
    for folder in [&dist, &public] {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let index = dist.join("index.html");
    assert!(
        index.is_file(),
        "{} is missing: it is in the repository, and scripts/frontend.sh build makes it",
        index.display()
    );
    let mut table = "[\n".to_owned();
    for (idx, path) in files(&dist).iter().enumerate() {
        let name = path.strip_prefix(&dist).expect("it lies there");
        assert!(
            name.parent() == Some(Path::new("assets")) || *path == index,
            "{}: only index.html and the files of assets are served",
            path.display()
        );
        let (content_type, is_packed) = kind(path);
        // What lies in `public` is copied without a hash in its name.
        let is_hashed = has_hash(name) && !public.join(name).exists();
        let keep = if is_hashed { "Keep::Forever" } else { "Keep::Revalidate" };
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bytes = if is_packed { pack(&bytes) } else { bytes };
        write(&out.join(format!("page-{idx}")), &bytes);
        let url = name.to_str().expect("a name in UTF-8");
        let kept = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/page-{idx}\"))");
        let body = match is_packed {
            true => format!("Body::Packed({kept})"),
            false => format!("Body::Plain(bytes::Bytes::from_static({kept}))"),
        };
        let line = format!("    (\"/{url}\", {content_type:?}, {keep}, {body}),\n");
        table.push_str(&line);
    }
    table.push(']');
    write(&out.join("page.rs"), table.as_bytes());
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let paths = entries.map(|entry| entry.expect("a folder that can be read").path());
    let each = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    let mut found: Vec<PathBuf> = each.collect();
    found.sort();
    found
}

/// The content type of a file, and whether it is worth packing.
fn kind(path: &Path) -> (&'static str, bool) {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let found = TYPES.iter().find(|(known, ..)| Some(*known) == ending);
    let (_, content_type, is_packed) =
        found.unwrap_or_else(|| panic!("{}: api/build.rs has no type for it", path.display()));
    (content_type, *is_packed)
}

/// Whether Vite put a hash of the content into the name, as in `index-BkV2x_9s.js`.
fn has_hash(name: &Path) -> bool {
    let stem = name.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let Some(begin) = stem.len().checked_sub(HASH_LEN + 1) else { return false };
    let is_of_hash = |byte: &u8| byte.is_ascii_alphanumeric() || [b'-', b'_'].contains(byte);
    stem.as_bytes()[begin] == b'-' && stem.as_bytes()[begin + 1..].iter().all(is_of_hash)
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(bytes).and_then(|()| packer.finish());
    packed.expect("a Vec takes every write")
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
