//! One look at a service: a request, and whether the answer is what the config expects. Knows nothing of hosts.

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::collections::BTreeMap;

use crate::config::{Expect, Health};
use crate::error::{Error, Result};
use crate::text::clean;
use crate::transport::Endpoint;

/// The most of a body that is read.
const LARGEST: usize = 2 << 20;

/// A client for one endpoint.
#[derive(Debug)]
pub(super) struct Look {
    client: Client,
    headers: BTreeMap<String, String>,
}

/// What was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Whether there was an answer at all.
    pub(super) answered: bool,
    /// For people, with what was answered.
    pub(super) why: String,
}

/// An answer, whatever it says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it calls itself HTML.
    pub html: bool,
    /// The body, as far as it is read.
    pub body: Vec<u8>,
}

impl Look {
    /// A client that reaches its server at `endpoint` and sends the health check's headers. Each request opens a
    /// connection of its own: a kept one would always ask the same worker.
    pub(super) fn new(endpoint: &Endpoint, health: &Health) -> Result<Look> {
        let mut builder = Client::builder()
            .timeout(health.timeout)
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .user_agent(concat!("shipit/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Endpoint::Socket(path) = endpoint {
            builder = builder.unix_socket(path.as_path());
        }
        let client = builder.build().map_err(|error| Error::Usage {
            what: format!("no HTTP client can be made: {error}"),
            hint: String::new(),
        })?;
        Ok(Look { client, headers: health.headers.clone() })
    }

    /// Asks once. The error is a sentence for people.
    pub(super) async fn ask(&self, url: &Url) -> std::result::Result<Answer, String> {
        let mut request = self.client.get(url.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| reason(&error))?;
        let html = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with("text/html"));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() >= LARGEST {
                break;
            }
        }
        Ok(Answer { status, html, body })
    }

    /// Asks once and holds the answer against what is expected.
    pub(super) async fn healthy(&self, url: &Url, expect: &Expect) -> std::result::Result<(), Fault> {
        let answer = self.ask(url).await.map_err(|why| Fault { answered: false, why })?;
        meets(&answer, expect).map_err(|why| Fault { answered: true, why: format!("{} {why}", url.path()) })
    }

    /// Fetches one asset that the page at `url` names. Ok(None) where there is no page or it names none.
    pub(super) async fn asset(&self, url: &Url) -> std::result::Result<Option<String>, String> {
        let page = self.ask(url).await?;
        if page.status != 200 || !page.html {
            return Ok(None);
        }
        let Some(path) = named_asset(&String::from_utf8_lossy(&page.body)) else { return Ok(None) };
        let Ok(asset) = url.join(&path) else { return Ok(None) };
        if asset.host_str() != url.host_str() {
            return Ok(None);
        }
        let answer = self.ask(&asset).await?;
        if answer.status == 200 {
            Ok(Some(path))
        } else {
            Err(format!("the asset {} answers {}", clean(&path, 200), answer.status))
        }
    }
}

/// Whether an answer is what is expected; why not, with what was answered.
fn meets(answer: &Answer, expect: &Expect) -> std::result::Result<(), String> {
    let text = String::from_utf8_lossy(&answer.body);
    let said = || clean(text.trim(), 200);
    if answer.status != expect.status {
        return Err(format!("answers {}, expected {}: {}", answer.status, expect.status, said()));
    }
    if let Some(body) = &expect.body
        && !text.contains(body.as_str())
    {
        return Err(format!("answers without `{}`: {}", clean(body, 80), said()));
    }
    if !expect.json.is_empty() {
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|_| format!("answers no JSON: {}", said()))?;
        for (path, value) in &expect.json {
            let found = path.split('.').try_fold(&json, |at, key| at.get(key));
            if found != Some(value) {
                let found = found.map_or("absent".to_owned(), ToString::to_string);
                return Err(format!("answers {} = {}, expected {value}", clean(path, 80), clean(&found, 80)));
            }
        }
    }
    Ok(())
}

/// The first script or style sheet of the site itself that a page names. In an attribute `&` is written `&amp;`.
fn named_asset(html: &str) -> Option<String> {
    let ends = [".js", ".mjs", ".css"];
    html.split(['"', '\'', ' ', '>']).find_map(|word| {
        let path = word.split(['?', '#']).next()?;
        let local = (path.starts_with('/') && !path.starts_with("//")) || path.starts_with("./");
        (local && ends.iter().any(|end| path.ends_with(end))).then(|| word.replace("&amp;", "&"))
    })
}

/// What went wrong with a request, down to its cause. A forward accepts for a port where nobody listens and then
/// closes, so a reset means the same as a refusal.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let cause = cause.to_string();
    if ["reset", "closed", "refused", "incomplete", "Broken pipe"].iter().any(|word| cause.contains(word)) {
        return format!("nobody answers ({})", clean(&cause, 120));
    }
    clean(&cause, 200)
}

/// Tries until `health.successes` looks in a row are good, for at most `health.within` or until `hopeless` says so after
/// a bad one. The error is the last answer.
pub(super) async fn until_healthy(
    look: &Look,
    url: &Url,
    health: &Health,
    hopeless: impl Fn() -> bool,
) -> std::result::Result<(), String> {
    let until = tokio::time::Instant::now() + health.within;
    let mut row = 0;
    loop {
        let last = match look.healthy(url, &health.expect).await {
            Ok(()) => {
                row += 1;
                if row >= health.successes.max(1) {
                    return Ok(());
                }
                None
            }
            Err(fault) => {
                if hopeless() {
                    return Err(fault.why);
                }
                row = 0;
                Some(fault.why)
            }
        };
        if tokio::time::Instant::now() + health.interval > until {
            return Err(last.unwrap_or_else(|| "too few good answers in a row".into()));
        }
        tokio::time::sleep(health.interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, html: false, body: body.into() }
    }

    #[test]
    fn an_answer_is_held_against_status_body_and_json() {
        let mut expect = Expect { status: 200, body: None, json: BTreeMap::new() };
        assert!(meets(&answer(200, "x"), &expect).is_ok());
        assert_eq!(meets(&answer(500, "boom"), &expect), Err("answers 500, expected 200: boom".into()));
        expect.body = Some("fine".into());
        assert!(meets(&answer(200, "all fine"), &expect).is_ok());
        assert!(meets(&answer(200, "bad"), &expect).is_err());
        expect.body = None;
        expect.json.insert("db.status".into(), "up".into());
        assert!(meets(&answer(200, r#"{"db":{"status":"up"}}"#), &expect).is_ok());
        assert_eq!(
            meets(&answer(200, r#"{"db":{"status":"down"}}"#), &expect),
            Err("answers db.status = \"down\", expected \"up\"".into())
        );
        assert!(meets(&answer(200, "<p>"), &expect).is_err());
    }

    #[test]
    fn the_first_local_script_or_style_is_an_asset() {
        let html = r#"<link rel="x" href="//cdn/x.css"><script src="/_next/static/a.js?dpl=1" async></script>"#;
        assert_eq!(named_asset(html), Some("/_next/static/a.js?dpl=1".into()));
        let html = r#"<link href="/a.css?v=1&amp;dpl=2">"#;
        assert_eq!(named_asset(html), Some("/a.css?v=1&dpl=2".into()));
        assert_eq!(named_asset("<p>none</p>"), None);
    }
}
