//! Rules between stages: two that would overwrite each other on one host. Looks at every stage, also those that are
//! not asked for, and at nothing but names, hosts and paths; what is wrong with a value is said where it is read.

use super::reader::Reader;
use super::schema::Address;
use super::tree::{Node, Value};
use super::values;
use crate::text::clean;

/// What a stage takes on its hosts.
struct Claim<'n> {
    stage: &'n str,
    node: &'n Node,
    hosts: Vec<Address>,
    /// Where it is written, and what it means.
    path: Option<(&'n Node, String)>,
    /// The app's name, where a service on the host is known by it.
    app: Option<String>,
}

/// Records each stage that takes what an earlier one has.
pub(super) fn check(reader: &Reader<'_>, root: &Node) {
    let Some(stages) = root.get("stages") else { return };
    let claims: Vec<Claim<'_>> =
        stages.names().into_iter().filter_map(|stage| claim(reader, root, stage, stages.get(stage)?)).collect();
    for (n, claim) in claims.iter().enumerate() {
        for earlier in &claims[..n] {
            let Some(host) = claim.hosts.iter().find(|host| earlier.hosts.contains(host)) else { continue };
            if told(reader, claim, earlier, host) {
                break;
            }
        }
    }
}

fn told(reader: &Reader<'_>, claim: &Claim<'_>, earlier: &Claim<'_>, host: &Address) -> bool {
    let (host, other) = (clean(&host.to_string(), 60), clean(earlier.stage, 40));
    if let (Some((node, path)), Some((_, taken))) = (&claim.path, &earlier.path)
        && path.trim_end_matches('/') == taken.trim_end_matches('/')
    {
        let hint = format!("e.g. \"{}-{}\"", clean(path.trim_end_matches('/'), 60), clean(claim.stage, 40));
        reader.wrong(node, format!("is also the path of stage {other} on {host}"), hint);
        return true;
    }
    if let (Some(app), true) = (&claim.app, claim.app == earlier.app) {
        let app = clean(app, 40);
        let what =
            format!("runs an app called {app} on {host}, and so does stage {other}: one would replace the other");
        let hint = format!("give this stage a name of its own: app = \"{app}-{}\"", clean(claim.stage, 40));
        match claim.node.get("app") {
            Some(node) => reader.wrong(node, what, hint),
            None => reader.report(Some(claim.node.named_at), &claim.node.key, what, hint),
        }
        return true;
    }
    false
}

fn claim<'n>(reader: &Reader<'_>, root: &'n Node, stage: &'n str, node: &'n Node) -> Option<Claim<'n>> {
    let text = |node: &'n Node| match &node.value {
        Value::Text(text) => reader.quietly(text),
        _ => None,
    };
    let Value::List(items) = &node.get("hosts")?.value else { return None };
    let host = |item: &'n Node| values::address(&text(item.get("address").unwrap_or(item))?).ok();
    let app = node.get("app").or_else(|| root.get("app")).and_then(text);
    Some(Claim {
        stage,
        node,
        hosts: items.iter().filter_map(host).collect(),
        path: node.get("path").and_then(|node| Some((node, text(node)?))),
        app: app.filter(|_| named_by_app(root, node)),
    })
}

/// Whether the host knows the stage's service by the app's name. An ecosystem file has names of its own.
fn named_by_app(root: &Node, stage: &Node) -> bool {
    let here = stage.get("service").filter(|service| service.is_table());
    let Some(service) = here.or_else(|| root.get("service")) else { return false };
    let of_kind = |kind: &str| [Some(stage), Some(root)].map(|node| node?.get("service")?.get(kind));
    service.names().into_iter().any(|kind| {
        !matches!(kind, "command") && of_kind(kind).into_iter().flatten().all(|kind| kind.get("ecosystem").is_none())
    })
}
