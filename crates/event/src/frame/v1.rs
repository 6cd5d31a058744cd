//! Version 1: each distinct tuple of labels once, with all of its texts.

mod column;
mod read;
mod write;

pub(super) use read::{Tuple, read};
pub(super) use write::Writer;
