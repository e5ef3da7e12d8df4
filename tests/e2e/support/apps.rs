//! Small node servers to deploy: one that is good and can tell which release it is, and every kind of bad one.
//! They start in a tenth of a second, so that a test can afford many deploys.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The files of a release, before it is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
    programs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// What is wrong with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// Ends with 1 before anything else.
    ExitsAtOnce,
    /// Throws while it is loaded.
    Throws,
    /// Is no JavaScript.
    Syntax,
    /// Has no server at all.
    NoServer,
    /// Listens on an address that the host lacks.
    ForeignAddress,
    /// Stays up and never listens.
    NeverListens,
    /// Listens after five seconds, which is later than it may.
    ListensLate,
    /// A promise is rejected before it listens; PM2 swallows that.
    Rejects,
    /// Answers, with status 500.
    Unhealthy,
    /// Ends 0.6 seconds after it listens.
    ExitsSoon,
    /// Ends 2.5 seconds after it listens, again and again: nearly every request is answered.
    ExitsLater,
    /// Only the second worker ends: every request is answered by the first.
    SecondExits,
}

impl Bad {
    /// Those whose candidate never gets well, so that a boot test finds them out.
    pub(crate) const AT_BOOT: [Bad; 9] = [
        Bad::ExitsAtOnce,
        Bad::Throws,
        Bad::Syntax,
        Bad::NoServer,
        Bad::ForeignAddress,
        Bad::NeverListens,
        Bad::ListensLate,
        Bad::Rejects,
        Bad::Unhealthy,
    ];
}

const SERVER: &str = r#"// Answers who it is: the version it was written as, its process and its working directory.
const http = require("http");
const fs = require("fs");
BEFORE
const version = "VERSION";
const status = () => STATUS;
const server = http.createServer((request, response) => {
  const send = (code, type, body) => {
    response.writeHead(code, { "content-type": type });
    response.end(body);
  };
  if (request.url === "/health") {
    const ok = status() === 200;
    send(status(), "application/json", JSON.stringify({ status: ok ? "ok" : "bad", version, pid: process.pid, cwd: process.cwd() }));
  } else if (request.url === "/") {
    send(200, "text/html", `<!doctype html><title>${version}</title><script src="/app-${version}.js"></script>`);
  } else if (request.url === `/app-${version}.js`) {
    send(200, "text/javascript", fs.readFileSync(`app-${version}.js`));
  } else {
    send(404, "text/plain", "no such page");
  }
});
const listening = () => {
AFTER
};
const listen = () => server.listen(Number(process.env.PORT), "ADDRESS", listening);
LISTEN
"#;

/// What a running server takes from the file `mode`, which is shared and so outlives a release: a host can be
/// made bad without another release, and one host of several alone.
const MODE: &str = r#"
const mode = () => { try { return fs.readFileSync("mode", "utf8").trim(); } catch { return "good"; } };
if (!process.env.SHIPIT_BOOT_TEST && mode() === "exit") process.exit(1);
"#;

impl App {
    /// Nothing yet.
    pub(crate) fn empty() -> App {
        App::default()
    }

    /// A web site of two pages.
    pub(crate) fn site(version: &str) -> App {
        App::empty()
            .file("index.html", format!("<!doctype html><title>{version}</title>"))
            .file("deep/er/page.html", format!("<p>{version}</p>"))
    }

    /// A good server.
    pub(crate) fn server(version: &str) -> App {
        App::written(version, "", "200", "", "127.0.0.1", "listen();")
    }

    /// A server that does what the shared file `mode` says: `good`; `exit`: ends at once, but not in a boot
    /// test; `later`: ends 2.5 s after it listens; `sick`: answers with 500.
    pub(crate) fn driven(version: &str) -> App {
        let after =
            r#"if (!process.env.SHIPIT_BOOT_TEST && mode() === "later") setTimeout(() => process.exit(1), 2500);"#;
        App::written(version, MODE, r#"(mode() === "sick" ? 500 : 200)"#, after, "127.0.0.1", "listen();")
    }

    /// A bad server.
    pub(crate) fn bad(version: &str, how: Bad) -> App {
        let plain = |before: &str| App::written(version, before, "200", "", "127.0.0.1", "listen();");
        let ends_after = |ms: u32| {
            let after = format!("setTimeout(() => process.exit(1), {ms});");
            App::written(version, "", "200", &after, "127.0.0.1", "listen();")
        };
        let listens = |how: &str| App::written(version, "", "200", "", "127.0.0.1", how);
        match how {
            Bad::ExitsAtOnce => plain("process.exit(1);"),
            Bad::Throws => plain("throw new Error('thrown while loading');"),
            Bad::Syntax => plain("const = ;"),
            Bad::NoServer => App::empty().file("readme.txt", format!("{version} has no server")),
            // TEST-NET-1: no machine has it.
            Bad::ForeignAddress => App::written(version, "", "200", "", "192.0.2.1", "listen();"),
            Bad::NeverListens => listens("setInterval(() => {}, 1000);"),
            Bad::ListensLate => listens("setTimeout(listen, 5000);"),
            Bad::Rejects => {
                listens("(async () => { await null; throw new Error('rejected before listening'); })().then(listen);")
            }
            Bad::Unhealthy => App::written(version, "", "500", "", "127.0.0.1", "listen();"),
            Bad::ExitsSoon => ends_after(600),
            Bad::ExitsLater => ends_after(2500),
            Bad::SecondExits => plain(r#"if (process.env.NODE_APP_INSTANCE === "1") process.exit(1);"#),
        }
    }

    fn written(version: &str, before: &str, status: &str, after: &str, address: &str, listen: &str) -> App {
        let server = SERVER
            .replace("BEFORE", before)
            .replace("VERSION", version)
            .replace("STATUS", status)
            .replace("AFTER", after)
            .replace("ADDRESS", address)
            .replace("LISTEN", listen);
        App::empty().file("server.js", server).file(format!("app-{version}.js"), format!("console.log('{version}');"))
    }

    /// One more file.
    pub(crate) fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> App {
        self.files.insert(path.into(), content.into());
        self
    }

    /// One more file that may be run.
    pub(crate) fn program(self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> App {
        let path = path.into();
        let mut app = self.file(path.clone(), content);
        app.programs.push(path);
        app
    }

    /// One more folder, which may stay empty.
    pub(crate) fn folder(mut self, path: impl Into<PathBuf>) -> App {
        self.folders.push(path.into());
        self
    }

    /// One more symbolic link.
    pub(crate) fn link(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> App {
        self.links.insert(path.into(), target.into());
        self
    }

    /// A file of this many bytes that no compression makes smaller.
    pub(crate) fn ballast(self, bytes: usize) -> App {
        // Any generator does: it only has to look random to a compressor.
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = std::iter::repeat_with(move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()
        });
        let content: Vec<u8> = noise.flatten().take(bytes).collect();
        self.file("ballast.bin", content)
    }

    /// Its files and their content.
    pub(crate) fn files(&self) -> &BTreeMap<PathBuf, Vec<u8>> {
        &self.files
    }

    /// Its links and where they lead.
    pub(crate) fn links(&self) -> &BTreeMap<PathBuf, PathBuf> {
        &self.links
    }

    /// Makes `dir` hold exactly it.
    pub(crate) fn write(&self, dir: &Path) {
        if dir.exists() {
            fs::remove_dir_all(dir).expect("the project is ours");
        }
        for folder in [Path::new("")].into_iter().chain(self.folders.iter().map(PathBuf::as_path)) {
            fs::create_dir_all(dir.join(folder)).expect("the project is writable");
        }
        for (path, content) in &self.files {
            let file = dir.join(path);
            fs::create_dir_all(file.parent().expect("below dir")).expect("the project is writable");
            fs::write(&file, content).expect("the project is writable");
            let mode = if self.programs.contains(path) { 0o755 } else { 0o644 };
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        for (path, target) in &self.links {
            let link = dir.join(path);
            fs::create_dir_all(link.parent().expect("below dir")).expect("the project is writable");
            std::os::unix::fs::symlink(target, link).expect("the project is writable");
        }
    }
}
