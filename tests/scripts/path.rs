//! Where node and pm2 are found: the homes that version managers make, laid out as they do it, and what a shell that has
//! read no profile then has on its PATH.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::bench::{Bench, Shell};

super::in_every_shell! {
    each_managers_default_is_found
    what_path_has_is_left_alone
    a_node_with_its_pm2_comes_before_one_without
    what_is_named_comes_first
    odd_versions_and_aliases_do_no_harm
    looking_takes_no_time
}

/// A home and what a shell makes of it.
struct Home {
    shell: Shell,
    dir: PathBuf,
}

/// PATH without the bare directories that a test gave it, and where a node was seen.
struct Found {
    path: String,
    nodes: String,
}

impl Home {
    fn new(bench: &Bench, name: &str) -> Home {
        Home { shell: bench.shell, dir: bench.area.dir(name) }
    }

    /// Programs that may be run, in one directory.
    fn tools(&self, dir: &str, names: &[&str]) -> &Home {
        let dir = self.dir.join(dir);
        fs::create_dir_all(&dir).unwrap();
        for name in names {
            fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    fn file(&self, path: &str, text: &str) -> &Home {
        let file = self.dir.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn link(&self, path: &str, to: &str) -> &Home {
        let link = self.dir.join(path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(to, link).unwrap();
        self
    }

    /// Runs the script as it lies in the source, with `path` and `ssh.path`.
    fn looks(&self, path: &str, named: &str) -> Found {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remote/path.sh");
        let mut command = Command::new(self.shell.program());
        if self.shell == Shell::Busybox {
            command.arg("sh");
        }
        let code = r#"set -u; SSH_PATH=$2; . "$1"; echo "$PATH"; echo "$NODE_DIRS""#;
        command.args(["-c", code, "sh"]).arg(script).arg(named);
        let output = command.env_clear().env("HOME", &self.dir).env("PATH", path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{text}{errors}");
        let text = text.replace(&format!("{}/", self.dir.display()), "");
        let mut lines = text.lines().map(str::to_owned);
        Found { path: lines.next().unwrap(), nodes: lines.next().unwrap_or_default() }
    }
}

/// Ends a chain of what makes a home.
fn done(_: &Home) {}

/// A PATH without anything of interest.
const BARE: &str = "/usr/lib";

fn each_managers_default_is_found(bench: &mut Bench) {
    let both = &["node", "npm", "pm2"][..];
    let of = |name: &str, make: &dyn Fn(&Home), expected: &str| {
        let home = Home::new(bench, name);
        make(&home);
        assert_eq!(home.looks(BARE, "").path, expected, "{name}");
    };
    let nvm = |alias: &'static str| {
        move |home: &Home| {
            for version in ["v9.11.2", "v18.20.4", "v20.9.0", "v20.19.0", "v22.1.0"] {
                home.tools(&format!(".nvm/versions/node/{version}/bin"), both);
            }
            home.file(".nvm/alias/default", alias).file(".nvm/alias/lts/*", "lts/iron\n");
            home.file(".nvm/alias/lts/iron", "v20.19.0\n").file(".nvm/alias/mine", "v18.20.4\n");
        }
    };
    let in_nvm = |version: &str| format!(".nvm/versions/node/{version}/bin:{BARE}");
    for (alias, version) in [
        ("lts/*\n", "v20.19.0"),
        ("lts/iron", "v20.19.0"),
        ("node\n", "v22.1.0"),
        ("stable\n", "v22.1.0"),
        ("20\n", "v20.19.0"),
        ("20.9\n", "v20.9.0"),
        ("v18.20.4\n", "v18.20.4"),
        ("mine\n", "v18.20.4"),
        // Not installed: the nearest of what is.
        ("20.20.1\n", "v20.19.0"),
        ("24\n", "v22.1.0"),
    ] {
        of(&format!("nvm-{}", alias.trim().replace('/', "-")), &nvm(alias), &in_nvm(version));
    }
    of(
        "nvm-xdg",
        &|home| done(home.tools(".config/nvm/versions/node/v20.1.0/bin", both)),
        &format!(".config/nvm/versions/node/v20.1.0/bin:{BARE}"),
    );
    of(
        "fnm",
        &|home| {
            home.tools(".local/share/fnm/node-versions/v20.1.0/installation/bin", both);
            home.tools(".local/share/fnm/node-versions/v22.1.0/installation/bin", both);
            home.link(".local/share/fnm/aliases/default", "../node-versions/v20.1.0/installation");
        },
        &format!(".local/share/fnm/aliases/default/bin:{BARE}"),
    );
    of(
        "volta",
        &|home| {
            home.tools(".volta/tools/image/node/20.1.0/bin", &["node"])
                .tools(".volta/tools/image/node/22.1.0/bin", &["node"]);
            home.file(
                ".volta/tools/user/platform.json",
                "{\n  \"node\": {\n    \"runtime\": \"20.1.0\",\n    \"npm\": null\n  },\n  \"yarn\": null\n}\n",
            );
            home.tools(".volta/tools/image/packages/pm2/bin", &["pm2"]).tools(".volta/bin", &["volta-shim"]);
            home.link(".volta/bin/node", "volta-shim");
        },
        &format!("{BARE}:.volta/tools/image/node/20.1.0/bin:.volta/tools/image/packages/pm2/bin"),
    );
    of(
        "asdf",
        &|home| {
            home.tools(".asdf/installs/nodejs/20.1.0/bin", both).tools(".asdf/installs/nodejs/22.1.0/bin", both);
            home.file(".tool-versions", "python 3.12.1\nnodejs 20.1.0 system\n").tools(".asdf/shims", both);
        },
        &format!(".asdf/installs/nodejs/20.1.0/bin:{BARE}"),
    );
    for (n, text) in [
        "[tools]\nnode = \"20\"\n",
        "[tools]\npython='3'\nnode = ['20', '22']",
        "[tools]\nnode = { version = \"20\" }\n",
    ]
    .iter()
    .enumerate()
    {
        of(
            &format!("mise-{n}"),
            &|home| {
                home.file(".config/mise/config.toml", text);
                home.tools(".local/share/mise/installs/node/20.1.0/bin", both)
                    .link(".local/share/mise/installs/node/20", "./20.1.0");
                home.tools(".local/share/mise/installs/node/22.1.0/bin", both)
                    .link(".local/share/mise/installs/node/latest", "./22.1.0");
            },
            &format!(".local/share/mise/installs/node/20/bin:{BARE}"),
        );
    }
    of(
        "nodenv",
        &|home| {
            done(
                home.tools(".nodenv/versions/20.1.0/bin", both)
                    .tools(".nodenv/versions/22.1.0/bin", both)
                    .file(".nodenv/version", "20.1.0\n"),
            )
        },
        &format!(".nodenv/versions/20.1.0/bin:{BARE}"),
    );
    of("n", &|home| done(home.tools("n/bin", both)), &format!("n/bin:{BARE}"));
    of("pnpm", &|home| done(home.tools(".local/share/pnpm", both)), &format!(".local/share/pnpm:{BARE}"));
    let with_node = |home: &Home, prefix: &str| {
        done(home.tools(".nvm/versions/node/v20.1.0/bin", &["node"]).tools(prefix, &["pm2"]))
    };
    for (name, npmrc, prefix) in [
        ("npm-global", "", ".npm-global/bin"),
        ("npm-prefix", "fund=false\nprefix=~/glo\n", "glo/bin"),
        ("npm-variable", "prefix = \"${HOME}/glo\"\n", "glo/bin"),
        ("local", "", ".local/bin"),
        ("bun", "", ".bun/bin"),
    ] {
        of(
            name,
            &|home| {
                home.file(".npmrc", npmrc);
                with_node(home, prefix);
            },
            &format!("{BARE}:.nvm/versions/node/v20.1.0/bin:{prefix}"),
        );
    }
}

fn what_path_has_is_left_alone(bench: &mut Bench) {
    let home = Home::new(bench, "home");
    home.tools("sys", &["node", "pm2"]).tools(".nvm/versions/node/v20.1.0/bin", &["node", "pm2"]);
    let path = format!("{}:{BARE}", home.dir.join("sys").display());
    let found = home.looks(&path, "");
    assert_eq!(found.path, format!("sys:{BARE}"));
    assert_eq!(found.nodes, "sys:.nvm/versions/node/v20.1.0/bin", "the other one is told all the same");
}

fn a_node_with_its_pm2_comes_before_one_without(bench: &mut Bench) {
    let home = Home::new(bench, "home");
    home.tools("sys", &["node"]).tools(".nvm/versions/node/v20.1.0/bin", &["node", "pm2"]);
    let path = format!("{}:{BARE}", home.dir.join("sys").display());
    assert_eq!(home.looks(&path, "").path, format!(".nvm/versions/node/v20.1.0/bin:sys:{BARE}"));
    // After an upgrade of node the global packages are still with the version before.
    home.tools(".nvm/versions/node/v22.1.0/bin", &["node"]).file(".nvm/alias/default", "22\n");
    assert_eq!(home.looks(BARE, "").path, format!(".nvm/versions/node/v20.1.0/bin:{BARE}"));
    // One that stands alone is added behind, where it hides nothing.
    let home = Home::new(bench, "alone");
    home.tools("sys", &["node"]).tools(".local/bin", &["pm2"]);
    let path = format!("{}:{BARE}", home.dir.join("sys").display());
    assert_eq!(home.looks(&path, "").path, format!("sys:{BARE}:.local/bin"));
}

fn what_is_named_comes_first(bench: &mut Bench) {
    let home = Home::new(bench, "home");
    home.tools("sys", &["node", "pm2"])
        .tools("my own/bin", &["node"])
        .tools(".nvm/versions/node/v20.1.0/bin", &["node", "pm2"]);
    let path = format!("{}:{BARE}", home.dir.join("sys").display());
    assert_eq!(home.looks(&path, "~/my own/bin:/opt/$(x)").path, format!("my own/bin:/opt/$(x):sys:{BARE}"));
    assert_eq!(home.looks(BARE, "~/my own/bin").path, format!("my own/bin:.nvm/versions/node/v20.1.0/bin:{BARE}"));
    // A script that another one starts inherits it, and changes nothing any more.
    let again = format!("{}:{path}", home.dir.join("my own/bin").display());
    assert_eq!(home.looks(&again, "~/my own/bin").path, format!("my own/bin:sys:{BARE}"));
}

fn odd_versions_and_aliases_do_no_harm(bench: &mut Bench) {
    let home = Home::new(bench, "home");
    for version in [
        "v08.1.0",
        "v1.2.3.4.5",
        "v99999999999999999999.1.1",
        "vx",
        "v",
        "v1..2",
        "system",
        "v20.1.0-rc.1",
        "v $(touch pwned)",
        "v20.1.0",
    ] {
        home.tools(&format!(".nvm/versions/node/{version}/bin"), &["node", "pm2"]);
    }
    let found = |alias: &str| home.file(".nvm/alias/default", alias).looks(BARE, "").path;
    for alias in ["default\n", "lts/*", "$(touch pwned)", "../../..", "", "*", "20.1.0; touch pwned", "-n"] {
        assert_eq!(found(alias), format!(".nvm/versions/node/v20.1.0/bin:{BARE}"), "{alias:?}");
    }
    home.file(".tool-versions", "nodejs\nnodejs *\n")
        .file(".npmrc", "prefix=$(touch pwned)\n")
        .file(".volta/tools/user/platform.json", "{\"runtime\"");
    home.tools(".volta/tools/image/node/1.2.3/bin", &[]);
    assert_eq!(found("node"), format!(".nvm/versions/node/v20.1.0/bin:{BARE}"));
    // Neither a directory nor a file that can't be run is a program.
    let home = Home::new(bench, "none");
    home.file("n/bin/node", "no program").tools(".local/bin/node", &["x"]).tools(".bun/bin/pm2", &["x"]);
    assert_eq!(home.looks(BARE, "").path, BARE);
}

fn looking_takes_no_time(bench: &mut Bench) {
    let home = Home::new(bench, "home");
    for n in 1..40 {
        home.tools(&format!(".nvm/versions/node/v{n}.1.0/bin"), &["node"]);
        home.tools(&format!(".local/share/mise/installs/node/{n}.1.0/bin"), &["node"]);
    }
    home.looks(BARE, "");
    let took = (0..5)
        .map(|_| {
            let begin = Instant::now();
            home.looks(BARE, "");
            begin.elapsed()
        })
        .min()
        .unwrap();
    // A hundredth of what one script costs over ssh; ten times that for a busy machine.
    assert!(took.as_millis() < 200, "{took:?}");
}
