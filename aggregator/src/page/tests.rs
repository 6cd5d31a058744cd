//! Unit tests of `page`.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

use super::*;

#[test]
fn sections_are_one_member_that_a_reader_of_one_member_reads_whole() {
    let texts = ["# HELP a b\na 1\n".repeat(5_000), String::new(), "c 2\n".to_owned()];
    for n in 0..=texts.len() {
        let pieces: Vec<Arc<Piece>> =
            texts[..n].iter().map(|text| Arc::new(Piece::of(text.as_bytes()))).collect();
        let member = gzip(&pieces);
        let mut text = String::new();
        let mut decoder = GzDecoder::new(&member[..]);
        decoder.read_to_string(&mut text).expect("its checksum is right");
        assert_eq!(text, texts[..n].concat());
        assert!(decoder.into_inner().is_empty(), "nothing is behind it");
    }
}
