//! What of a stage's health settings is kept on a host, in each release's record: no secret. A text that held one is taken
//! from the settings of today when the release runs again. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::schema::Health;
use crate::secret::{MASKED, Mask};

impl Health {
    /// As it may be kept on a host: a text that holds a secret holds `***` instead.
    pub fn without(&self, mask: &Mask) -> Health {
        let mut health = self.clone();
        health.texts().into_iter().for_each(|(_, text)| *text = mask.apply(text));
        for value in health.expect.json.values_mut() {
            if let Some(text) = value.as_str() {
                *value = mask.apply(text).into();
            }
        }
        health
    }

    /// As it was before `without`: what held a secret is as `now` has it.
    pub fn filled(&self, now: &Health) -> Health {
        let mut health = self.clone();
        let mut now = now.clone();
        let today: BTreeMap<String, String> =
            now.texts().into_iter().map(|(name, text)| (name, std::mem::take(text))).collect();
        for (name, text) in health.texts() {
            if text.contains(MASKED)
                && let Some(today) = today.get(&name)
            {
                text.clone_from(today);
            }
        }
        for (name, value) in &mut health.expect.json {
            if value.as_str().is_some_and(|text| text.contains(MASKED))
                && let Some(today) = now.expect.json.get(name)
            {
                value.clone_from(today);
            }
        }
        health
    }

    /// Every text of it that a variable may stand in, by its name.
    fn texts(&mut self) -> Vec<(String, &mut String)> {
        let named = [("path", &mut self.path), ("url", &mut self.url), ("body", &mut self.expect.body)];
        let named = named.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_mut()?)));
        named.chain(self.headers.iter_mut().map(|(name, text)| (format!("header {name}"), text))).collect()
    }

    /// The longest time that its settings name.
    pub fn longest(&self) -> Duration {
        [self.timeout, self.interval, self.within, self.soak].into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::{Expect, From};

    fn health(header: &str) -> Health {
        let second = Duration::from_secs(1);
        Health {
            path: Some(format!("/health?key={header}")),
            url: None,
            from: From::Here,
            headers: [("Authorization".into(), format!("Bearer {header}")), ("Host".into(), "blog".into())].into(),
            expect: Expect { status: 200, body: Some("ok".into()), json: [("key".into(), header.into())].into() },
            timeout: second,
            interval: second,
            within: second * 2,
            successes: 1,
            soak: second,
            assets: false,
        }
    }

    #[test]
    fn a_secret_is_not_kept_and_is_as_it_is_today_when_it_is_needed() {
        let mask = Mask::new(["correct-horse".into()]);
        let kept = health("correct-horse").without(&mask);
        assert!(!serde_json::to_string(&kept).unwrap().contains("correct-horse"));
        assert_eq!(kept.filled(&health("staple-battery")), health("staple-battery"));
        assert_eq!((kept.headers["Host"].as_str(), kept.longest()), ("blog", Duration::from_secs(2)));
        let mut now = health("staple-battery");
        now.headers.insert("Host".into(), "shop".into());
        assert_eq!(kept.filled(&now).headers["Host"], "blog", "the rest is as it was");
    }
}
