//! `deploy.toml`: what the user wants.

mod assets;
mod check;
mod command;
mod exposed;
mod hooks;
mod hostile;
mod kept;
mod keys;
mod load;
mod pm2;
mod proxy;
mod reader;
pub mod schema;
mod sections;
mod shown;
mod stages;
mod tests;
mod tree;
mod values;

pub use load::{FILE, find};
pub use proxy::{Proxy, ProxyKind, Retire};
pub use schema::*;
pub use values::duration;
