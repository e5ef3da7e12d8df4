//! Whether a deploy would change anything: what it would make, against what each host's record says of the live release.
//! Pure. A release that is live but not well is no reason to stay: what deploys the same again may mend it.

use crate::remote::{Facts, Record};

/// What `--if-changed` comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Equal and well everywhere: there is nothing to do, and what is live.
    Equal(String),
    /// Equal, and yet to be deployed: why.
    Unwell(String),
    /// Something differs.
    Differs,
}

/// Holds the record of the release to be made against each host: its name, its facts, and what is wrong with what is
/// live there, if anything is.
pub(super) fn verdict(new: &Record, hosts: &[(&str, &Facts, Option<String>)]) -> Verdict {
    let mut live = Vec::new();
    let mut unwell = None;
    for (name, facts, ill) in hosts {
        let record = facts.current().and_then(|id| facts.records.get(&id.parse().ok()?));
        let Some(record) = record.filter(|record| equal(new, record) && facts.value("dangling").is_none()) else {
            return Verdict::Differs;
        };
        let id = record.id.to_string();
        let state = (record.state != crate::release::State::Good).then(|| format!("it is {}", record.state.word()));
        if let Some(why) = state.or_else(|| ill.clone()) {
            unwell.get_or_insert(format!("{id} is live and equal on {name}, but {why}"));
        }
        if !live.contains(&id) {
            live.push(id);
        }
    }
    match unwell {
        Some(why) => Verdict::Unwell(why),
        None => {
            let are = if live.len() == 1 { "is" } else { "are" };
            Verdict::Equal(format!("{} {are} live and equal", crate::text::list(&live)))
        }
    }
}

/// Whether two releases are made of the same files and run in the same way.
fn equal(new: &Record, live: &Record) -> bool {
    new.artifact == live.artifact
        && new.app_dir == live.app_dir
        && new.shared == live.shared
        && new.service == live.service
        && new.health == live.health
        && new.mutable == live.mutable
        && new.assets == live.assets
        // An older shipit didn't write it down: then nobody knows.
        && new.config.is_some()
        && new.config == live.config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::State;
    use crate::remote::Reply;

    fn record(change: impl Fn(&mut Record)) -> Record {
        let text = r#"{"id":"20260321-140000-k3f9","at":"2026-03-21T14:00:00Z","who":"me@here","artifact":"00","files":1,
            "bytes":1,"app_dir":"","shared":{"dirs":[],"files":[]},"service":{"kind":"none"},"health":{"path":null,
            "url":null,"from":"host","headers":{},"expect":{"status":200,"body":null,"json":{}},"timeout":{"secs":5,
            "nanos":0},"interval":{"secs":1,"nanos":0},"within":{"secs":30,"nanos":0},"successes":1,"soak":{"secs":6,
            "nanos":0},"assets":true},"config":"11","state":"good"}"#;
        let mut record = Record::parse(text).expect("as a host keeps it");
        change(&mut record);
        record
    }

    fn facts(live: Record) -> Facts {
        let mut facts = Facts::default();
        facts.take(Reply::Fact("current".into(), live.id.to_string()));
        facts.records.insert(live.id.clone(), live);
        facts
    }

    #[test]
    fn only_what_is_equal_good_and_well_everywhere_is_left_alone() {
        let new = record(|_| {});
        let same = facts(record(|record| record.commit = Some("abc".into())));
        let well = verdict(&new, &[("a", &same, None), ("b", &same, None)]);
        assert_eq!(well, Verdict::Equal("20260321-140000-k3f9 is live and equal".into()));
        assert_eq!(verdict(&new, &[("a", &same, None), ("b", &Facts::default(), None)]), Verdict::Differs);
        let ill = verdict(&new, &[("a", &same, None), ("b", &same, Some("its service did not run".into()))]);
        assert!(matches!(&ill, Verdict::Unwell(why) if why.contains("on b, but its service did not run")), "{ill:?}");
        let failed = facts(record(|record| record.state = State::Failed));
        assert!(matches!(verdict(&new, &[("a", &failed, None)]), Verdict::Unwell(why) if why.contains("failed")));
        let changes: [fn(&mut Record); 5] = [
            |record| record.artifact = "11".into(),
            |record| record.app_dir = "apps/web".into(),
            |record| record.shared.dirs.push("up".into()),
            |record| record.health.successes = 2,
            |record| record.config = None,
        ];
        for change in changes {
            assert_eq!(verdict(&new, &[("a", &facts(record(change)), None)]), Verdict::Differs);
        }
        let mut gone = same.clone();
        gone.take(Reply::Fact("dangling".into(), "yes".into()));
        assert_eq!(verdict(&new, &[("a", &gone, None)]), Verdict::Differs);
    }
}
