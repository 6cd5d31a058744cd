//! The recount against the real counting code, and against faults that are planted.

mod made;
mod planted;
mod proof;
mod text;
mod views;
