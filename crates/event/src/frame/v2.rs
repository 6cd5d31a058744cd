//! Version 2: each text once, and rows, consumers and models by the numbers of texts.

mod column;
mod read;
mod write;

pub(super) use read::{Scratch, read};
pub(super) use write::Writer;
