//! What is said of which answers.

#![cfg(test)]

use super::*;
use crate::plan::{Flags, Verb};
use crate::remote::Reply;

const PM2: &str = "[service.pm2]\nscript = 'server.js'\nport = 3000\n";

fn rows(service: &str, answers: &str) -> Vec<Row> {
    rows_with(service, answers, 0)
}

fn config(service: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deploy.toml");
    let text = format!(
        "app = 'it'\n[build]\npreset = 'files'\noutput = 'dist'\n{service}[stages.x]\nhosts = ['a@web1']\npath = '/srv/it'\n"
    );
    std::fs::write(&file, text).unwrap();
    Config::load(&file, None, &|_| None).unwrap()
}

fn rows_with(service: &str, answers: &str, removable: usize) -> Vec<Row> {
    let config = config(service);
    let plan = Plan::make(Verb::Deploy, &config, &Flags::default());
    let mut facts = Facts::default();
    let tools = ["tar", "gzip", "zstd", "base64", "sha256sum", "setsid", "find", "timeout"];
    let tools: String = tools.iter().map(|tool| format!("@fact {tool} yes\n")).collect();
    for line in format!("{tools}{answers}").lines() {
        assert_eq!(facts.take(Reply::parse(line).unwrap()), None, "{line}");
    }
    survey(&config.hosts[0], &config, &plan, &Seen { facts, removable, forwards: None, at: 1000 })
}

#[track_caller]
fn has(rows: &[Row], status: Status, about: &str, what: &str, cure: &str) {
    let found =
        |row: &&Row| row.status == status && row.about == about && row.what.contains(what) && row.cure.contains(cure);
    assert!(rows.iter().any(|row| found(&row)), "{about}: {what} ({cure}) in {rows:#?}");
}

#[test]
fn what_was_heard_is_said_with_its_cure() {
    let heard = "@fact node v22.1.0\n@fact pm2 5.4.0\n@fact daemon 5.3.1\n@fact service broken worker 0 is errored\n\
                 @fact health no connection\n@fact port unseen\n@fact boot_unit /etc/systemd/system/pm2-a.service\n\
                 @fact kills yes\n@fact linger yes\n@fact time 1090\n@fact user a\n@fact owner root\n@fact writable yes\n\
                 @warn PM2 runs 1 worker of it, the settings say 2\n@fact port unseen";
    let rows = rows(PM2, heard);
    has(&rows, Status::Warning, "pm2", "version 5.3.1, the command of 5.4.0", "pm2 update");
    has(&rows, Status::Warning, "service", "worker 0 is errored", "shipit status x");
    has(&rows, Status::Warning, "health", "no connection", "shipit status x");
    has(&rows, Status::Warning, "port", "3000 is held by a process that can't be seen", "ss -ltnp");
    has(&rows, Status::Warning, "logins", "in spite of its linger", "KillUserProcesses=no");
    has(&rows, Status::Warning, "clock", "90 s ahead", "timedatectl");
    has(&rows, Status::Warning, "preflight", "the settings say 2", "");
    has(&rows, Status::Note, "reboot", "lacks the app", "pm2 save");
    has(&rows, Status::Note, "path", "belongs to root", "chown");
    assert!(rows.iter().all(|row| row.status != Status::Refuses), "{rows:#?}");
}

#[test]
fn a_gap_is_said_by_the_plan_and_by_check_where_nothing_bridges_it() {
    let said = |service: &str| {
        let config = config(service);
        let plan = Plan::make(Verb::Deploy, &config, &Flags::default());
        let planned = plan.steps.into_iter().find(|planned| planned.step == crate::plan::Step::Activate).unwrap();
        (planned.how, here(&config, None))
    };
    let about = |rows: &[Row]| rows.iter().filter(|row| row.about == "activate").count();
    let (fork, rows) = said(&format!("{PM2}mode = 'fork'\n"));
    assert!(fork.ends_with("fork mode; nothing answers while it restarts"), "{fork}");
    has(&rows, Status::Note, "activate", "nothing answers", "blue-green behind [proxy.nginx] or [proxy.caddy]");
    let (stock, rows) = said(PM2);
    assert!(stock.ends_with("cluster mode; without drain a reload cuts connections in use"), "{stock}");
    has(&rows, Status::Note, "activate", "without drain", "drain = true");
    let bridged = [
        format!("{PM2}drain = true\n"),
        format!("{}mode = 'fork'\n[proxy.caddy]\nports = [3001, 3002]\n", PM2.replace("port = 3000\n", "")),
    ];
    for service in bridged {
        let (how, rows) = said(&service);
        assert!(how.ends_with(" mode"), "{how}");
        assert_eq!(about(&rows), 0, "{rows:#?}");
    }
}

#[test]
fn too_little_space_is_a_refusal_unless_old_releases_can_go_first() {
    let id = "20260321-140000-k3f9";
    let record = format!(
        "@record {{\"id\":\"{id}\",\"at\":\"2026-03-21T14:00:00Z\",\"who\":\"a@b\",\"artifact\":\"\",\"files\":10,\
         \"bytes\":50000000,\"app_dir\":\"\",\"shared\":{{\"dirs\":[],\"files\":[]}},\"service\":{{\"kind\":\"none\"}},\
         \"health\":{},\"state\":\"good\"}}",
        health()
    );
    let heard = |kb: u32| format!("@dir {id}\n@fact current {id}\n@fact current_is link\n{record}\n@fact free_kb {kb}");
    let tight = rows("", &heard(20_000));
    has(&tight, Status::Refuses, "disk", "20 MB free; the release of 50 MB needs", "shipit cleanup x");
    let two_can_go = rows_with("", &heard(20_000), 2);
    has(&two_can_go, Status::Warning, "disk", "a deploy first removes 2 old releases", "shipit cleanup x");
    let wide = rows("", &heard(90_000));
    has(&wide, Status::Ok, "disk", "92 MB free; the last release has 50 MB in 10 files", "");
    has(&wide, Status::Ok, "current", &format!("leads to {id}, good"), "");
}

/// A health as records have it.
fn health() -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deploy.toml");
    let text = "app = 'it'\n[build]\npreset = 'files'\noutput = 'd'\n[stages.x]\nhosts = ['local']\npath = '/srv/it'\n";
    std::fs::write(&file, text).unwrap();
    serde_json::to_string(&Config::load(&file, None, &|_| None).unwrap().health).unwrap()
}
