//! A `deploy.toml` as a table that tests change key by key, so that each test shows only what it is about.

use std::path::Path;

use toml::{Table, Value};

/// The config of a test's project.
#[derive(Clone, Debug)]
pub(crate) struct Config(Table);

impl Config {
    /// Files only.
    pub(crate) fn files() -> Config {
        let mut config = Config(Table::new());
        config.set("app", "tiny").set("build.preset", "files").set("build.output", "dist");
        config
    }

    /// The tiny server of `apps` under PM2, with the shortest waits that still prove something; but a good worker has time
    /// on a busy machine, where PM2's primary may not hand it a connection for seconds.
    pub(crate) fn pm2(port: u16, instances: i64) -> Config {
        let mut config = Config::files();
        config
            .set("service.pm2.script", "server.js")
            .set("service.pm2.port", i64::from(port))
            .set("service.pm2.instances", instances)
            .set("service.pm2.kill_timeout", "2s")
            .set("service.pm2.listen_timeout", "4s")
            .set("health.path", "/health")
            .set("health.timeout", "2s")
            .set("health.interval", "200ms")
            .set("health.within", "12s")
            .set("health.soak", "1s")
            .set("rollout.silence", "6s");
        config
    }

    /// Sets one value by its dotted key.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Config {
        let (parents, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = &mut self.0;
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            let entry = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().unwrap_or_else(|| panic!("{parent} of {key} is no table"));
        }
        table.insert(name.to_owned(), value.into());
        self
    }

    /// Takes one key out again.
    pub(crate) fn unset(&mut self, key: &str) -> &mut Config {
        let (parents, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = Some(&mut self.0);
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            table = table.and_then(|table| table.get_mut(parent)?.as_table_mut());
        }
        if let Some(table) = table {
            table.remove(name);
        }
        self
    }

    /// Writes it.
    pub(crate) fn write(&self, file: &Path) {
        let text = toml::to_string(&self.0).expect("tables of strings and numbers");
        std::fs::write(file, text).expect("the project is writable");
    }
}
