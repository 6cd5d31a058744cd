//! The recount against the real counting code, and against faults that are planted.

mod asked;
mod by_hand;
mod frames;
mod made;
mod malformed;
mod planted;
mod proof;
mod text;
mod views;
