//! How cases are named, and the table that README shows.

use std::fmt;

use super::{Case, FAULTS, Fault, SERVICES, Service, Verb, Way, cases, daily};

/// What README shows between its marks: how many cases there are of each fault in each step.
pub(crate) fn table() -> String {
    let all = cases();
    let mut steps: Vec<&str> = Vec::new();
    for case in &all {
        if !steps.contains(&case.place.step) {
            steps.push(case.place.step);
        }
    }
    steps.sort_by_key(|step| ORDER.iter().position(|known| known == step));
    let row = |first: &str, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let mut text = row("", steps.iter().map(|step| format!("`{step}`")).collect());
    text += &row("---", steps.iter().map(|_| "---:".to_owned()).collect());
    for fault in FAULTS {
        let count = |step: &&str| all.iter().filter(|case| case.fault == fault && case.place.step == *step).count();
        let cells = steps.iter().map(count).map(|n| if n == 0 { String::new() } else { n.to_string() });
        text += &row(fault.word(), cells.collect());
    }
    let of = |cases: &[Case], service: Service| cases.iter().filter(|case| case.service == service).count();
    let split = |cases: &[Case]| {
        let [none, command, pm2, colours] = SERVICES.map(|service| of(cases, service));
        format!(
            "{none} of files only, {command} of a service of one's own lines, {pm2} of PM2, {colours} of blue-green"
        )
    };
    let daily = daily();
    let (every, some) = (all.len(), daily.len());
    text + &format!(
        "\n{every} cases by `tests/run faults --full`: {}.\n\n{some} of them by `tests/run faults`: {}.\n",
        split(&all),
        split(&daily)
    )
}

/// The steps as they follow each other.
const ORDER: [&str; 16] = [
    "connect",
    "build",
    "package",
    "preflight",
    "receive",
    "check",
    "before_switch",
    "boot_test",
    "activate",
    "shift",
    "verify",
    "revert",
    "commit",
    "after_switch",
    "prune",
    "end",
];

impl Fault {
    /// In the table and in a case's name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Fault::ScriptFails => "the script fails",
            Fault::ToolFails => "the tool fails",
            Fault::Hangs => "the tool hangs",
            Fault::Prints => "the tool prints 10 MB",
            Fault::ScriptKilled => "the script is killed",
            Fault::SessionKilled => "the session is killed",
            Fault::Killed => "shipit is killed",
            Fault::Stopped => "shipit is stopped",
            Fault::Terminated => "SIGTERM",
            Fault::Interrupted => "SIGINT",
            Fault::InterruptedTwice => "SIGINT twice",
            Fault::Cut => "the connection is cut",
            Fault::Silent => "the connection goes silent",
            Fault::DiskFull => "the disk is full",
            Fault::MasterDies => "the ssh master dies",
            Fault::Second => "a second deploy starts",
        }
    }
}

impl Service {
    fn word(self) -> &'static str {
        match self {
            Service::None => "none",
            Service::Command => "command",
            Service::Pm2 => "pm2",
            Service::Colours => "blue-green",
        }
    }
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Way::Ssh => "ssh",
            Way::Local => "local",
        }
    }
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::First => "first deploy",
            Verb::Deploy => "deploy",
            Verb::Undone => "deploy (taken back)",
            Verb::Rollback => "rollback",
            Verb::TakeBack => "recover",
            Verb::Finish => "recover (committed)",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { service, way, verb, place, fault } = self;
        let (service, way, verb) = (service.word(), way.word(), verb.word());
        write!(f, "{service}, {way}, {verb}, {}/{}: {}", place.step, place.name, fault.word())
    }
}
