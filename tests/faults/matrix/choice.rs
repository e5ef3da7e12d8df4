//! What is played every day: so few cases that twelve minutes on two cores are enough, so chosen that no two parts of the
//! matrix that can meet are left apart; and what is played besides, as long as there is time.

use std::collections::HashSet;

use super::{At, Case, Phase, Place, Service, cases, places};

/// Two parts of the matrix that meet in a case.
type Pair = (String, String);

/// The daily set: each kind of place of each step meets each fault; each verb, service and way meets each fault and each
/// step; each place is there. PM2's tools take seconds, so of its cases only those where PM2 takes part: each phase of a run
/// with each fault, for where PM2 does not, a service of one's own lines runs the very same scripts. Blue-green starts and
/// ends two apps in each of its cases: each fault while the requests are led over, and each other step once.
pub(crate) fn daily() -> Vec<Case> {
    let all = cases();
    let (colours, rest): (Vec<Case>, Vec<Case>) = all.into_iter().partition(|case| case.service == Service::Colours);
    let (pm2, rest): (Vec<Case>, Vec<Case>) = rest.into_iter().partition(|case| case.service == Service::Pm2);
    let takes_part = |case: &Case| !places(Service::None, case.verb).contains(&case.place) || case.place.at == At::Look;
    let pm2: Vec<Case> = pm2.into_iter().filter(takes_part).collect();
    let mut chosen = cover(&rest);
    chosen.extend(cover(&pm2));
    chosen.extend(cover(&colours));
    chosen
}

/// What the daily set has not and what waits for no limit of minutes.
pub(crate) fn left_over(daily: &[Case]) -> Vec<Case> {
    let have: HashSet<&Case> = daily.iter().collect();
    cases().into_iter().filter(|case| !have.contains(case) && !case.is_slow()).collect()
}

/// Few cases in which every pair meets that meets at all: those first that bring the most pairs.
fn cover(cases: &[Case]) -> Vec<Case> {
    let mut quick: Vec<(&Case, Vec<Pair>)> = cases.iter().map(|case| (case, pairs(case))).collect();
    // What waits out a long limit only where nothing else brings the pair; else in an order that favours no service or way.
    quick.sort_by_key(|(case, _)| (case.is_slow(), mixed(&case.to_string())));
    let mut open: HashSet<Pair> = quick.iter().flat_map(|(_, pairs)| pairs.clone()).collect();
    let mut chosen = Vec::new();
    let most = quick.iter().map(|(_, pairs)| pairs.len()).max().unwrap_or(0);
    for gain in (1..=most).rev() {
        for (case, pairs) in &quick {
            if pairs.iter().filter(|pair| open.contains(pair)).count() >= gain {
                open.retain(|pair| !pairs.contains(pair));
                chosen.push(**case);
            }
        }
    }
    chosen.sort_by_key(|case| cases.iter().position(|other| other == case));
    chosen
}

/// Any number does, as long as a name always has the same one.
fn mixed(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn pairs(case: &Case) -> Vec<Pair> {
    let pair = |one: String, other: &str| (one, other.to_owned());
    let (service, way, verb) = (format!("{:?}", case.service), format!("{:?}", case.way), format!("{:?}", case.verb));
    let (fault, step) = (case.fault.word(), case.place.step);
    let Place { owner, phase, vital, .. } = case.place;
    if case.service == Service::Colours {
        return vec![if phase == Phase::Switched { pair(service, fault) } else { pair(service, step) }];
    }
    // Places of a step that are alike stand for each other, and of PM2's all of a phase.
    let alike =
        if case.service == Service::Pm2 { format!("{phase:?}") } else { format!("{step} {owner:?} {phase:?} {vital}") };
    vec![
        pair(alike, fault),
        pair(format!("{step}/{}", case.place.name), &way),
        pair(verb.clone(), fault),
        pair(verb.clone(), step),
        pair(service.clone(), fault),
        pair(service.clone(), step),
        pair(service, &verb),
        pair(way.clone(), fault),
        pair(way, &verb),
    ]
}
