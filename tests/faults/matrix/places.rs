//! Where a run can be stopped: calls of the host's tools, lines of the user, the health look, moments that shipit tells.
//! Each is one event of a run, known by the tool's own words; nothing of shipit's code is changed or asked.

use super::{At, Owner, Phase, Place, Service, Verb};

const fn tool(step: &'static str, name: &'static str, tool: &'static str, words: &'static str) -> Place {
    Place { step, name, at: At::Tool(tool, words, ":"), owner: Owner::Script, phase: Phase::Before, vital: true }
}

const fn line(step: &'static str, line: &'static str) -> Place {
    tool(step, "line", "", "").at(At::Line(line))
}

/// What PM2's driver tells PM2 to do.
const fn pm2(step: &'static str, name: &'static str, words: &'static str) -> Place {
    let place = tool(step, name, "pm2", words);
    Place { owner: Owner::Program, ..place }
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

    const fn named(self, name: &'static str) -> Place {
        Place { name, ..self }
    }

    const fn of_step(self, step: &'static str) -> Place {
        Place { step, ..self }
    }

    const fn program(self) -> Place {
        Place { owner: Owner::Program, ..self }
    }

    /// The same on the way back of a run.
    const fn back(self) -> Place {
        Place { step: "revert", phase: Phase::Back, ..self }
    }
}

/// The same, as it is told of the colours.
const fn colours(step: &'static str, name: &'static str, tool_: &'static str, words: &'static str) -> Place {
    tool(step, name, tool_, words).phase(Phase::Switched)
}

/// Files are given to it; without any it is only asked whether it can be used.
const HASH: &str = "dgst -sha256 -r ?*";
const UNTAR: &str = "*-xof*";

const LOCK: Place = tool("connect", "lock", "ln", "*.shipit/lock.*").session().optional();
const NOTES: Place = tool("connect", "notes", "mkfifo", "*").session();
const FACTS: Place = tool("connect", "facts", "df", "*").session().optional();
const NOTED: Place = tool("connect", "what is live", "ln", "*/back/current").session();
const BASELINE: Place = tool("connect", "what runs", "node", "*service.cjs baseline");
const HELD: Place = tool("connect", "what can be reused", "", "")
    .at(At::Tool("openssl", HASH, r#"[ "${PWD##*/}" != tree ]"#))
    .optional();
const BUILD: Place = line("build", "build").here(At::Line("build"));
const PACKAGE: Place = tool("package", "begin", "", "").here(At::Event("tar", UNTAR));
const PREFLIGHT: Place = tool("preflight", "begin", "", "").here(At::Event("tar", UNTAR));
const PREFLIGHT_BACK: Place = PREFLIGHT.at(At::Event("openssl", HASH));
const UNPACK: Place = tool("receive", "unpack", "tar", UNTAR);
const ARRIVED: Place = tool("receive", "verify", "", "").at(At::Tool("openssl", HASH, r#"[ "${PWD##*/}" = tree ]"#));
const NAME: Place = tool("receive", "name", "mv", "*stage/tree releases/*");
const PREPARE: Place = tool("receive", "service", "node", "*service.cjs prepare");
const CHECK: Place = tool("check", "verify", "openssl", HASH);
const HOOK: Place = line("before_switch", "before_switch");
const BOOT: Place = tool("boot_test", "driver", "node", "*service.cjs boot*");
const CANDIDATE: Place = line("boot_test", "candidate").named("candidate");
const JOURNAL: Place = tool("activate", "journal", "ln", "*.shipit/pending");
const SWITCH: Place = tool("activate", "switch", "mv", "*next/current .").phase(Phase::Switched);
const START: Place = line("activate", "start").named("start").phase(Phase::Switched);
const STATUS: Place = line("activate", "status").named("status").phase(Phase::Switched).optional();
const PM2_START: Place = pm2("activate", "pm2 start", "start *").phase(Phase::Switched);
const PM2_RELOAD: Place = pm2("activate", "pm2 reload", "reload *").phase(Phase::Switched);
const WORKER: Place = line("activate", "worker").named("worker").program().phase(Phase::Switched);
const LOOK: Place = tool("verify", "look", "", "").here(At::Look).phase(Phase::Switched);
const SOAK: Place = tool("verify", "soak", "sleep", "2").phase(Phase::Switched);
const WATCH: Place = tool("verify", "soak", "node", "*service.cjs watch*").phase(Phase::Switched);
const COMMIT: Place = tool("commit", "rename", "mv", "*pending .shipit/committed").session().phase(Phase::Committing);
const RECORD: Place = tool("commit", "record", "", "")
    .at(At::Tool("mv", "*.shipit/records/*", "[ -L .shipit/committed ]"))
    .phase(Phase::After)
    .optional();
const SAVE: Place = pm2("commit", "pm2 save", "save *").phase(Phase::After).optional();
const AFTER: Place = line("after_switch", "after_switch").phase(Phase::After);
const PRUNE: Place = tool("prune", "trash", "mv", "*.shipit/trash/*").phase(Phase::After).optional();
const CLEAR: Place =
    tool("end", "notes", "rm", "-rf .shipit/t.????????????????").session().phase(Phase::After).optional();
const FREE: Place = tool("end", "lock", "ln", "-s free *").session().phase(Phase::After).optional();
const BACK: Place = tool("connect", "switch back", "mv", "*back/current .").phase(Phase::Recovering);
const JOURNAL_GONE: Place = tool("connect", "journal's end", "rm", "-f .shipit/pending").phase(Phase::Recovering);
const RECORD_LATE: Place = tool("connect", "record", "mv", "*.shipit/records/*").phase(Phase::Recovering);
const COMMIT_GONE: Place = tool("connect", "commit", "rm", "-f .shipit/committed").phase(Phase::Recovering);
const REVERT: Place = line("connect", "revert").named("revert").phase(Phase::Recovering);
const PM2_REVERT: Place = tool("connect", "driver", "node", "*service.cjs revert").phase(Phase::Recovering);
/// Where it can't be reloaded without a gap it is stopped and started.
const PM2_BACK: Place = pm2("connect", "pm2 reload", "re[ls]*").phase(Phase::Recovering);
const PM2_SAVE_LATE: Place = pm2("connect", "pm2 save", "save *").phase(Phase::Recovering);
/// The proxy's own lines; in `connect` nothing is begun.
const PROXY_KNOWN: Place = tool("connect", "proxy test", "line-test", "*");
const COLOUR_STOP: Place = colours("activate", "colour stop", "node", "*service.cjs stop");
const COLOUR_LINK: Place = colours("activate", "colour link", "mv", "*.shipit/t.*/next/* colours/");
/// Both colours, before anybody is led to the new one.
const BOTH_SAVED: Place = colours("shift", "pm2 save", "node", "*service.cjs save");
const COLOUR_SAVE: Place =
    tool("commit", "pm2 save", "node", "*service.cjs commit").program().phase(Phase::After).optional();
const PROXY_FILE: Place = colours("shift", "proxy file", "mv", "*/upstream.new *");
const PROXY_TEST: Place =
    tool("shift", "proxy test", "", "").at(At::Tool("line-test", "*", "[ -L .shipit/pending ]")).phase(Phase::Switched);
const PROXY_RELOAD: Place = colours("shift", "proxy reload", "line-reload", "*");
/// The first one that shipit takes: where something was live, before anybody is led to the new colour.
const COLOUR_LOOK: Place = LOOK.of_step("shift");
/// Before anybody is led to the new colour.
const ALONE: Place = colours("shift", "soak", "node", "*service.cjs watch*");
/// While half of the requests go to the new colour.
const SHARE: Place = tool("shift", "share", "", "")
    .at(At::Tool("node", "*service.cjs watch*", "[ -e .shipit/t.*/led ]"))
    .phase(Phase::Switched);
const COLOUR_SWITCH: Place = colours("shift", "colour switch", "mv", "*next/current .");
const COLOUR_SOAK: Place = tool("verify", "soak", "", "")
    .at(At::Tool("node", "*service.cjs watch*", "[ -e .shipit/t.*/whole ]"))
    .phase(Phase::Switched);
const COLOUR_DRAIN: Place = tool("commit", "drain", "grep", "*/proc/net/tcp*").phase(Phase::After).optional();
const COLOUR_END: Place = tool("commit", "colour end", "", "")
    .at(At::Tool("node", "*service.cjs stop", "[ -L .shipit/committed ]"))
    .phase(Phase::After)
    .optional();
const PM2_DELETE: Place = pm2("commit", "pm2 delete", "delete *").phase(Phase::After).optional();
const PROXY_FILE_BACK: Place = tool("connect", "proxy file", "mv", "*back/upstream *").phase(Phase::Recovering);
const PROXY_RELOAD_BACK: Place = tool("connect", "proxy reload", "line-reload", "*").phase(Phase::Recovering);
const COLOUR_STOP_BACK: Place = tool("connect", "colour stop", "node", "*service.cjs stop").phase(Phase::Recovering);
const PM2_DELETE_BACK: Place = pm2("connect", "pm2 delete", "delete *").phase(Phase::Recovering);
const COLOUR_END_LATE: Place = tool("connect", "colour end", "node", "*service.cjs stop").phase(Phase::Recovering);
const UNDO: Place = line("revert", "undo").named("undo").phase(Phase::Back).optional();

/// The places of a verb, in the order of its steps. Where blue-green does nothing else than PM2 in one place, that stands
/// for it.
pub(crate) fn places(service: Service, verb: Verb) -> Vec<Place> {
    let mut all = all_places(service, verb);
    if service == Service::Colours {
        let one_place = all_places(Service::Pm2, verb);
        let kept = ["look", "rename", "switch back", "driver", "pm2 save"];
        all.retain(|place| kept.contains(&place.name) || !one_place.contains(place));
    }
    all
}

fn all_places(service: Service, verb: Verb) -> Vec<Place> {
    let of = |which: Service, places: &[Place]| if service == which { places.to_vec() } else { Vec::new() };
    let files = |places: &[Place]| of(Service::None, places);
    let command = |places: &[Place]| of(Service::Command, places);
    let one_place = |places: &[Place]| of(Service::Pm2, places);
    let colours = |places: &[Place]| of(Service::Colours, places);
    let pm2 = |places: &[Place]| [one_place(places), colours(places)].concat();
    let deploys = matches!(verb, Verb::First | Verb::Deploy);
    let switches = deploys || verb == Verb::Rollback;
    let mut all = Vec::new();
    if verb == Verb::Undone {
        // The session itself puts the link back, before its job does the rest.
        all.push(BACK.back().session());
        all.extend(command(&[REVERT.back()]));
        all.extend(colours(&[PROXY_FILE_BACK, PROXY_RELOAD_BACK, COLOUR_STOP_BACK, PM2_DELETE_BACK].map(Place::back)));
        all.extend(pm2(&[PM2_REVERT.back()]));
        all.extend(one_place(&[PM2_BACK.back()]));
        all.extend([JOURNAL_GONE.back(), UNDO]);
        return all;
    }
    all.extend([LOCK, NOTES]);
    all.extend((verb != Verb::First).then_some(NOTED));
    all.push(FACTS);
    all.extend(colours(&[PROXY_KNOWN]));
    all.extend(pm2(&[BASELINE]));
    all.extend((verb == Verb::Deploy).then_some(HELD));
    if deploys {
        all.extend([BUILD, PACKAGE, PREFLIGHT, UNPACK, ARRIVED, NAME]);
        all.extend(pm2(&[PREPARE]));
        all.push(HOOK);
    }
    match verb {
        Verb::Rollback => all.extend([PREFLIGHT_BACK, CHECK]),
        Verb::TakeBack => {
            all.extend(colours(&[PROXY_FILE_BACK, PROXY_RELOAD_BACK]));
            all.push(BACK);
            all.extend(command(&[REVERT]));
            all.extend(colours(&[COLOUR_STOP_BACK, PM2_DELETE_BACK]));
            all.extend(pm2(&[PM2_REVERT]));
            all.extend(one_place(&[PM2_BACK]));
            all.push(JOURNAL_GONE);
        }
        Verb::Finish => {
            all.push(RECORD_LATE);
            all.extend(colours(&[COLOUR_END_LATE]));
            all.extend(pm2(&[PM2_SAVE_LATE]));
            all.push(COMMIT_GONE);
        }
        _ => {}
    }
    if switches {
        all.extend(one_place(&[BOOT, CANDIDATE]));
        all.push(JOURNAL);
        if service == Service::Colours {
            let led = verb != Verb::First;
            all.extend([COLOUR_STOP, COLOUR_LINK, PM2_START, WORKER]);
            all.extend(led.then_some([COLOUR_LOOK, ALONE]).into_iter().flatten());
            all.extend([BOTH_SAVED, PROXY_FILE, PROXY_TEST, PROXY_RELOAD]);
            all.extend(led.then_some(SHARE));
            all.push(COLOUR_SWITCH);
        } else {
            all.push(SWITCH);
        }
        all.extend(command(&[START, STATUS]));
        all.extend(one_place(&[if verb == Verb::First { PM2_START } else { PM2_RELOAD }, WORKER]));
        all.extend((service != Service::Colours || verb == Verb::First).then_some(LOOK));
        all.extend(files(&[SOAK]));
        all.extend(one_place(&[WATCH]));
        all.extend(colours(&[COLOUR_SOAK]));
        all.extend([COMMIT, RECORD]);
        if verb != Verb::First {
            all.extend(colours(&[COLOUR_DRAIN, COLOUR_END, PM2_DELETE]));
        }
        all.extend(one_place(&[SAVE]));
        all.extend(colours(&[COLOUR_SAVE]));
        all.push(AFTER);
        all.extend((verb != Verb::First).then_some(PRUNE));
    }
    all.extend([CLEAR, FREE]);
    all.into_iter().map(|place| placed(place, verb)).collect()
}

/// A recovery is never before or after a switch: it is in the middle of somebody else's.
fn placed(place: Place, verb: Verb) -> Place {
    match verb {
        Verb::TakeBack | Verb::Finish => place.phase(Phase::Recovering),
        _ => place,
    }
}
