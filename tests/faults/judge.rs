//! What a case may come to. Shares nothing with shipit: the tree is walked and hashed, processes are read from /proc, and
//! the exit code and the last line are held against what is found.

use std::fs;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::matrix::{At, Case, Fault, Owner, Phase, Service, Verb, Way};
use crate::support::asks::Load;
use crate::support::process;
use crate::support::shipit::Output;
use crate::support::site::Live;

/// Nobody may have lost an answer.
pub(crate) fn lossless(load: Option<Load>) -> Result<(), String> {
    let Some((good, lost)) = load.map(Load::end) else { return Ok(()) };
    match &lost[..] {
        [] if good > 0 => Ok(()),
        _ => {
            Err(format!("{} of {} requests were lost: {:?}", lost.len(), good + lost.len(), &lost[..lost.len().min(3)]))
        }
    }
}

/// What was so before the fault.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    /// What was live; none: nothing was.
    pub(crate) live: Option<String>,
    /// What an unfinished switch of an earlier run had made live.
    pub(crate) left: Option<String>,
    /// The link itself, and the process that serves.
    pub(crate) link: Option<u64>,
    pub(crate) servers: Vec<u32>,
}

/// How long the host may take to put itself right once nobody is left to tell it: `rollout.silence`, a hook that is
/// ended, and a machine under load.
const ALONE: Duration = Duration::from_secs(25);

/// No run takes longer, in seconds, however loaded the machine is: what took so long was a limit of minutes.
const LONGEST: f64 = 90.0;

/// The exit codes that the case may have; none: it was killed.
pub(crate) fn codes(case: &Case) -> &'static [Option<i32>] {
    const DONE: &[Option<i32>] = &[Some(0)];
    let Case { place, fault, verb, .. } = case;
    if *fault == Fault::Killed {
        // It may have been over before the signal came.
        return &[None, Some(0)];
    }
    let hook = place.at == At::Line("after_switch");
    match (place.phase, fault) {
        (Phase::Back, Fault::Interrupted | Fault::Terminated) => &[Some(4), Some(130)],
        (Phase::Back, Fault::InterruptedTwice) => &[Some(4), Some(130), Some(5)],
        (Phase::Back, Fault::Hangs) if place.vital => &[Some(4), Some(130), Some(5)],
        (Phase::Back, Fault::ToolFails | Fault::ScriptFails | Fault::ScriptKilled) if place.vital => {
            &[Some(4), Some(5)]
        }
        (Phase::Back, _) => &[Some(4)],
        // It is asked again until it says yes, or its limit is over.
        (Phase::Switched, Fault::ToolFails | Fault::ScriptFails | Fault::ScriptKilled | Fault::Hangs)
            if !place.vital =>
        {
            &[Some(0), Some(4)]
        }
        (_, Fault::Prints) | (_, Fault::Second) => DONE,
        (Phase::Recovering, Fault::Interrupted | Fault::Terminated | Fault::InterruptedTwice) => {
            &[Some(0), Some(130), Some(5)]
        }
        (Phase::Recovering, _) => &[Some(0), Some(1), Some(5), Some(130)],
        // `activate` has been asked for: whoever stops listening can't know.
        (Phase::Before, Fault::InterruptedTwice) if place.step == "activate" => &[Some(130), Some(5)],
        (Phase::Before, Fault::Interrupted | Fault::Terminated | Fault::InterruptedTwice) => &[Some(130)],
        (Phase::Before, Fault::Hangs) if !matches!(place.at, At::Line("before_switch" | "candidate")) => &[Some(130)],
        // What could not be made of the release that lies there is sent whole, and then all is well.
        (Phase::Before, Fault::ToolFails | Fault::ScriptFails | Fault::ScriptKilled)
            if place.step == "receive" && *verb == Verb::Deploy =>
        {
            &[Some(1), Some(0)]
        }
        // Whatever needs the space first.
        (Phase::Before, Fault::DiskFull) => &[Some(1), Some(4), Some(0)],
        (Phase::Before, Fault::ToolFails | Fault::ScriptKilled) if !place.vital => DONE,
        // A session whose every tool fails from its start on may find that out late.
        (Phase::Before, Fault::ScriptFails) if !place.vital => &[Some(0), Some(1), Some(4)],
        // The switch may begin, and then be taken back, where the journal was not what failed.
        (Phase::Before, _) if place.step == "activate" => &[Some(1), Some(4)],
        (Phase::Before, _) if *verb == Verb::First || place.owner != Owner::Here => &[Some(1)],
        (Phase::Before, _) => &[Some(1)],
        (Phase::Switched, Fault::Interrupted | Fault::Terminated) => &[Some(130)],
        (Phase::Switched, Fault::InterruptedTwice) => &[Some(5), Some(130)],
        (Phase::Switched, Fault::Hangs) => &[Some(4), Some(130)],
        (Phase::Switched, Fault::DiskFull) => &[Some(4), Some(0)],
        // The channel's shell is gone, not the watch: on this machine its answer is heard all the same.
        (Phase::Switched, Fault::ScriptKilled) if place.name == "soak" && case.way == Way::Local => &[Some(0), Some(4)],
        (Phase::Switched, _) => &[Some(4)],
        (Phase::Committing, Fault::Interrupted | Fault::Terminated | Fault::DiskFull) => &[Some(0), Some(4), Some(130)],
        (Phase::Committing, Fault::InterruptedTwice | Fault::Hangs) => &[Some(0), Some(4), Some(130), Some(5)],
        (Phase::Committing, Fault::ToolFails | Fault::ScriptFails) => &[Some(4)],
        (Phase::Committing, _) => &[Some(0), Some(4)],
        (Phase::After, Fault::InterruptedTwice) => &[Some(0), Some(5), Some(6)],
        (Phase::After, _) if hook => &[Some(6), Some(0)],
        (Phase::After, _) => DONE,
    }
}

/// Holds the exit code, the last line and the host against each other. What is live then.
pub(crate) fn judge(bench: &Bench, case: &Case, before: &Before, output: &Output) -> Result<Live, String> {
    if !codes(case).contains(&output.code) {
        return Err(format!("exit code {:?}, where one of {:?} is right", output.code, codes(case)));
    }
    let events = output.events();
    let release = events.iter().find(|event| event.kind() == "release").map(|event| event.text("release").to_owned());
    let old = || before.live.clone().map_or(Live::Nothing, Live::Old);
    let new = || release.clone().map(Live::New);
    let left = || before.left.clone().map(Live::New);
    let mut right: Vec<Live> = match (case.verb, output.code) {
        (Verb::TakeBack, Some(0)) => vec![old()],
        (Verb::Finish, Some(0)) => left().into_iter().collect(),
        (Verb::TakeBack | Verb::Finish, _) => left().into_iter().chain([old()]).collect(),
        (_, Some(0 | 6)) => new().into_iter().collect(),
        (_, Some(1..=4 | 130)) => vec![old()],
        _ => new().into_iter().chain([old()]).collect(),
    };
    match case.place.phase {
        Phase::Before => right.retain(|live| *live == old() || output.code == Some(0)),
        Phase::After => right.retain(|live| matches!(live, Live::New(_))),
        _ => {}
    }
    // What is told to be so must be so now; only where nobody is left to tell does the host get its time.
    let told = matches!(output.code, Some(0..=4 | 6 | 130)) && !matches!(case.verb, Verb::TakeBack | Verb::Finish);
    if told && !right.iter().any(|live| live.id() == bench.site.current().as_deref()) {
        return Err(format!("current is {:?}, where it says {right:?}", bench.site.current()));
    }
    if matches!(output.code, Some(1..=3)) && case.place.phase != Phase::Recovering {
        let (link, servers) = (bench.link(), bench.servers());
        if (link, &servers) != (before.link, &before.servers) {
            return Err(format!("code {:?}, nothing was touched: {before:?}, now {link:?} {servers:?}", output.code));
        }
    }
    let took = events.last().and_then(|event| event.0["seconds"].as_f64()).unwrap_or(0.0);
    // Blue-green starts one app and ends another, and each is asked of PM2 again and again.
    let longest = if case.service == Service::Colours { LONGEST * 2.0 } else { LONGEST };
    if took > longest && !case.is_slow() {
        return Err(format!("it took {took} s"));
    }
    last_line(output, &right)?;
    let live = settles(bench, case, &right, output.code)?;
    // What the next contact is to put right may still be half begun.
    if !next_contact(case, output.code) {
        bench.listed(live.id())?;
    }
    Ok(live)
}

/// The last line is the run's end; it has the exit code, and names what is live.
fn last_line(output: &Output, right: &[Live]) -> Result<(), String> {
    let Some(code) = output.code else { return Ok(()) };
    let events = output.events();
    let last = events.last().filter(|event| event.kind() == "ended").ok_or("the last line is not the run's end")?;
    if last.0["code"] != code {
        return Err(format!("the last line says code {}", last.0["code"]));
    }
    let state = last.text("state");
    for live in right.iter().filter_map(Live::id) {
        if matches!(code, 0 | 4 | 6) && right.len() == 1 && !state.contains(live) && !state.contains("left unfinished")
        {
            return Err(format!("the last line does not name {live}: {state}"));
        }
    }
    if (code == 5) != (state.starts_with("not known") || state.starts_with("mixed")) {
        return Err(format!("code {code}, and the last line says: {state}"));
    }
    Ok(())
}

/// Whether what is left needs the next contact: shipit told so, or nobody could clear it away.
pub(crate) fn next_contact(case: &Case, code: Option<i32>) -> bool {
    match case.fault {
        // A human must look, and has been told.
        _ if code == Some(5) => true,
        // What could not be written down after the commit is the next run's to write.
        Fault::ScriptFails | Fault::ToolFails | Fault::Hangs if case.place.name == "record" => true,
        // The old colour runs on, without requests, until its place is needed.
        Fault::ScriptFails | Fault::ToolFails if matches!(case.place.name, "colour end" | "pm2 delete") => true,
        // The session itself can't do anything any more.
        Fault::ScriptFails | Fault::ToolFails => {
            case.place.owner == Owner::Session || case.place.phase == Phase::Recovering
        }
        Fault::SessionKilled | Fault::ScriptKilled => {
            matches!(case.place.phase, Phase::Back | Phase::After | Phase::Recovering)
        }
        // Notes that the full disk did not take.
        Fault::DiskFull => true,
        _ => case.place.phase == Phase::Recovering,
    }
}

fn settles(bench: &Bench, case: &Case, right: &[Live], code: Option<i32>) -> Result<Live, String> {
    let back = code == Some(5) && case.place.phase == Phase::Back;
    let until = Instant::now() + ALONE;
    loop {
        let found = right.iter().find(|live| live.id() == bench.site.current().as_deref());
        let whole = match found {
            None => Err(format!("current is {:?}, not one of {right:?}", bench.site.current())),
            Some(live) => bench
                .site
                .check(live)
                .and_then(|()| serves(bench, live))
                .and_then(|()| works(bench))
                .map(|()| live.clone()),
        };
        match whole {
            Ok(live) => return Ok(live),
            Err(_)
                if next_contact(case, code)
                    && found.is_some_and(|live| {
                        recovering(case) || back || serves(bench, live).is_ok() || bench.leads_to(live.id())
                    })
                    && idle(bench) =>
            {
                return Ok(found.expect("just seen").clone());
            }
            Err(why) if Instant::now() > until => return Err(format!("{why}\n{}", listing(bench))),
            Err(_) => std::thread::sleep(Duration::from_millis(25)),
        }
    }
}

fn recovering(case: &Case) -> bool {
    case.place.phase == Phase::Recovering
}

/// The service is what is live, and nothing else of it runs.
pub(crate) fn serves(bench: &Bench, live: &Live) -> Result<(), String> {
    match (bench.service, live.id()) {
        (Service::None, _) => Ok(()),
        (_, None) if bench.servers().is_empty() => bench.colourless(),
        (_, None) => Err(format!("it runs: {:?}", bench.servers())),
        (_, Some(id)) => match bench.serves()? {
            (release, _) if release == id => Ok(()),
            (release, pid) => Err(format!("process {pid} runs {release}, not {id}")),
        },
    }
}

fn idle(bench: &Bench) -> bool {
    bench.strangers().is_empty()
}

/// Nothing of a run works in the home any more.
fn works(bench: &Bench) -> Result<(), String> {
    let left: Vec<String> = bench.strangers().iter().map(|pid| process::command_line(*pid)).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("in the home there still runs {left:?}")) }
}

/// The state directory, for a failing case.
fn listing(bench: &Bench) -> String {
    let shown =
        bench.site.listing().into_keys().filter(|path| !path.starts_with("releases") && path.components().count() < 5);
    let lines: Vec<String> = shown.map(|path| path.display().to_string()).collect();
    let locks = fs::read_dir(bench.site.dir.join(".shipit"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    format!("{}\nlinks: {:?}", lines.join("\n"), locks.collect::<Vec<_>>())
}
