//! The matrix: which service, verb, place and fault make a case. Pure: `tests/docs.rs` makes README's table from it, so it
//! must need nothing of the suite. Places are in `places`, what is played daily in `choice`, how all is named in `words`.

mod choice;
mod places;
mod words;

pub(crate) use choice::{daily, left_over};
pub(crate) use places::places;
pub(crate) use words::table;

/// What runs the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    None,
    Command,
    Pm2,
    /// Two of PM2's apps behind a proxy, of which one is live: blue-green.
    Colours,
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
    /// A deploy whose commit can't be written, so that it is taken back: the fault is on the way back.
    Undone,
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
    /// A line of the user, or the user's program.
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
    /// A program in somebody else's process group.
    Program,
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
    /// On the way back.
    Back,
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

const SERVICES: [Service; 4] = [Service::None, Service::Command, Service::Pm2, Service::Colours];
const WAYS: [Way; 2] = [Way::Ssh, Way::Local];
const VERBS: [Verb; 6] = [Verb::First, Verb::Deploy, Verb::Undone, Verb::Rollback, Verb::TakeBack, Verb::Finish];

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

/// Whether the fault can happen there at all.
fn applies(way: Way, place: Place, fault: Fault) -> bool {
    let line = matches!(place.at, At::Line(_));
    let tool = matches!(place.at, At::Tool(..));
    match fault {
        // What a program of a group of its own calls is that one tool.
        Fault::ScriptFails => line || (tool && place.owner != Owner::Program),
        Fault::ToolFails => tool || place.at == At::Look,
        Fault::Hangs | Fault::Prints => !matches!(place.at, At::Event(..)),
        // Where the session's own shell calls the tool, the script is the session.
        Fault::ScriptKilled => line || (tool && matches!(place.owner, Owner::Script | Owner::Program)),
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

impl Case {
    /// Whether PM2 has no part in it: such a case takes a second or two of a core.
    pub(crate) fn is_light(&self) -> bool {
        matches!(self.service, Service::None | Service::Command)
    }

    /// Whether it waits out a limit that no config shortens.
    pub(crate) fn is_slow(&self) -> bool {
        let name = self.place.name;
        let minutes =
            matches!(name, "record" | "trash" | "journal" | "switch" | "switch back" | "journal's end" | "rename");
        let long = minutes || ["pm2 ", "proxy ", "colour "].iter().any(|kind| name.starts_with(kind));
        self.fault == Fault::Hangs && long
    }
}
