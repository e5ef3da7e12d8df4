//! The host's side: scripts and what they answer.

pub mod script;

pub use script::Script;
