//! A project looked at, and what its first `deploy.toml` says: framework, package manager, workspace, an existing PM2
//! file. Reads the project and may run the local `node` on its PM2 file; writes, prints and asks nothing. What it
//! finds is a proposal: whatever `deploy.toml` then says is what counts.

mod astro;
mod ecosystem;
mod files;
mod manager;
mod next;
mod node;
mod shape;
mod site;
mod template;
mod tests;
mod workspace;
mod write;

pub use ecosystem::Ecosystem;
pub use manager::{Manager, Tool};
pub use shape::{Project, Route, Runs, Shape, apps, look, top};
pub use template::{Beside, beside};
pub use write::{Answers, Stage, deploy_toml};
