//! How long a host may take for one run's switch and for its way back. Pure: from the release that comes, the one that
//! is live, and the host's cores; deploy.toml has no say in what its records know better.

use std::time::Duration;

use super::release::Release;
use crate::proxy;
use crate::remote::Facts;
use crate::service;

/// The bounds of one run on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The switch with its proofs.
    pub(super) activate: Duration,
    /// The way back: of whichever takes longer, what comes (its workers are ended) or what was live (they start again).
    pub(super) revert: Duration,
    /// The workers that these reckon with.
    pub(super) workers: u32,
}

impl Limits {
    /// For a switch to `release` on the host that told `facts`.
    pub(super) fn of(release: &Release, facts: &Facts) -> Limits {
        let cores = facts.number("cores").and_then(|cores| u32::try_from(cores).ok()).unwrap_or(0);
        let live = facts.current().and_then(|id| facts.records.get(&id.parse().ok()?));
        let back = live.map(|live| service::revert_limit(&live.service, &live.health, cores)).unwrap_or_default();
        // A colour that is idle may have to end first.
        let proxy = release.proxy.as_ref().map(proxy::back_limit).unwrap_or_default();
        Limits {
            activate: service::activate_limit(&release.service, &release.health, cores) + proxy,
            revert: service::revert_limit(&release.service, &release.health, cores).max(back) + proxy,
            workers: service::reckoned(&release.service, cores),
        }
    }

    /// As the host's scripts read them: seconds for the switch, seconds for the way back, workers.
    pub(super) fn line(&self) -> String {
        let seconds = |limit: Duration| limit.as_millis().div_ceil(1000).max(1);
        format!("{} {} {}", seconds(self.activate), seconds(self.revert), self.workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::remote::{Record, Reply};

    fn config(more: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.toml");
        let text = format!(
            "app = \"it\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n[stages.x]\nhosts = [\"local\"]\npath = \"/srv\"\n\
             [service.pm2]\nport = 3000\nkill_timeout = \"1s\"\nlisten_timeout = \"1s\"\n{more}"
        );
        std::fs::write(&file, text).unwrap();
        Config::load(&file, None, &|_| None).unwrap()
    }

    fn release(config: &Config) -> Release {
        Release {
            id: "20260321-140000-k3f9".parse().unwrap(),
            app_dir: String::new(),
            service: config.service.clone(),
            health: config.health.clone(),
            shared: config.shared.clone(),
            mutable: vec![],
            assets: Default::default(),
            settings: String::new(),
            proxy: config.proxy.clone(),
        }
    }

    /// A host that runs what `config` describes.
    fn facts(config: &Config, cores: u32) -> Facts {
        let live = "20260321-130000-k3f8";
        let record = serde_json::json!({
            "id": live, "at": "2026-03-21T13:00:00Z", "who": "me@here", "artifact": "00", "files": 1, "bytes": 1,
            "app_dir": "", "shared": config.shared, "service": config.service, "health": config.health,
        });
        let mut facts = Facts::default();
        facts.take(Reply::Record(Record::parse(&record.to_string()).unwrap().render().replace('\n', "")));
        facts.take(Reply::Fact("current".into(), live.into()));
        facts.take(Reply::Fact("cores".into(), cores.to_string()));
        assert_eq!(facts.records.len(), 1);
        facts
    }

    const QUICK: &str = "script = \"a.js\"\n[health]\nwithin = \"5s\"\n";
    const SLOW: &str = "script = \"a.js\"\ninstances = 4\n[health]\nwithin = \"90s\"\n";

    #[test]
    fn the_switch_takes_what_comes_and_the_way_back_whichever_is_longer() {
        let (quick, slow) = (config(QUICK), config(SLOW));
        let same = Limits::of(&release(&quick), &facts(&quick, 2));
        let forth = Limits::of(&release(&quick), &facts(&slow, 2));
        let to_slow = Limits::of(&release(&slow), &facts(&quick, 2));
        assert_eq!(forth.activate, same.activate);
        assert!(forth.revert > same.revert * 3, "{forth:?} {same:?}");
        assert!(to_slow.activate > same.activate * 3, "{to_slow:?}");
        assert_eq!(to_slow.revert, forth.revert);
        assert_eq!(Limits::of(&release(&quick), &Facts::default()), same, "nothing is live");
    }

    #[test]
    fn a_number_that_is_the_hosts_is_reckoned_by_its_cores() {
        let workers = |more: &str, cores| {
            let config = config(more);
            Limits::of(&release(&config), &facts(&config, cores)).workers
        };
        assert_eq!(workers("script = \"a.js\"\ninstances = \"max\"\n", 64), 64);
        assert_eq!(workers("script = \"a.js\"\ninstances = 3\n", 64), 3);
        assert_eq!(workers("ecosystem = \"e.cjs\"\n", 2), 16);
        let limits = Limits { activate: Duration::from_millis(1500), revert: Duration::from_secs(3), workers: 4 };
        assert_eq!(limits.line(), "2 3 4");
    }
}
