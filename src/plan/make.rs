//! From config, flags and verb to a plan. Pure: no clock, no file, no host.

use super::show::INDENT;
use super::{Plan, Planned, Step, Verb};
use crate::config::{Config, Hook, On, Service};
use crate::text::{count, duration, list};
use crate::{proxy, service};

/// What the command line adds to the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--skip-build`
    pub skip_build: bool,
    /// `--artifact`: the file, for people.
    pub artifact: Option<String>,
    /// `--if-changed`
    pub if_changed: bool,
    /// `--no-boot-test`
    pub no_boot_test: bool,
    /// `--keep`
    pub keep: Option<usize>,
    /// `--hold`
    pub hold: bool,
}

impl Plan {
    /// The steps of `verb`.
    pub fn make(verb: Verb, config: &Config, flags: &Flags) -> Plan {
        let steps: &[Step] = match verb {
            Verb::Deploy => &[
                Step::Connect,
                Step::Build,
                Step::Package,
                Step::Preflight,
                Step::Receive,
                Step::BeforeSwitch,
                Step::BootTest,
                Step::Activate,
                Step::Shift,
                Step::Verify,
                Step::Commit,
                Step::AfterSwitch,
                Step::Prune,
                Step::End,
            ],
            Verb::Rollback => &[
                Step::Connect,
                Step::Preflight,
                Step::Check,
                Step::BootTest,
                Step::Activate,
                Step::Shift,
                Step::Verify,
                Step::Commit,
                Step::AfterSwitch,
                Step::Prune,
                Step::End,
            ],
            Verb::Cleanup => &[Step::Connect, Step::Prune, Step::End],
            Verb::Recover => &[Step::Connect, Step::End],
        };
        let hosts: Vec<&str> = config.hosts.iter().map(|host| host.name.as_str()).collect();
        Plan {
            verb,
            title: format!("{} {} ({}) on {}", verb.word(), config.app, config.stage, list(&hosts)),
            // Without a proxy nobody is there to lead requests anywhere.
            steps: steps
                .iter()
                .filter(|step| **step != Step::Shift || config.proxy.is_some())
                .map(|step| planned(*step, verb, config, flags))
                .collect(),
        }
    }
}

fn planned(step: Step, verb: Verb, config: &Config, flags: &Flags) -> Planned {
    let mut skip = None;
    let how = match step {
        Step::Connect => {
            format!("take the lock of {}, put right what an earlier run left, learn the facts", config.path)
        }
        Step::Build | Step::Package if flags.artifact.is_some() => {
            skip = flags.artifact.as_ref().map(|file| format!("from {file}"));
            String::new()
        }
        Step::Build => match &config.build.command {
            None => {
                skip = Some("there is no build.command".into());
                String::new()
            }
            Some(_) if flags.skip_build => {
                skip = Some("--skip-build".into());
                String::new()
            }
            Some(command) => format!("`{command}` in {}", config.build.root.display()),
        },
        Step::Package => "map, hash and check what is shipped".into(),
        Step::Preflight if verb == Verb::Rollback => "choose the release; is it complete, can it run here".into(),
        Step::Preflight if flags.if_changed => "tools, space, machine, node, shared files, current, the service; \
             what follows is skipped where artifact and config are those of the live release"
            .into(),
        Step::Preflight => "tools, space, machine, node, shared files, current, the service".into(),
        Step::Receive => {
            let assets = match config.assets.any(config.build.preset) {
                true => format!(", with the assets of {} before it", count(config.assets.keep, "release")),
                false => String::new(),
            };
            format!("the whole artifact into a stage{assets}, every file verified by SHA-256, then named")
        }
        Step::Check if config.assets.any(config.build.preset) => {
            "every file against its manifest, every link; beside them the assets of what is live".into()
        }
        Step::Check => "every file against its manifest, every link".into(),
        Step::BeforeSwitch => hooks(&config.hooks.before_switch, &mut skip),
        Step::AfterSwitch => hooks(&config.hooks.after_switch, &mut skip),
        Step::BootTest => {
            if flags.no_boot_test {
                skip = Some("--no-boot-test".into());
            } else if config.service == Service::None {
                skip = Some("files only".into());
            } else if matches!(config.service, Service::Command(_)) {
                skip = Some("a service of your own lines has none".into());
            } else if config.proxy.is_some() {
                skip = Some("the new colour is proved before a request reaches it".into());
            } else if !service::boots(&config.service) {
                skip = Some("boot_test = false, or no port".into());
            }
            format!("the candidate on a spare loopback port, soak {}", duration(config.health.soak))
        }
        Step::Activate => {
            let batches = match config.rollout.batch {
                None => String::new(),
                Some(batch) => format!(", {} at a time", count(batch.size(config.hosts.len()), "host")),
            };
            match config.proxy {
                None => {
                    let gap = service::gap(&config.service).map(|gap| format!("; {}", gap.what)).unwrap_or_default();
                    format!("switch current{batches}, {}{gap}", service::describe(&config.service))
                }
                Some(_) => {
                    format!("start the colour that is not live{batches}, {}", service::describe(&config.service))
                }
            }
        }
        Step::Shift => config.proxy.as_ref().map(proxy::describe).unwrap_or_default(),
        Step::Verify => {
            let health = &config.health;
            if health.path.is_none() && health.url.is_none() && config.service == Service::None {
                skip = Some("there is no health check".into());
            }
            let mut parts = Vec::new();
            parts.extend(health.path.as_ref().map(|path| format!("{path} on the service's port")));
            parts.extend(health.url.clone());
            parts.push(format!("soak {}", duration(health.soak)));
            parts.join(", ")
        }
        Step::Commit if flags.hold => "the point of no return; deploys are held from then on".into(),
        Step::Commit => "the point of no return".into(),
        Step::Prune => format!("keep {}", count(flags.keep.unwrap_or(config.release.keep), "good release")),
        Step::End => "free the lock".into(),
    };
    Planned { step, how, skip }
}

/// One line for each hook.
fn hooks(hooks: &[Hook], skip: &mut Option<String>) -> String {
    if hooks.is_empty() {
        *skip = Some("there are no hooks".into());
    }
    let one = |hook: &Hook| {
        let place = match hook.on {
            On::All => "on all hosts",
            On::First => "on the first host",
            On::Here => "here",
        };
        let undo = hook.undo.as_ref().map(|undo| format!(", undo `{undo}`")).unwrap_or_default();
        let optional = if hook.optional { ", optional" } else { "" };
        format!("`{}` {place}{undo}{optional}", hook.run)
    };
    hooks.iter().map(one).collect::<Vec<_>>().join(&format!("\n{INDENT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step of a deploy, and whether it is skipped.
    fn steps(more: &str) -> Vec<(Step, Option<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deploy.toml");
        let text = format!(
            "app = \"it\"\n[build]\npreset = \"files\"\noutput = \"dist\"\n[service.pm2]\nscript = \"a.js\"\n{more}\n\
             [stages.x]\nhosts = [\"local\"]\npath = \"/srv/x\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file, None, &|_| None).unwrap();
        let plan = Plan::make(Verb::Deploy, &config, &Flags::default());
        plan.steps.into_iter().map(|planned| (planned.step, planned.skip)).collect()
    }

    #[test]
    fn only_a_proxy_has_requests_to_shift_and_it_does_so_before_the_last_look() {
        let plain = steps("port = 3000");
        assert!(plain.iter().all(|(step, _)| *step != Step::Shift));
        assert!(plain.contains(&(Step::BootTest, None)));
        let led = steps("[proxy.nginx]\nports = [1, 2]");
        let at = |wanted| led.iter().position(|(step, _)| *step == wanted).unwrap();
        assert!(at(Step::Activate) < at(Step::Shift) && at(Step::Shift) < at(Step::Verify));
        assert!(led[at(Step::BootTest)].1.is_some(), "the new colour itself is the test");
    }
}
