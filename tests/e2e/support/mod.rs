//! What the end-to-end tests stand on: real sshds, real accounts, a real PM2, a proxy that fails on demand,
//! and eyes of their own. Nothing here uses shipit's code.

pub(crate) mod account;
pub(crate) mod alike;
pub(crate) mod apps;
pub(crate) mod area;
pub(crate) mod asks;
pub(crate) mod bench;
pub(crate) mod browser;
pub(crate) mod config;
pub(crate) mod example;
pub(crate) mod front;
pub(crate) mod pm2;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod shipit;
pub(crate) mod site;
pub(crate) mod sshd;
pub(crate) mod svg;
pub(crate) mod terminal;
pub(crate) mod tree;

pub(crate) use apps::{App, Bad};
pub(crate) use bench::{APP, Bench, Make, STAGE};
pub(crate) use site::Live;
