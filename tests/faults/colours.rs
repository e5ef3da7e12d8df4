//! Blue-green in a case: nginx before two colours, and what may be true of them: by the processes, the links, the text that
//! nginx reads and what it answers. Nothing here uses shipit's code.

use std::fs;
use std::time::Duration;

use crate::bench::Bench;
use crate::spot::Spot;
use crate::support::asks::{self, Load};
use crate::support::config::Config;
use crate::support::front::Front;
use crate::support::process::{self, eventually};

/// What the links and PM2's apps are called.
const COLOURS: [&str; 2] = ["blue", "green"];

/// Two shares, and the proxy's lines, each with a place of its own before it.
pub(crate) fn configure(config: &mut Config, front: &Front, spot: &Spot) {
    front.table(config);
    let (test, reload) = front.lines();
    let stopped = |name: &str, line: &str| {
        let place = spot.line(name);
        format!("if [ -e {place} ]; then {place} || exit; fi; {line}")
    };
    config
        .set("proxy.nginx.test", stopped("test", &test))
        .set("proxy.nginx.reload", stopped("reload", &reload))
        .set("proxy.nginx.shift", vec![50, 100])
        .set("proxy.nginx.pause", "1s")
        .set("proxy.nginx.drain", "1s");
}

/// Where a colour's port stands in a home, and what stands there in a copy of it.
pub(crate) fn port_names(from: u16, to: u16) -> impl Iterator<Item = (String, String)> {
    let around =
        [("'", "'"), ("\"", "\""), (":", ","), (":", "}"), (":", " "), (":", ";"), ("[", ","), (",", "]"), ("=", "\n")];
    around.into_iter().map(move |(a, z)| (format!("{a}{from}{z}"), format!("{a}{to}{z}")))
}

/// The release that answers on this port, and its process.
fn answers(port: u16) -> Result<(String, u32), String> {
    let text = asks::ask(port)?;
    let told = || {
        let body: serde_json::Value = serde_json::from_str(text.lines().find(|line| line.starts_with('{'))?).ok()?;
        let release = body["cwd"].as_str()?.rsplit('/').next()?.to_owned();
        Some((release, u32::try_from(body["pid"].as_u64()?).ok()?))
    };
    told().ok_or_else(|| format!("{port} answers {text}"))
}

impl Bench {
    /// Its owner leads the requests to the colours, once there are any.
    pub(crate) fn lead(&self) {
        let Some(front) = &self.front else { return };
        if self.led.get() || self.site.current().is_none() {
            return;
        }
        front.lead(&self.site.dir);
        self.led.set(true);
        eventually("nginx leads there", Duration::from_secs(60), || answers(front.port).map(|_| ()));
    }

    /// Waits for what was resurrected: each colour that has a link, for that is what ran where it was made.
    pub(crate) fn begin_colours(&self) {
        let linked = COLOURS.iter().filter(|colour| self.colour_link(colour).is_some()).count();
        eventually("the colours run", Duration::from_secs(60), || match self.servers() {
            servers if servers.len() == linked => Ok(()),
            servers => Err(format!("{servers:?} instead of {linked}")),
        });
        self.lead();
    }

    /// Somebody who asks all the while, where there is anything to lose.
    pub(crate) fn load(&self) -> Option<Load> {
        let front = self.front.as_ref().filter(|_| self.led.get())?;
        Some(Load::with_pauses(front.port, Duration::from_millis(20)))
    }

    /// The live colour's release and process; nothing else runs, is linked or is led to.
    pub(crate) fn colour_serves(&self, front: &Front) -> Result<(String, u32), String> {
        let [pid] = self.servers()[..] else { return Err(format!("servers: {:?}", self.servers())) };
        let weights = self.weights(front);
        let live = match weights[..] {
            [Some(100), None] => 0,
            [None, Some(100)] => 1,
            _ => return Err(format!("the weights are {weights:?}")),
        };
        let links = COLOURS.map(|colour| self.colour_link(colour));
        let cwd = process::cwd(pid).ok_or("the server is gone")?;
        let release = cwd.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        if links[live].as_deref() != Some(&*format!("../releases/{release}")) || links[1 - live].is_some() {
            return Err(format!("{} is led to and {release} runs, with the links {links:?}", COLOURS[live]));
        }
        let ports = if self.led.get() { vec![front.colours[live], front.port] } else { vec![front.colours[live]] };
        for port in ports {
            let told = answers(port)?;
            if told != (release.clone(), pid) {
                return Err(format!("{port} answers as {told:?}, where process {pid} runs {release}"));
            }
        }
        Ok((release, pid))
    }

    /// Whether no colour is left of a release that was never live.
    pub(crate) fn colourless(&self) -> Result<(), String> {
        let Some(front) = &self.front else { return Ok(()) };
        let links = COLOURS.map(|colour| self.colour_link(colour));
        let weights = self.weights(front);
        match (&links, &weights[..]) {
            ([None, None], [None, None]) => Ok(()),
            _ => Err(format!("nothing is live, and the links are {links:?}, the weights {weights:?}")),
        }
    }

    /// Whether nginx answers as this release.
    pub(crate) fn leads_to(&self, release: Option<&str>) -> bool {
        let front = self.front.as_ref().filter(|_| self.led.get());
        front.is_some_and(|front| answers(front.port).is_ok_and(|(told, _)| Some(&*told) == release))
    }

    /// After a reboot PM2 brings back the live colour and nothing else.
    pub(crate) fn saved(&self) -> Result<(), String> {
        let Some(front) = &self.front else { return Ok(()) };
        let text = fs::read_to_string(self.dir.join("pm2/dump.pm2")).unwrap_or_default();
        let apps: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
        let saved: Vec<&str> = apps.iter().filter_map(|app| app["name"].as_str()).collect();
        let weights = self.weights(front);
        let live = if weights[0].is_some() { "tiny-blue" } else { "tiny-green" };
        if saved == [live] { Ok(()) } else { Err(format!("PM2 has saved {saved:?}, where {live} is live")) }
    }

    /// What nginx is told to give each colour; none: it is down, or nothing was ever told.
    fn weights(&self, front: &Front) -> Vec<Option<u32>> {
        let text = fs::read_to_string(self.site.dir.join(".shipit/proxy/upstream.conf")).unwrap_or_default();
        let weight = |port: u16| {
            let line = text.lines().find(|line| line.contains(&format!("127.0.0.1:{port} ")))?;
            line.split("weight=").nth(1)?.trim_end_matches(';').parse().ok()
        };
        front.colours.map(weight).to_vec()
    }

    fn colour_link(&self, colour: &str) -> Option<String> {
        let link = fs::read_link(self.site.dir.join("colours").join(colour)).ok()?;
        Some(link.display().to_string())
    }
}
