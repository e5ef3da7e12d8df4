//! What is compared: ways to run an app, each as the config that a user would write. Data; `play.rs` plays it.

use crate::kinds::Way;
use crate::support::config::Config;
use crate::support::front::Kind;

/// A way to run the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Pm2,
    Pm2Stock,
    Pm2Fork,
    Nginx,
    Caddy,
    Command,
    /// No way to run an app: the proxies alone are reloaded, and nothing is deployed.
    Reloads,
}

impl Row {
    pub(crate) const ALL: [Row; 7] =
        [Row::Pm2, Row::Pm2Stock, Row::Pm2Fork, Row::Nginx, Row::Caddy, Row::Command, Row::Reloads];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Row::Pm2 => "PM2 cluster with drain",
            Row::Pm2Stock => "PM2 cluster, `drain = false`",
            Row::Pm2Fork => "PM2 fork",
            Row::Nginx => "PM2, blue-green with nginx",
            Row::Caddy => "PM2, blue-green with Caddy",
            Row::Command => "`command`: stopped and started",
            Row::Reloads => "nginx and Caddy reloaded, nothing deployed",
        }
    }

    /// Whether no request may be lost.
    pub(crate) fn is_gapless(self) -> bool {
        matches!(self, Row::Pm2 | Row::Nginx | Row::Caddy)
    }

    /// The ways to it. Behind a proxy that switches there is no other.
    pub(crate) fn ways(self) -> &'static [Way] {
        match self {
            Row::Nginx => &[Way::Nginx, Way::NginxKept],
            Row::Caddy => &[Way::Caddy],
            Row::Reloads => &[Way::Nginx, Way::NginxKept, Way::Caddy],
            _ => &[Way::Direct, Way::Nginx, Way::NginxKept, Way::Caddy],
        }
    }

    /// Workers of PM2; none without it.
    pub(crate) fn workers(self) -> Option<i64> {
        match self {
            Row::Command => None,
            Row::Pm2Fork => Some(1),
            _ => Some(2),
        }
    }

    /// Makes `config`, which knows where the app is to be, one of this row.
    pub(crate) fn configure(self, config: &mut Config, port: u16) {
        config.set("health.soak", "3s").set("health.within", "10s").set("health.timeout", "2s");
        config.set("rollout.silence", "15s");
        if self == Row::Command {
            let stop = "[ ! -f ../../shared/pid ] || kill $(cat ../../shared/pid) 2>/dev/null || :";
            let start = "setsid node server.js >/dev/null 2>&1 </dev/null & echo $! >../../shared/pid";
            let run = format!("{stop}; {start}");
            config
                .set("service.command.start", run.clone())
                .set("service.command.revert", run)
                .set("service.command.stop", stop)
                .set("service.command.status", "kill -0 $(cat ../../shared/pid)")
                .set("service.command.port", i64::from(port))
                .set("health.path", "/health")
                .set("health.interval", "200ms");
            return;
        }
        config.unset("service.pm2.kill_timeout").unset("service.pm2.listen_timeout");
        match self {
            Row::Pm2 => config.set("service.pm2.drain", true),
            // As PM2 itself has it.
            Row::Pm2Stock => config
                .set("service.pm2.drain", false)
                .set("service.pm2.kill_timeout", "1600ms")
                .set("service.pm2.listen_timeout", "3s"),
            Row::Pm2Fork => config.set("service.pm2.mode", "fork"),
            _ => config,
        };
    }

    /// The proxy that switches.
    pub(crate) fn proxy(self) -> Option<Kind> {
        match self {
            Row::Nginx => Some(Kind::Nginx),
            Row::Caddy => Some(Kind::Caddy),
            _ => None,
        }
    }
}
