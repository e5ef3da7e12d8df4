//! What single values of `deploy.toml` and of the command line mean: durations, hosts, batches, paths inside a
//! release, `${VAR}`. Pure functions over text; an error is a predicate ("must ...") and a hint.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::schema::{Address, Batch};

/// What is wrong with a value, to be put after its key, and how to put it right.
pub(super) type Wrong = (String, String);

fn wrong<T>(what: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((what.into(), hint.into()))
}

/// `500ms`, `15s`, `10m`, `2h`: a whole number and a unit. Also what `--wait` takes.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad_duration()),
    };
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or_else(bad_duration)?;
    Ok(Duration::from_millis(ms))
}

fn bad_duration() -> String {
    "a duration is a whole number and a unit: 500ms, 15s, 10m, 2h".into()
}

/// `text` with `${VAR}` and `${VAR:-default}` replaced and `$$` made a dollar; any other dollar stays.
/// An empty variable counts as unset where there is a default, as in a shell.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Wrong> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inner, after)) = after.split_once('}') else {
                return wrong("has a `${` without its `}`", "write $$ for a dollar");
            };
            let (name, default) = match inner.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            if !is_variable(name) {
                return wrong(
                    format!("has `${{{}}}`, which names no variable", crate::text::clean(inner, 40)),
                    "write ${NAME} or ${NAME:-default}; $$ is a dollar",
                );
            }
            match (env(name), default) {
                (Some(value), Some(default)) if value.is_empty() => out.push_str(default),
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => {
                    return wrong(
                        format!("needs the variable {name}, which is not set"),
                        format!("export {name}, or give a default: ${{{name}:-...}}"),
                    );
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether `name` can be an environment variable's name.
pub(super) fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `local`, or `[user@]host[:port]` with an IPv6 address in brackets.
pub(super) fn address(text: &str) -> Result<Address, Wrong> {
    if text == "local" {
        return Ok(Address::Local);
    }
    if text.contains("://") {
        return wrong("must not be a URL", "write it as deploy@web1:22");
    }
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        match inner.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, tail)) if tail.starts_with(':') => (host, Some(&tail[1..])),
            _ => return wrong("has a `[` without its `]`", "an IPv6 address is written deploy@[2001:db8::1]:22"),
        }
    } else {
        match rest.matches(':').count() {
            0 => (rest, None),
            1 => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
            _ => return wrong("looks like an IPv6 address", "put it in brackets: deploy@[2001:db8::1]:22"),
        }
    };
    for part in [Some(host), user].into_iter().flatten() {
        // A leading dash would be read by ssh as an option.
        if part.is_empty() || part.starts_with('-') || part.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong("must be a host such as \"deploy@web1:22\", or \"local\"", "");
        }
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return wrong("has a port that is not from 1 to 65535", ""),
    };
    Ok(Address::Ssh { user: user.map(str::to_owned), host: host.to_owned(), port })
}

/// `"25%"`, 1 to 100.
pub(super) fn percent(text: &str) -> Option<Batch> {
    let share = text.strip_suffix('%')?.parse::<u8>().ok()?;
    (1..=100).contains(&share).then_some(Batch::Percent(share))
}

/// A path inside a release, relative to the app directory or with a leading `/` to the release root, without
/// `.` and doubled slashes. Refuses what would climb out, or name the directory itself.
pub(super) fn inside(text: &str) -> Result<String, Wrong> {
    let root = if text.starts_with('/') { "/" } else { "" };
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return wrong("must not contain `..`", "paths are inside the release; a leading / means its root");
    }
    if parts.is_empty() {
        return wrong("must name something inside the release", "");
    }
    Ok(format!("{root}{}", parts.join("/")))
}

/// `path` below `folder` (unless it is absolute), without `.` and `..`.
pub(super) fn resolve(folder: &Path, path: &str) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("x y".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn durations_need_a_unit_and_fit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "5S", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn variables_expand_and_dollars_can_be_written() {
        let ok = |text: &str| expand(text, &env).unwrap();
        assert_eq!(ok("a ${A}${A:-no}b"), "a x yx yb");
        assert_eq!(ok("${NONE:-d e}|${EMPTY:-full}|${EMPTY}|${NONE:-}"), "d e|full||");
        assert_eq!(ok("$${A} $HOME 5$ $$$${A}"), "${A} $HOME 5$ $${A}");
        assert_eq!(ok("é${A}ü"), "éx yü");
        for text in ["${NONE}", "${A", "${}", "${A B}", "${1}"] {
            assert!(expand(text, &env).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hosts_are_taken_apart() {
        let ssh = |user: Option<&str>, host: &str, port| Address::Ssh {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        };
        assert_eq!(address("local"), Ok(Address::Local));
        assert_eq!(address("web1"), Ok(ssh(None, "web1", None)));
        assert_eq!(address("deploy@web1:2222"), Ok(ssh(Some("deploy"), "web1", Some(2222))));
        assert_eq!(address("me@corp@web1"), Ok(ssh(Some("me@corp"), "web1", None)));
        assert_eq!(address("d@[2001:db8::1]:22"), Ok(ssh(Some("d"), "2001:db8::1", Some(22))));
        assert_eq!(address("[::1]"), Ok(ssh(None, "::1", None)));
        for text in [
            "",
            "@web1",
            "-oProxyCommand=x",
            "a@-o",
            "-l@web1",
            "web 1",
            "web1:",
            "web1:0",
            "web1:70000",
            "::1",
            "[::1",
            "[::1]x",
            "ssh://web1",
            "web1\n",
        ] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn paths_inside_a_release_stay_inside() {
        assert_eq!(inside("./a//b/").unwrap(), "a/b");
        assert_eq!(inside("/a").unwrap(), "/a");
        for text in ["", ".", "/", "..", "a/../../b", "./"] {
            assert!(inside(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn local_paths_are_resolved_against_the_file() {
        assert_eq!(resolve(Path::new("/p/app"), "../out/./x"), PathBuf::from("/p/out/x"));
        assert_eq!(resolve(Path::new("/p/app"), "/srv/x"), PathBuf::from("/srv/x"));
    }
}
