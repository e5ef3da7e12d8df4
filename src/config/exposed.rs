//! Variables that look like secrets by their names, are used in `deploy.toml`, and are not in `secrets`: their values
//! would be printed as they are. Pure; judges names, never values.

use std::collections::BTreeSet;

use super::tree::{Node, Value};

/// The names, sorted.
pub(super) fn names(merged: &Node) -> Vec<String> {
    let Value::Table(entries) = &merged.value else { return Vec::new() };
    let mut used = BTreeSet::new();
    // Another stage's settings are that stage's business.
    for (_, node) in entries.iter().filter(|(name, _)| *name != "stages" && *name != "secrets") {
        gather(node, &mut used);
    }
    let masked: Vec<&str> = match merged.get("secrets").map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    used.into_iter().filter(|name| is_telling(name) && !masked.contains(&name.as_str())).collect()
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn gather(node: &Node, used: &mut BTreeSet<String>) {
    match &node.value {
        Value::Text(text) => {
            for part in text.split("${").skip(1) {
                let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                used.insert(name);
            }
        }
        Value::List(items) => items.iter().for_each(|item| gather(item, used)),
        Value::Table(entries) => entries.values().for_each(|entry| gather(entry, used)),
        _ => {}
    }
}

/// `API_KEY`, `NPM_TOKEN`; but not `NEXT_PUBLIC_MAP_KEY`, which every visitor gets anyway.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let telling = ["TOKEN", "SECRET", "PASSWORD"].iter().any(|word| name.contains(word));
    (telling || name.split('_').any(|part| part.ends_with("KEY"))) && !name.contains("PUBLIC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::parse;

    #[test]
    fn names_that_tell_are_found_and_others_are_not() {
        let file = "secrets = ['OLD_TOKEN']\na = '${API_KEY:-x} ${PORT} ${OLD_TOKEN}'\n\
                    [b]\nc = ['${db_password}', '${KEYBOARD}', '${NEXT_PUBLIC_KEY}']\n[stages.x]\nd = '${HIS_SECRET}'\n";
        assert_eq!(names(&parse(file).unwrap()), ["API_KEY", "db_password"]);
    }
}
