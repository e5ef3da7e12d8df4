//! `[proxy.nginx]` and `[proxy.caddy]`: two ports for two colours, and how the proxy in front of them is told which one
//! gets the requests: read and judged.

use std::time::Duration;

use super::reader::Section;
use super::schema::{Config, Service};
use super::values::Wrong;

/// What stands in front of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Which one.
    pub kind: ProxyKind,
    /// `ports`: where the blue and the green colour listen, on loopback.
    pub ports: [u16; 2],
    /// `upstream`: what the proxy's own config calls the app: an upstream block of nginx, a snippet of Caddy.
    pub upstream: String,
    /// `test`: the line that says whether the proxy would take its config; where it prints that, it is looked at, too.
    pub test: String,
    /// `reload`: the line that makes it take it.
    pub reload: String,
    /// `shift`: the share of requests that the new colour gets, in percent, step by step; the last is 100.
    pub shift: Vec<u8>,
    /// `pause`: how long each share but the last is watched.
    pub pause: Duration,
    /// `drain`: how long the old colour may go on with what it has begun, once nothing new reaches it.
    pub drain: Duration,
    /// `retire`
    pub retire: Retire,
}

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
}

/// When the old colour ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retire {
    /// Once the new one is committed.
    Commit,
    /// When the next release needs its place: until then a rollback is a change of weights.
    Next,
}

impl ProxyKind {
    /// The table's name, and the word for plans.
    pub fn word(self) -> &'static str {
        match self {
            ProxyKind::Nginx => "nginx",
            ProxyKind::Caddy => "caddy",
        }
    }

    /// The lines that Debian's packages work with: both print what the proxy would run with.
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            ProxyKind::Nginx => ("sudo -n nginx -T", "sudo -n nginx -s reload"),
            ProxyKind::Caddy => {
                ("caddy adapt --validate --config /etc/caddy/Caddyfile", "caddy reload --config /etc/caddy/Caddyfile")
            }
        }
    }
}

/// `[proxy.*]`: at most one kind.
pub(super) fn read(section: &Section<'_>, app: &str) -> Option<Proxy> {
    let kinds = section.names();
    if let [first, second, ..] = kinds[..] {
        section.wrong(second, format!("is a second proxy beside `{first}`"), "keep one; a stage may have another");
    }
    let kind = match kinds.first().copied()? {
        "nginx" => ProxyKind::Nginx,
        "caddy" => ProxyKind::Caddy,
        // An unknown key was told already.
        _ => return None,
    };
    Some(table(&section.section(kind.word()), kind, app))
}

fn table(section: &Section<'_>, kind: ProxyKind, app: &str) -> Proxy {
    let (test, reload) = kind.lines();
    let line = |name: &str, default: &str| {
        let text = section.literal(name).unwrap_or_else(|| default.to_owned());
        if text.trim().is_empty() {
            section.wrong(name, "must not be empty", "");
        }
        text
    };
    Proxy {
        kind,
        ports: ports(section),
        upstream: section.parsed("upstream", upstream).unwrap_or_else(|| app.replace('.', "_")),
        test: line("test", test),
        reload: line("reload", reload),
        shift: shift(section),
        pause: section.duration("pause", "10s", "0s"..="1h"),
        drain: section.duration("drain", "10s", "0s"..="10m"),
        retire: section
            .choice("retire", &[("commit", Retire::Commit), ("next", Retire::Next)])
            .unwrap_or(Retire::Commit),
    }
}

fn ports(section: &Section<'_>) -> [u16; 2] {
    let ports: Vec<u16> = section.numbers("ports", 1..=65535);
    match ports[..] {
        [blue, green] if blue != green => [blue, green],
        [] if !section.has("ports") => {
            section.missing("ports", "two free ones, one a colour: ports = [3001, 3002]");
            [0, 0]
        }
        _ => {
            section.wrong("ports", "must be two different ports, one a colour", "e.g. ports = [3001, 3002]");
            [0, 0]
        }
    }
}

/// nginx and Caddy both take such a name without quotes.
fn upstream(text: &str) -> Result<String, Wrong> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if text.is_empty() || text.starts_with('-') || !text.bytes().all(plain) {
        return Err(("must be a plain name".into(), "letters, digits, _ and -".into()));
    }
    Ok(text.to_owned())
}

fn shift(section: &Section<'_>) -> Vec<u8> {
    if !section.has("shift") {
        return vec![100];
    }
    let shares: Vec<u8> = section.numbers("shift", 1..=100);
    if shares.last() != Some(&100) {
        section.wrong("shift", "must end with 100", "e.g. shift = [10, 50, 100]");
    } else if !shares.is_sorted_by(|a, b| a < b) {
        section.wrong("shift", "must rise from share to share", "e.g. shift = [10, 50, 100]");
    }
    shares
}

/// What blue-green needs of the service.
pub(super) fn check(root: &Section<'_>, config: &Config) {
    let Some(proxy) = &config.proxy else { return };
    let proxies = root.section("proxy");
    let (name, section) = (proxy.kind.word(), proxies.section(proxy.kind.word()));
    match &config.service {
        Service::Pm2(pm2) if pm2.ecosystem.is_some() => {
            let hint = "write its settings into [service.pm2]: shipit starts one app for each colour";
            proxies.wrong(name, "needs an app that shipit starts itself, and `ecosystem` is given", hint);
        }
        Service::Pm2(_) => {
            let service = root.section("service").section("pm2");
            if service.has("port") {
                service.wrong(
                    "port",
                    "is not used with a proxy: each colour has its own",
                    "remove it; see proxy.ports",
                );
            }
        }
        Service::None | Service::Command(_) => {
            proxies.wrong(
                name,
                "needs a service that can run twice at once",
                "that is [service.pm2]; without one, remove it",
            );
        }
    }
    if section.has("pause") && proxy.shift.len() == 1 {
        section.wrong(
            "pause",
            "is how long each share of `shift` is watched, and there is none",
            "e.g. shift = [10, 100]",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// What is made of this table, beside a service; or what is wrong first.
    fn load(service: &str, table: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.toml");
        let text = format!(
            "app = \"my.app\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n{service}\n{table}\n\
             [stages.x]\nhosts = [\"local\"]\npath = \"/srv/x\"\n"
        );
        std::fs::write(&file, text).unwrap();
        match Config::load(&file, None, &|_| None) {
            Ok(config) => Ok(config),
            Err(Error::Config { problems, .. }) => Err(format!("{}: {}", problems[0].key, problems[0].what)),
            Err(other) => panic!("{other}"),
        }
    }

    const PM2: &str = "[service.pm2]\nscript = \"server.js\"";

    #[test]
    fn a_proxy_has_two_ports_and_lines_of_its_own_kind() {
        let nginx = load(PM2, "[proxy.nginx]\nports = [3001, 3002]").unwrap();
        let proxy = nginx.proxy.unwrap();
        assert_eq!((proxy.kind, proxy.ports, &*proxy.upstream), (ProxyKind::Nginx, [3001, 3002], "my_app"));
        assert_eq!((proxy.shift, proxy.retire), (vec![100], Retire::Commit));
        assert!(proxy.test.contains("nginx -T") && proxy.reload.contains("-s reload"));
        assert_eq!(nginx.service.port(), Some(3001), "the health check has a port");
        let caddy =
            load(PM2, "[proxy.caddy]\nports = [1, 2]\nretire = \"next\"\nshift = [10, 100]\npause = \"1m\"").unwrap();
        let proxy = caddy.proxy.unwrap();
        assert_eq!((proxy.kind, proxy.retire, proxy.shift), (ProxyKind::Caddy, Retire::Next, vec![10, 100]));
        assert!(proxy.reload.starts_with("caddy reload"));
        assert_eq!(load(PM2, "").unwrap().proxy, None);
        let staged = "[proxy.nginx]\nports = [1, 2]\n[stages.x.proxy.caddy]\nports = [3, 4]";
        let proxy = load(PM2, staged).unwrap().proxy.unwrap();
        assert_eq!((proxy.kind, proxy.ports), (ProxyKind::Caddy, [3, 4]), "a stage's kind replaces the other");
    }

    #[test]
    fn what_blue_green_can_not_be_is_told_where_it_stands() {
        let wrong = |service: &str, table: &str| load(service, table).unwrap_err();
        let nginx = |more: &str| format!("[proxy.nginx]\nports = [3001, 3002]\n{more}");
        assert!(wrong(PM2, "[proxy.nginx]\nupstream = \"a\"").contains("ports"));
        assert!(wrong(PM2, "[proxy.nginx]\nports = [3001, 3001]").contains("two different ports"));
        assert!(wrong(PM2, &nginx("upstream = \"a b\"")).contains("plain name"));
        assert!(wrong(PM2, &nginx("shift = [50]")).contains("must end with 100"));
        assert!(wrong(PM2, &nginx("shift = [50, 10, 100]")).contains("must rise"));
        assert!(wrong(PM2, &nginx("pause = \"1s\"")).contains("there is none"));
        assert!(wrong(PM2, &nginx("[proxy.caddy]\nports = [1, 2]")).contains("second proxy"));
        assert!(wrong("[service.pm2]\nscript = \"a.js\"\nport = 3000", &nginx("")).contains("each colour has its own"));
        assert!(wrong("[service.pm2]\necosystem = \"e.cjs\"", &nginx("")).contains("`ecosystem` is given"));
        assert!(wrong("[service.command]\nstart = \"a\"\nrevert = \"b\"", &nginx("")).contains("run twice at once"));
        assert!(wrong("", &nginx("")).contains("run twice at once"));
        assert!(wrong(PM2, "[proxy.apache]\nports = [1, 2]").contains("is not a key"));
    }
}
