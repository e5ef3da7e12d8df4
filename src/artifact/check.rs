//! Whether every path of a tree may travel: links must end inside the release, names must fit a host's disk.
//! Judges the tree alone; the disk is not asked again.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::shown;
use super::tree::{Node, Tree, at_or_below, parents, place};
use crate::config::Shared;
use crate::error::Finding;

/// The longest name that Linux file systems take.
const NAME: usize = 255;
/// The longest path from the release root; leaves room for the host's own part of the kernel's 4096.
const PATH: usize = 3500;
/// How many links the kernel follows before it calls them a loop.
const HOPS: usize = 40;

/// All reasons against the tree.
pub(super) fn findings(tree: &Tree, app_dir: &str, shared: &Shared) -> Vec<Finding> {
    let stops = stops(app_dir, shared);
    let mut findings: Vec<Finding> = stops.iter().filter_map(|place| behind(tree, place)).collect();
    for (dest, node) in tree {
        if let Some(what) = name(dest) {
            findings.push(what);
        }
        if let Node::Link { target } = node
            && let Some(why) = link(tree, &stops, dest, target)
        {
            findings.push(Finding {
                what: format!("the link `{}` {why}: `{}`", as_text(dest), shown(target)),
                cure: "make it a relative link to something that ships too, or name it in build.exclude".into(),
            });
        }
    }
    findings
}

/// The shared places: what lies there is the host's matter.
pub(super) fn stops(app_dir: &str, shared: &Shared) -> Vec<Vec<u8>> {
    let places = shared.dirs.iter().chain(&shared.files).filter_map(|path| place(app_dir, path));
    places.map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}

/// The host puts a shared place where its path says: nothing that ships may lead that elsewhere.
fn behind(tree: &Tree, place: &[u8]) -> Option<Finding> {
    let above = parents(place).find(|above| matches!(tree.get(*above), Some(Node::Link { .. } | Node::File { .. })))?;
    Some(Finding {
        what: format!("`{}` is shared, and `{}` above it is no folder in the build", as_text(place), as_text(above)),
        cure: "name it by the path behind the link, or leave that out with build.exclude".into(),
    })
}

fn as_text(dest: &[u8]) -> String {
    shown(Path::new(OsStr::from_bytes(dest)))
}

fn name(dest: &[u8]) -> Option<Finding> {
    if dest == b".release.json" {
        return Some(Finding {
            what: "`.release.json` at the top of the release is shipit's own".into(),
            cure: "rename it, or name it in build.exclude".into(),
        });
    }
    if dest.len() > PATH || dest.split(|&b| b == b'/').any(|part| part.len() > NAME) {
        return Some(Finding {
            what: format!("the path `{}` is longer than a host's disk takes", as_text(dest)),
            cure: format!("a name has at most {NAME} bytes, a path {PATH}; name it in build.exclude"),
        });
    }
    None
}

/// Why a link may not ship.
fn link(tree: &Tree, stops: &[Vec<u8>], dest: &[u8], target: &Path) -> Option<&'static str> {
    let mut at: Vec<Vec<u8>> = parts(dest).collect();
    at.pop();
    match relative(target) {
        Some(parts) => follow(tree, stops, at, parts.collect()).err(),
        None => Some("is absolute"),
    }
}

/// The path behind all links, or why there is none. Followed as the kernel would follow it, through other links, but
/// inside the tree: `a/../b` is not `b` where `a` is a link. What lies at a stop need not be in the tree.
pub(super) fn follow(
    tree: &Tree,
    stops: &[Vec<u8>],
    mut at: Vec<Vec<u8>>,
    mut todo: VecDeque<Vec<u8>>,
) -> Result<Vec<u8>, &'static str> {
    let mut hops = 0;
    while let Some(part) = todo.pop_front() {
        if part == b".." {
            if at.pop().is_none() {
                return Err("leaves the release");
            }
            continue;
        }
        at.push(part);
        let here = at.join(&b'/');
        if stops.iter().any(|top| at_or_below(&here, top)) {
            // Up from a shared place is up from where it lies on the host.
            return if todo.iter().any(|part| part == b"..") { Err("climbs out of a shared place") } else { Ok(here) };
        }
        match tree.get(&here) {
            Some(Node::Dir) => {}
            Some(Node::File { .. }) if todo.is_empty() => {}
            Some(Node::File { .. }) | None => return Err("points at nothing that ships"),
            Some(Node::Link { target }) => {
                hops += 1;
                if hops > HOPS {
                    return Err("goes round in circles");
                }
                at.pop();
                match relative(target) {
                    Some(parts) => parts.collect::<Vec<_>>().into_iter().rev().for_each(|part| todo.push_front(part)),
                    None => return Err("leads to an absolute one"),
                }
            }
        }
    }
    Ok(at.join(&b'/'))
}

fn relative(target: &Path) -> Option<impl Iterator<Item = Vec<u8>>> {
    if target.is_absolute() { None } else { Some(parts(target.as_os_str().as_bytes())) }
}

/// The names of a path, without `.`.
pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dirs: &[&str], files: &[&str], links: &[(&str, &str)]) -> Tree {
        let key = |dest: &str| dest.as_bytes().to_vec();
        let dirs = dirs.iter().map(|dest| (key(dest), Node::Dir));
        let files = files.iter().map(|dest| (key(dest), Node::File { source: "x".into(), executable: false }));
        let links = links.iter().map(|(dest, target)| (key(dest), Node::Link { target: target.into() }));
        dirs.chain(files).chain(links).collect()
    }

    fn whats(tree: &Tree, shared: &Shared) -> Vec<String> {
        findings(tree, "web", shared).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn links_that_stay_inside_may_ship() {
        let links = [("a/b/up", ".."), ("a/b/top", "../.."), ("a/through", "b/up/file"), ("a/odd", ".//b/./up//file")];
        assert_eq!(whats(&tree(&["a", "a/b"], &["a/file"], &links), &Shared::default()), Vec::<String>::new());
    }

    #[test]
    fn links_that_end_elsewhere_are_all_named() {
        let links = [
            ("absolute", "/etc/passwd"),
            ("dangles", "a/nothing"),
            ("deep/in", "../a"),
            ("leaves", "a/../../x"),
            // By its text this is `x`; but `deep/in/..` is the root, and the next `..` is above it.
            ("lexical", "deep/in/../../x"),
            ("loop1", "loop2"),
            ("loop2", "loop1"),
            ("second", "absolute"),
            ("through", "a/file/x"),
        ];
        assert_eq!(
            whats(&tree(&["a", "deep"], &["a/file"], &links), &Shared::default()),
            [
                "the link `absolute` is absolute: `/etc/passwd`",
                "the link `dangles` points at nothing that ships: `a/nothing`",
                "the link `leaves` leaves the release: `a/../../x`",
                "the link `lexical` leaves the release: `deep/in/../../x`",
                "the link `loop1` goes round in circles: `loop2`",
                "the link `loop2` goes round in circles: `loop1`",
                "the link `second` leads to an absolute one: `absolute`",
                "the link `through` points at nothing that ships: `a/file/x`",
            ]
        );
    }

    #[test]
    fn what_a_link_finds_in_a_shared_place_is_the_hosts_matter() {
        let shared = Shared { dirs: vec!["uploads".into()], files: vec!["/.env".into()] };
        let links = [
            ("web/logo", "uploads/logo.png"),
            ("web/.env", "../.env"),
            ("web/no", "../uploads/x"),
            ("web/out", "uploads/../../../../etc"),
        ];
        assert_eq!(
            whats(&tree(&["web"], &[], &links), &shared),
            [
                "the link `web/no` points at nothing that ships: `../uploads/x`",
                "the link `web/out` climbs out of a shared place: `uploads/../../../../etc`",
            ]
        );
    }

    #[test]
    fn names_that_a_host_cannot_hold_are_refused() {
        let long = "x".repeat(256);
        let found = whats(&tree(&[], &[&long, ".release.json", "web/.release.json"], &[]), &Shared::default());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains(".release.json"), "{found:?}");
        assert!(found[1].contains("xxx"), "{found:?}");
    }
}
