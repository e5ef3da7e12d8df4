//! The compiled files of an artifact against the machine of a host. Packages bring builds for many machines side by
//! side and pick one when they are loaded: a foreign file is a mismatch only where its group has none that fits.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::machine::{self, Built, Libc, Parts};
use super::source::Places;
use super::{Artifact, EntryKind, shown};
use crate::error::{Error, Finding, Result};
use crate::text::list;

/// The compiled files of an artifact.
#[derive(Clone, Debug, Default)]
pub struct Natives {
    files: Vec<Native>,
}

#[derive(Clone, Debug)]
struct Native {
    path: String,
    built: Built,
    /// Loaded into node itself.
    addon: bool,
}

/// What a host is, as its facts tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// As node or `uname -m` names it.
    pub arch: Option<String>,
    /// `glibc 2.36` or `musl 1.2.4`.
    pub libc: Option<String>,
    /// The major version of its node.
    pub node: Option<u32>,
}

/// Words in paths that tell for which machine a build is, or how such files end: the same group has several of them.
const WORDS: &[&str] = &[
    "linux",
    "linuxmusl",
    "linuxglibc",
    "darwin",
    "macos",
    "osx",
    "apple",
    "win32",
    "windows",
    "win",
    "pc",
    "unknown",
    "msvc",
    "mingw32",
    "freebsd",
    "openbsd",
    "netbsd",
    "sunos",
    "android",
    "androideabi",
    "debian",
    "rhel",
    "openssl",
    "gnu",
    "glibc",
    "musl",
    "gnueabihf",
    "gnueabi",
    "musleabihf",
    "musleabi",
    "eabi",
    "x64",
    "x86",
    "64",
    "amd64",
    "ia32",
    "i386",
    "i686",
    "arm",
    "arm64",
    "aarch64",
    "armhf",
    "armv6",
    "armv7",
    "armv7l",
    "armv8",
    "universal",
    "riscv64",
    "ppc64",
    "ppc64le",
    "powerpc64le",
    "s390x",
    "loong64",
    "node",
    "napi",
    "electron",
    "so",
    "dylib",
    "dll",
];

impl Natives {
    /// Reads every file that may be one: addons, libraries, programs.
    pub fn find(artifact: &Artifact) -> Result<Natives> {
        let mut files = Vec::new();
        for entry in &artifact.entries {
            let EntryKind::File { source, executable, .. } = &entry.kind else { continue };
            let name = entry.dest.file_name().unwrap_or_default().as_bytes();
            let addon = name.ends_with(b".node");
            let library = name.ends_with(b".dylib") || name.ends_with(b".so") || name.windows(4).any(|w| w == b".so.");
            if !(addon || library || *executable) {
                continue;
            }
            let failed =
                |source_error| Error::File { path: source.path().to_owned(), doing: "read", source: source_error };
            let places = source.places().map_err(failed)?;
            places.read(0, 1).map_err(failed)?;
            let Some(built) = machine::read(&places) else { continue };
            files.push(Native { path: entry.dest.to_string_lossy().into_owned(), built, addon });
        }
        Ok(Natives { files })
    }

    /// A file that runs only on the major version of node that it was built with.
    pub fn bound(&self) -> Option<&str> {
        self.files.iter().find(|file| file.is_bound()).map(|file| file.path.as_str())
    }

    /// What `machine` can't run: one finding for each group without a file that fits.
    pub fn findings(&self, machine: &Machine) -> Vec<Finding> {
        let mut groups: BTreeMap<Vec<String>, Vec<&Native>> = BTreeMap::new();
        for file in self.files.iter().filter(|file| !file.is_helper()) {
            groups.entry(group(&file.path)).or_default().push(file);
        }
        groups
            .into_values()
            .filter_map(|group| {
                let faults: Vec<_> = group.iter().map(|file| (file, machine.fault(file))).collect();
                if faults.iter().any(|(_, fault)| fault.is_none()) {
                    return None;
                }
                // The one that comes closest says most.
                let (file, fault) = faults.into_iter().max_by_key(|(_, fault)| fault.as_ref().map(|fault| fault.0))?;
                Some(Finding {
                    what: format!("`{}` {}", shown(Path::new(&file.path)), fault?.1),
                    cure: format!(
                        "install the packages and build on a machine like the host{}; if the app never loads the file: build.exclude, or --allow mismatch",
                        if file.path.contains("node_modules/") { machine.install("") } else { String::new() }
                    ),
                })
            })
            .collect()
    }
}

impl Native {
    /// An addon that speaks to V8 and not to Node-API: it runs on one major version of node.
    fn is_bound(&self) -> bool {
        self.addon && self.built.os == "linux" && !self.built.node_api
    }

    /// A program or library of another system among a package's files: a helper that the package starts on that system
    /// only (notifiers, terminals). Among addons that is `fsevents` alone; any other is loaded where it was installed.
    fn is_helper(&self) -> bool {
        let packaged = self.path.contains("node_modules/");
        self.built.os != "linux" && packaged && (!self.addon || self.path.contains("/fsevents/"))
    }
}

/// The words of a file's path without those that name a machine or a version: the same for its siblings.
fn group(path: &str) -> Vec<String> {
    let words = path.split(['/', '-', '_', '.', '@', '+']).map(str::to_ascii_lowercase);
    // As `3`, `x`, `abi115`, `v115`, `uv1`.
    let version = |word: &String| {
        let number = ["abi", "uv", "v"].iter().find_map(|before| word.strip_prefix(before)).unwrap_or(word);
        number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'x')
    };
    words.filter(|word| !version(word) && !WORDS.contains(&word.as_str())).collect()
}

impl Machine {
    fn node_arch(&self) -> Option<&str> {
        self.arch.as_deref().map(|arch| match arch {
            "x86_64" | "amd64" => "x64",
            "aarch64" => "arm64",
            "armv7l" | "armv6l" | "armv8l" => "arm",
            "i386" | "i686" => "ia32",
            "ppc64le" => "ppc64",
            other => other,
        })
    }

    /// npm can be asked for another machine's builds, where a package brings them.
    pub fn install(&self, package: &str) -> String {
        let libc = self.libc.as_ref().and_then(|libc| libc.split(' ').next());
        let libc = libc.map_or(String::new(), |libc| format!(" --libc={libc}"));
        let command =
            |arch| format!(", or with npm install --os=linux --cpu={arch}{libc} {package}").trim_end().to_owned();
        self.node_arch().map(command).unwrap_or_default()
    }

    /// Why this machine can't run the file, and how near it came; none where it can, or where too little is known.
    fn fault(&self, file: &Native) -> Option<(u8, String)> {
        let built = &file.built;
        if built.os != "linux" {
            let system = match built.os {
                "darwin" => "macOS",
                "win32" => "Windows",
                other => other,
            };
            return Some((0, format!("was built for {system}, the host runs Linux")));
        }
        if let (Some(arch), false) = (self.node_arch(), built.archs.is_empty())
            && !built.archs.contains(&arch)
        {
            return Some((1, format!("was built for {}, the host is {arch}", list(&built.archs))));
        }
        self.libc_fault(built.libc).or_else(|| {
            let (wanted, node) = (node_of(built.abi.filter(|_| file.is_bound())?)?, self.node?);
            (wanted != node).then(|| (4, format!("was built for node {wanted}, the host has node {node}")))
        })
    }

    fn libc_fault(&self, libc: Option<Libc>) -> Option<(u8, String)> {
        let (kind, version) = self.libc.as_ref()?.split_once(' ')?;
        match (libc?, kind) {
            (Libc::Musl, "glibc") => Some((2, "was built for musl (Alpine), the host has glibc".into())),
            (Libc::Glibc(..), "musl") => Some((2, "was built for glibc, the host has musl (Alpine)".into())),
            (Libc::Glibc(major, minor), "glibc") if machine::two(version)? < (major, minor) => {
                Some((3, format!("needs glibc {major}.{minor}, the host has {version}")))
            }
            _ => None,
        }
    }
}

/// What cannot be read after the first bytes were says nothing, as what is damaged does.
impl Parts for Places {
    fn part(&self, at: u64, size: usize) -> Vec<u8> {
        self.read(at, size).unwrap_or_default()
    }
}

/// The major version of node whose `process.versions.modules` this is.
fn node_of(abi: u32) -> Option<u32> {
    const NODES: [(u32, u32); 12] = [
        (83, 14),
        (88, 15),
        (93, 16),
        (102, 17),
        (108, 18),
        (111, 19),
        (115, 20),
        (120, 21),
        (127, 22),
        (131, 23),
        (137, 24),
        (141, 25),
    ];
    NODES.iter().find(|(found, _)| *found == abi).map(|(_, major)| *major)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(path: &str, os: &'static str, arch: &'static str, libc: Option<Libc>) -> Native {
        let addon = path.ends_with(".node");
        Native { path: path.into(), built: Built { os, archs: vec![arch], libc, ..Built::default() }, addon }
    }

    fn whats(files: &[Native], arch: &str, libc: &str) -> Vec<String> {
        let machine = Machine { arch: Some(arch.into()), libc: Some(libc.into()), node: Some(22) };
        Natives { files: files.to_vec() }.findings(&machine).into_iter().map(|found| found.what).collect()
    }

    const GLIBC: Option<Libc> = Some(Libc::Glibc(2, 28));
    const MUSL: Option<Libc> = Some(Libc::Musl);

    /// As npm 10 lays out what `npm install` brings.
    fn prebuilt() -> Vec<Native> {
        let bcrypt = |machine: &str, end: &str| format!("node_modules/bcrypt/prebuilds/{machine}/bcrypt{end}.node");
        vec![
            native(&bcrypt("win32-x64", ""), "win32", "x64", None),
            native(&bcrypt("darwin-arm64", ""), "darwin", "arm64", None),
            native(&bcrypt("linux-x64", ".glibc"), "linux", "x64", GLIBC),
            native(&bcrypt("linux-x64", ".musl"), "linux", "x64", MUSL),
            native(&bcrypt("linux-arm64", ".glibc"), "linux", "arm64", GLIBC),
        ]
    }

    #[test]
    fn of_builds_side_by_side_one_has_to_fit() {
        assert_eq!(whats(&prebuilt(), "x86_64", "glibc 2.36"), Vec::<String>::new());
        assert_eq!(whats(&prebuilt(), "x86_64", "musl 1.2.4"), Vec::<String>::new());
        assert_eq!(whats(&prebuilt(), "aarch64", "glibc 2.36"), Vec::<String>::new());
        assert_eq!(
            whats(&prebuilt(), "aarch64", "musl 1.2.4"),
            [
                "`node_modules/bcrypt/prebuilds/linux-arm64/bcrypt.glibc.node` was built for glibc, the host has musl (Alpine)"
            ]
        );
        let old = whats(&prebuilt(), "x64", "glibc 2.17");
        assert_eq!(
            old,
            ["`node_modules/bcrypt/prebuilds/linux-x64/bcrypt.glibc.node` needs glibc 2.28, the host has 2.17"]
        );
    }

    #[test]
    fn builds_in_packages_of_their_own_are_siblings_too() {
        let sharp = |machine: &str| format!("node_modules/@img/sharp-{machine}/lib/sharp-{machine}-0.35.5.node");
        let pnpm = |machine: &str| {
            format!(
                "node_modules/.pnpm/@img+sharp-{machine}@0.33.5/node_modules/@img/sharp-{machine}/lib/sharp-{machine}.node"
            )
        };
        for at in [&sharp as &dyn Fn(&str) -> String, &pnpm] {
            let mac = native(&at("darwin-arm64"), "darwin", "arm64", None);
            let linux = native(&at("linux-x64"), "linux", "x64", GLIBC);
            let alpine = native(&at("linuxmusl-x64"), "linux", "x64", MUSL);
            assert_eq!(whats(&[mac.clone(), linux, alpine], "x86_64", "glibc 2.36"), Vec::<String>::new());
            let what = whats(std::slice::from_ref(&mac), "x86_64", "glibc 2.36");
            assert_eq!(what, [format!("`{}` was built for macOS, the host runs Linux", at("darwin-arm64"))]);
        }
    }

    #[test]
    fn an_addon_of_another_node_is_refused_unless_one_beside_it_fits() {
        let addon = |path: &str, abi, node_api| {
            let mut native = native(path, "linux", "x64", GLIBC);
            (native.built.abi, native.built.node_api) = (Some(abi), node_api);
            native
        };
        let own = "node_modules/better-sqlite3/build/Release/better_sqlite3.node";
        let what = whats(&[addon(own, 115, false)], "x86_64", "glibc 2.36");
        assert_eq!(what, [format!("`{own}` was built for node 20, the host has node 22")]);
        for fits in [addon(own, 127, false), addon(own, 115, true), addon(own, 9999, false)] {
            assert_eq!(whats(&[fits], "x86_64", "glibc 2.36"), Vec::<String>::new());
        }
        for side in ["prebuilds/linux-x64/node.abiN.node", "lib/binding/node-vN-linux-x64-glibc/x.node"] {
            let at = |abi: u32| addon(&format!("node_modules/x/{}", side.replace('N', &abi.to_string())), abi, false);
            assert_eq!(whats(&[at(115), at(127)], "x86_64", "glibc 2.36"), Vec::<String>::new());
            assert_eq!(whats(&[at(108), at(115)], "x86_64", "glibc 2.36").len(), 1, "{side}");
        }
    }

    #[test]
    fn a_file_built_in_its_place_has_no_sibling() {
        let own = native("node_modules/better-sqlite3/build/Release/better_sqlite3.node", "linux", "arm64", GLIBC);
        let mut files = prebuilt();
        files.push(own);
        let what = whats(&files, "x86_64", "glibc 2.36");
        assert_eq!(what.len(), 1);
        assert!(what[0].ends_with("better_sqlite3.node` was built for arm64, the host is x64"), "{what:?}");
    }

    #[test]
    fn helpers_of_other_systems_are_nobodys_loss() {
        let files = [
            native("node_modules/fsevents/fsevents.node", "darwin", "arm64", None),
            native("node_modules/node-notifier/vendor/notifu/notifu64.exe", "win32", "x64", None),
        ];
        assert_eq!(whats(&files, "x86_64", "glibc 2.36"), Vec::<String>::new());
        let own = native("bin/tool", "darwin", "arm64", None);
        assert_eq!(whats(&[own], "x86_64", "glibc 2.36").len(), 1, "what the project ships itself is meant");
    }

    #[test]
    fn a_host_that_tells_nothing_is_not_judged() {
        let natives = Natives { files: prebuilt() };
        assert!(natives.findings(&Machine::default()).is_empty());
    }
}
