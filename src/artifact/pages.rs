//! Whether the assets that prerendered pages name ship with them: a build that was put together wrongly answers
//! 200 and shows a page without style or script. Reads HTML for `src` and `href` only; runs nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::shown;
use super::tree::{Node, Tree, at_or_below};
use crate::error::{Error, Finding, Result};
use crate::text::count;

/// How many missing assets a message names.
const NAMED: usize = 10;

/// Where the pages of a release are, and where the assets they name should be.
pub(super) struct Pages {
    /// Folders of the release that hold pages.
    pub(super) folders: Vec<PathBuf>,
    /// How an asset's URL begins, e.g. `/_next/static/`.
    pub(super) url: String,
    /// The folder of the release that such URLs are served from.
    pub(super) assets: PathBuf,
    /// What the user can do about a missing one.
    pub(super) cure: String,
}

impl Pages {
    /// A finding if any page names an asset that is not in the tree.
    pub(super) fn missing(&self, tree: &Tree) -> Result<Vec<Finding>> {
        // By asset; the value is the first page that names it.
        let mut missing: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for (dest, node) in tree {
            let Node::File { source, .. } = node else { continue };
            let is_page = self.folders.iter().any(|folder| at_or_below(dest, folder.as_os_str().as_bytes()));
            if !is_page || !dest.ends_with(b".html") {
                continue;
            }
            let html = fs::read(source).map_err(|e| Error::File { path: source.clone(), doing: "read", source: e })?;
            for asset in named(&html, self.url.as_bytes()) {
                let place = self.assets.join(OsStr::from_bytes(&asset));
                if !matches!(tree.get(place.as_os_str().as_bytes()), Some(Node::File { .. } | Node::Link { .. })) {
                    missing.entry(asset).or_insert_with(|| shown(OsStr::from_bytes(dest).as_ref()));
                }
            }
        }
        let mut lines: Vec<String> = missing
            .iter()
            .take(NAMED)
            .map(|(asset, page)| format!("`{}{}` in {page}", self.url, shown(OsStr::from_bytes(asset).as_ref())))
            .collect();
        if missing.len() > NAMED {
            lines.push(format!("and {}", count(missing.len() - NAMED, "more asset")));
        }
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Finding {
            what: format!("prerendered pages name assets that the build does not hold:\n  {}", lines.join("\n  ")),
            cure: self.cure.clone(),
        }])
    }
}

/// The assets that `src` and `href` attributes name: the part of their URLs after `url`, without a query.
fn named(html: &[u8], url: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for attribute in [&b" src="[..], b" href="] {
        let mut rest = html;
        while let Some(at) = find(rest, attribute) {
            rest = &rest[at + attribute.len()..];
            let Some((&quote @ (b'"' | b'\''), value)) = rest.split_first() else { continue };
            let end = value.iter().position(|&b| b == quote).unwrap_or(value.len());
            if let Some(asset) = value[..end].strip_prefix(url) {
                let end = asset.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(asset.len());
                found.push(decoded(&asset[..end]));
            }
            rest = &value[end..];
        }
    }
    found
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// `%5Bid%5D` is `[id]`.
fn decoded(url: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |i: usize| after.get(i).and_then(|&digit| char::from(digit).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((16 * high + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_attributes_name_assets() {
        let html =
            br#"<link rel="stylesheet" href="/_next/static/a.css?dpl=1"/><script src='/_next/static/c/%5Bid%5D.js'>
            </script><script>push("src=\"/_next/static/no.js\"")</script><p>"/_next/static/no.js"</p><a href=/x>
            <img src="https://cdn/_next/static/no.png"><script src="/_next/static/100%.js" async=""></script>"#;
        let mut assets: Vec<String> =
            named(html, b"/_next/static/").into_iter().map(|asset| String::from_utf8(asset).unwrap()).collect();
        assets.sort();
        assert_eq!(assets, ["100%.js", "a.css", "c/[id].js"]);
    }
}
