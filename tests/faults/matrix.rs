//! The matrix: which service, verb, place and fault make a case, what it may end with, and the table that README shows.
//! Pure: `tests/docs.rs` makes the same table from it, so it must need nothing of the suite.

use std::fmt;

/// What runs the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    None,
    Command,
}

/// How the host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Ssh,
    Local,
}

/// What is asked for, and of what state of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verb {
    /// A deploy where nothing is live.
    First,
    /// A deploy over a good release, with an older one to remove.
    Deploy,
    /// Back to the release before.
    Rollback,
    /// A recovery of a switch that nobody committed.
    TakeBack,
    /// A recovery of a switch that was committed.
    Finish,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Every tool that the script calls from there on fails; a line of the user ends with 3.
    ScriptFails,
    /// This one call of the tool fails; the health look is answered with 500.
    ToolFails,
    /// It does not come back before its limit, or before the user gives up where the limit is longer than a test's.
    Hangs,
    /// It prints 10 MB first.
    Prints,
    /// The script that calls the tool is killed.
    ScriptKilled,
    /// The session's shell is killed.
    SessionKilled,
    /// shipit is killed.
    Killed,
    /// shipit is stopped until the host has given up, then goes on.
    Stopped,
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
    /// SIGINT, and again.
    InterruptedTwice,
    /// The TCP connection is closed at both ends.
    Cut,
    /// No byte moves until the host has given up; then the connection is closed.
    Silent,
    /// The home's disk is full from there on.
    DiskFull,
    /// The ssh master is killed.
    MasterDies,
    /// Another deploy starts.
    Second,
}

/// Where a run is stopped for the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// A call of this tool of the host whose arguments match this pattern of `case`, while this test is true.
    Tool(&'static str, &'static str, &'static str),
    /// A line of the user.
    Line(&'static str),
    /// shipit asks for the health address.
    Look,
    /// shipit tells that the step has begun; the run is held at the call of the next step's tool with these arguments,
    /// however quick it is.
    Event(&'static str, &'static str),
}

/// Who calls the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// The session's own shell.
    Session,
    /// A job of the session, a side channel, or a line of the user: a process group of its own.
    Script,
    /// This machine.
    Here,
}

/// What production is like at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing is switched.
    Before,
    /// Switched, or about to be.
    Switched,
    /// At the commit itself: either is right, as long as it is told.
    Committing,
    /// Final.
    After,
    /// A recovery: the host is in the state of an earlier run.
    Recovering,
}

/// A place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) step: &'static str,
    pub(crate) name: &'static str,
    pub(crate) at: At,
    pub(crate) owner: Owner,
    pub(crate) phase: Phase,
    /// Whether the run can't go on without what the tool does.
    pub(crate) vital: bool,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) service: Service,
    pub(crate) way: Way,
    pub(crate) verb: Verb,
    pub(crate) place: Place,
    pub(crate) fault: Fault,
}

const SERVICES: [Service; 2] = [Service::None, Service::Command];
const WAYS: [Way; 2] = [Way::Ssh, Way::Local];
const VERBS: [Verb; 5] = [Verb::First, Verb::Deploy, Verb::Rollback, Verb::TakeBack, Verb::Finish];

/// All of them.
pub(crate) const FAULTS: [Fault; 16] = [
    Fault::ScriptFails,
    Fault::ToolFails,
    Fault::Hangs,
    Fault::Prints,
    Fault::ScriptKilled,
    Fault::SessionKilled,
    Fault::Killed,
    Fault::Stopped,
    Fault::Terminated,
    Fault::Interrupted,
    Fault::InterruptedTwice,
    Fault::Cut,
    Fault::Silent,
    Fault::DiskFull,
    Fault::MasterDies,
    Fault::Second,
];

const fn tool(step: &'static str, name: &'static str, tool: &'static str, words: &'static str) -> Place {
    Place { step, name, at: At::Tool(tool, words, ":"), owner: Owner::Script, phase: Phase::Before, vital: true }
}

impl Place {
    const fn session(self) -> Place {
        Place { owner: Owner::Session, ..self }
    }

    const fn phase(self, phase: Phase) -> Place {
        Place { phase, ..self }
    }

    const fn optional(self) -> Place {
        Place { vital: false, ..self }
    }

    const fn at(self, at: At) -> Place {
        Place { at, ..self }
    }

    const fn here(self, at: At) -> Place {
        Place { owner: Owner::Here, at, ..self }
    }
}

/// Files are given to it; without any it is only asked whether it can be used.
const HASH: &str = "dgst -sha256 -r ?*";

const LOCK: Place = tool("connect", "lock", "ln", "*.shipit/lock.*").session().optional();
const NOTES: Place = tool("connect", "notes", "mkfifo", "*").session();
const FACTS: Place = tool("connect", "facts", "df", "*").session().optional();
const NOTED: Place = tool("connect", "what is live", "ln", "*/back/current").session();
const HELD: Place = tool("connect", "what can be reused", "", "")
    .at(At::Tool("openssl", HASH, r#"[ "${PWD##*/}" != tree ]"#))
    .optional();
const BUILD: Place = tool("build", "line", "", "").here(At::Line("build"));
const UNTAR: &str = "*-xof*";
const PACKAGE: Place = tool("package", "begin", "", "").here(At::Event("tar", UNTAR));
const PREFLIGHT: Place = tool("preflight", "begin", "", "").here(At::Event("tar", UNTAR));
const PREFLIGHT_BACK: Place = PREFLIGHT.at(At::Event("openssl", HASH));
const UNPACK: Place = tool("receive", "unpack", "tar", UNTAR);
const ARRIVED: Place =
    tool("receive", "verify", "", "").at(At::Tool("openssl", HASH, r#"[ "${PWD##*/}" = tree ]"#));
const NAME: Place = tool("receive", "name", "mv", "*stage/tree releases/*");
const HOOK: Place = tool("before_switch", "line", "", "").at(At::Line("before_switch"));
const CHECK: Place = tool("check", "verify", "openssl", HASH);
const JOURNAL: Place = tool("activate", "journal", "ln", "*.shipit/pending");
const SWITCH: Place = tool("activate", "switch", "mv", "*next/current .").phase(Phase::Switched);
const START: Place = tool("activate", "start", "", "").at(At::Line("start")).phase(Phase::Switched);
const LOOK: Place = tool("verify", "look", "", "").here(At::Look).phase(Phase::Switched);
const SOAK: Place = tool("verify", "soak", "sleep", "2").phase(Phase::Switched);
const STATUS: Place = tool("activate", "status", "", "").at(At::Line("status")).phase(Phase::Switched).optional();
const COMMIT: Place = tool("commit", "rename", "mv", "*pending .shipit/committed").session().phase(Phase::Committing);
const RECORD: Place = tool("commit", "record", "", "")
    .at(At::Tool("mv", "*.shipit/records/*", "[ -L .shipit/committed ]"))
    .phase(Phase::After)
    .optional();
const AFTER: Place = tool("after_switch", "line", "", "").at(At::Line("after_switch")).phase(Phase::After);
const PRUNE: Place = tool("prune", "trash", "mv", "*.shipit/trash/*").phase(Phase::After).optional();
const CLEAR: Place =
    tool("end", "notes", "rm", "-rf .shipit/t.????????????????").session().phase(Phase::After).optional();
const FREE: Place = tool("end", "lock", "ln", "-s free *").session().phase(Phase::After).optional();
const BACK: Place = tool("connect", "switch back", "mv", "*back/current .").phase(Phase::Recovering);
const JOURNAL_GONE: Place = tool("connect", "journal", "rm", "-f .shipit/pending").phase(Phase::Recovering);
const RECORD_LATE: Place = tool("connect", "record", "mv", "*.shipit/records/*").phase(Phase::Recovering);
const COMMIT_GONE: Place = tool("connect", "commit", "rm", "-f .shipit/committed").phase(Phase::Recovering);
const REVERT: Place = tool("connect", "revert", "", "").at(At::Line("revert")).phase(Phase::Recovering);

/// The places of a verb, in the order of its steps.
pub(crate) fn places(service: Service, verb: Verb) -> Vec<Place> {
    let command = |place| (service == Service::Command).then_some(place);
    let files = |place| (service == Service::None).then_some(place);
    let deploy = [Some(BUILD), Some(PACKAGE), Some(PREFLIGHT), Some(UNPACK), Some(ARRIVED), Some(NAME), Some(HOOK)];
    let switch = [
        Some(JOURNAL),
        Some(SWITCH),
        command(START),
        command(STATUS),
        Some(LOOK),
        files(SOAK),
        Some(COMMIT),
        Some(RECORD),
        Some(AFTER),
    ];
    let mut all = vec![Some(LOCK), Some(NOTES), (verb != Verb::First).then_some(NOTED), Some(FACTS)];
    match verb {
        Verb::First => all.extend(deploy),
        Verb::Deploy => {
            all.push(Some(HELD));
            all.extend(deploy);
        }
        Verb::Rollback => all.extend([Some(PREFLIGHT_BACK), Some(CHECK)]),
        Verb::TakeBack => all.extend([Some(BACK), command(REVERT), Some(JOURNAL_GONE)]),
        Verb::Finish => all.extend([Some(RECORD_LATE), Some(COMMIT_GONE)]),
    }
    if matches!(verb, Verb::First | Verb::Deploy | Verb::Rollback) {
        all.extend(switch);
        all.push((verb != Verb::First).then_some(PRUNE));
    }
    all.extend([Some(CLEAR), Some(FREE)]);
    all.into_iter().flatten().map(|place| placed(place, verb)).collect()
}

/// A recovery is never before or after a switch: it is in the middle of somebody else's.
fn placed(place: Place, verb: Verb) -> Place {
    match verb {
        Verb::TakeBack | Verb::Finish => place.phase(Phase::Recovering),
        _ => place,
    }
}

/// Whether the fault can happen there at all.
fn applies(way: Way, place: Place, fault: Fault) -> bool {
    let line = matches!(place.at, At::Line(_));
    let tool = matches!(place.at, At::Tool(..));
    match fault {
        Fault::ScriptFails => line || tool,
        Fault::ToolFails => tool || place.at == At::Look,
        Fault::Hangs | Fault::Prints => !matches!(place.at, At::Event(..)),
        // Where the session's own shell calls the tool, the script is the session.
        Fault::ScriptKilled => line || (tool && place.owner == Owner::Script),
        Fault::Cut | Fault::Silent | Fault::MasterDies => way == Way::Ssh,
        _ => true,
    }
}

/// Every case there is.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for service in SERVICES {
        for way in WAYS {
            for verb in VERBS {
                for place in places(service, verb) {
                    let faults = FAULTS.into_iter().filter(|fault| applies(way, place, *fault));
                    all.extend(faults.map(|fault| Case { service, way, verb, place, fault }));
                }
            }
        }
    }
    all
}

/// The daily set: for each service, verb, step and fault one case, in turn of another place of the step and another way.
pub(crate) fn daily() -> Vec<Case> {
    let all = cases();
    let group = |case: &Case| (case.service, verb(case), case.place.step, case.fault);
    let mut groups: Vec<_> = all.iter().map(group).collect();
    let mut seen = std::collections::HashSet::new();
    groups.retain(|key| seen.insert(*key));
    let one = |(number, key): (usize, &_)| {
        let mut same: Vec<&Case> = all.iter().filter(|case| group(case) == *key).collect();
        if same.iter().any(|case| !case.is_slow()) {
            same.retain(|case| !case.is_slow());
        }
        *same[(number * 7 + key.3 as usize) % same.len()]
    };
    groups.iter().enumerate().map(one).collect()
}

/// The word on the command line, but that a first deploy is one of its own.
fn verb(case: &Case) -> &'static str {
    match case.verb {
        Verb::Finish => Verb::TakeBack.word(),
        other => other.word(),
    }
}

/// What README shows between its marks: how many cases there are of each fault in each step.
pub(crate) fn table() -> String {
    let all = cases();
    let mut steps = vec!["connect"];
    for place in VERBS.into_iter().flat_map(|verb| places(Service::Command, verb)) {
        if !steps.contains(&place.step) {
            steps.push(place.step);
        }
    }
    let order = |step: &&str| ORDER.iter().position(|known| known == step);
    steps.sort_by_key(order);
    let row = |first: &str, cells: Vec<String>| format!("| {first} | {} |\n", cells.join(" | "));
    let mut text = row("", steps.iter().map(|step| format!("`{step}`")).collect());
    text += &row("---", steps.iter().map(|_| "---:".to_owned()).collect());
    for fault in FAULTS {
        let count = |step: &&str| all.iter().filter(|case| case.fault == fault && case.place.step == *step).count();
        let cells = steps.iter().map(count).map(|n| if n == 0 { String::new() } else { n.to_string() });
        text += &row(fault.word(), cells.collect());
    }
    let (all, daily) = (all.len(), daily().len());
    text + &format!(
        "\n{all} cases, by `tests/run faults --full`; {daily} of them, one of each service, verb, step and fault, by `tests/run faults`.\n"
    )
}

/// The steps as they follow each other.
const ORDER: [&str; 14] = [
    "connect",
    "build",
    "package",
    "preflight",
    "receive",
    "check",
    "before_switch",
    "boot_test",
    "activate",
    "verify",
    "commit",
    "after_switch",
    "prune",
    "end",
];

impl Case {
    /// Whether it waits out a limit of minutes that no config shortens.
    pub(crate) fn is_slow(&self) -> bool {
        self.fault == Fault::Hangs && matches!(self.place.name, "record" | "trash" | "journal" | "switch")
    }
}

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
