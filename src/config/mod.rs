//! `deploy.toml`: what the user wants.

pub mod schema;

pub use schema::*;
