//! The command line as data: what was asked for, and the help texts. Runs nothing and reads no file.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueEnum};

use crate::config::duration;
use crate::error::{Error, Result};
use crate::release::ReleaseId;

const EXIT_CODES: &str = "\
Exit codes tell what state production is in:
  0    done
  1    failed before the switch: the live release was not touched
  2    wrong usage or config, or a question without an answer
  3    refused: somebody else holds the lock, or deploys are held
  4    failed after the switch: what was live before is back, and that is proved
  5    a human must look: hosts differ, or one was not heard
  6    released, but something after it failed
  130  cancelled: what was live before is live

Example: shipit deploy production";

/// Deploys apps to your own servers: verified, atomic, reversible. Nothing to install on the server.
#[derive(Debug, Parser)]
#[command(name = "shipit", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that stand before or after any verb.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The config file; by default deploy.toml here, or above in the repository
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also show what commands print
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Show warnings, failures and the end only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// For programs: JSON on stdout, nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

impl Global {
    /// `--color` as the reporters take it: none for auto.
    pub fn always_color(&self) -> Option<bool> {
        match self.color {
            ColorChoice::Auto => None,
            ColorChoice::Always => Some(true),
            ColorChoice::Never => Some(false),
        }
    }
}

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Write a deploy.toml for the project that is here, and on request what goes beside it
    #[command(after_help = "Nothing that exists is overwritten.\n\n\
        Example: shipit init --host deploy@server.example.com --health --github")]
    Init(InitArgs),
    /// Build, ship, switch, prove; put back what was live if the proof fails
    #[command(after_help = "Examples: shipit deploy production --dry-run\n          \
        shipit deploy production --artifact blog.tar.zst --if-changed")]
    Deploy(DeployArgs),
    /// Make an earlier release live again, proved like a deploy
    #[command(after_help = "Shared files and databases stay as they are.\n\n\
        Examples: shipit rollback production\n          shipit rollback production 20260321-140000-k3f8")]
    Rollback(RollbackArgs),
    /// List the releases on the hosts: state, age, commit, who, size
    #[command(after_help = "Example: shipit releases production --json")]
    Releases(Place),
    /// Show what runs where, how that is proved, leftovers, the lock and a hold
    #[command(after_help = "Example: shipit status production")]
    Status(Place),
    /// Look at the config and the hosts as a deploy would, and say what stands in its way
    #[command(after_help = "Reads only: no lock, no write. Exit code 1: a deploy would be refused.\n\n\
        Example: shipit check production")]
    Check(Place),
    /// Finish what an interrupted run left behind
    #[command(after_help = "Example: shipit recover production")]
    Recover(Place),
    /// Remove the lock of a run whose owner is gone for good
    #[command(after_help = "Example: shipit unlock production --host web1")]
    Unlock(Place),
    /// Refuse deploys from now on, or allow them again
    #[command(after_help = "A run that has begun goes on; rollback, cleanup and recover are never held.\n\n\
        Examples: shipit hold production --why freeze\n          shipit hold production --lift")]
    Hold(HoldArgs),
    /// Remove old releases
    #[command(
        after_help = "Never removes what is live or in use.\n\nExample: shipit cleanup production --keep 3 --dry-run"
    )]
    Cleanup(CleanupArgs),
    /// Build and package only, and show what would ship
    #[command(
        after_help = "With -o it can be shipped later, and to several stages: the same tree and commit give the \
        same bytes.\n\nExamples: shipit build production\n          shipit build production -o blog.tar.zst"
    )]
    Build(BuildArgs),
    /// Show what a deploy would bring: commits since the live release, files to send and to remove
    #[command(
        after_help = "Reads only: no lock, no write. Decides as a deploy does, from what each host says it holds. Compares \
        what an earlier build left, unless told to build.\n\n\
        Example: shipit diff production --build"
    )]
    Diff(DiffArgs),
}

/// Where to act.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// The stage; not needed where there is only one or a default_stage
    pub stage: Option<String>,
    #[command(flatten)]
    /// Which of its hosts.
    pub hosts: Hosts,
}

/// Which hosts of a stage.
#[derive(Clone, Debug, Default, Args)]
pub struct Hosts {
    /// Only this host; may be given several times
    #[arg(long = "host", value_name = "HOST", action = ArgAction::Append, value_delimiter = ',')]
    pub only: Vec<String>,
}

/// Whether to look only.
#[derive(Clone, Debug, Default, Args)]
pub struct Dry {
    /// Show the plan; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// With --dry-run: don't connect to the hosts either
    #[arg(long, requires = "dry_run")]
    pub offline: bool,
}

/// How a run that switches behaves.
#[derive(Clone, Debug, Default, Args)]
pub struct Switch {
    /// If the app is locked, wait this long for it, e.g. 10m
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Don't try the release on a spare port before the switch
    #[arg(long)]
    pub no_boot_test: bool,
    /// Go on where compiled files or the node they need don't suit a host
    #[arg(long, value_enum, value_name = "WHAT", action = ArgAction::Append)]
    pub allow: Vec<Allow>,
    /// Answer the stage's question with yes
    #[arg(short, long)]
    pub yes: bool,
}

/// `shipit init`
#[derive(Clone, Debug, Default, Args)]
pub struct InitArgs {
    /// Where to deploy to, as [user@]host[:port] or local; may be given several times
    #[arg(long = "host", value_name = "HOST", action = ArgAction::Append, value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// The app's home there; by default /srv/APP
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The app's name; by default the project's
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// The stage's name; by default production
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// In a workspace: the app's folder, e.g. apps/web
    #[arg(long, value_name = "DIR")]
    pub root: Option<String>,
    /// Add a GitHub workflow that deploys and rolls back
    #[arg(long)]
    pub github: bool,
    /// Add a PM2 ecosystem file, and use it
    #[arg(long)]
    pub ecosystem: bool,
    /// Add a health route (Next.js), and use it
    #[arg(long)]
    pub health: bool,
    /// Ask nothing: take what was found and the defaults
    #[arg(short, long)]
    pub yes: bool,
}

/// What is refused otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allow {
    /// A release that doesn't suit a host's machine or node.
    Mismatch,
}

/// `shipit deploy`
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Look only.
    #[command(flatten)]
    pub dry: Dry,
    /// Ship what an earlier build left
    #[arg(long)]
    pub skip_build: bool,
    /// Ship what `build -o FILE` has written; nothing is built
    #[arg(long, value_name = "FILE", conflicts_with = "skip_build")]
    pub artifact: Option<PathBuf>,
    /// Do nothing where what is live is made of the same files and settings, and is well
    #[arg(long)]
    pub if_changed: bool,
    /// How to switch.
    #[command(flatten)]
    pub switch: Switch,
}

/// `shipit rollback`
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The stage; not needed where there is only one or a default_stage
    #[arg(value_name = "STAGE")]
    first: Option<String>,
    /// The release; by default the newest good one before the live one
    #[arg(value_name = "RELEASE")]
    second: Option<ReleaseId>,
    /// Go back this many good releases
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "second")]
    steps: Option<u32>,
    /// Refuse deploys from then on, until shipit hold --lift
    #[arg(long)]
    pub hold: bool,
    /// On which hosts.
    #[command(flatten)]
    pub hosts: Hosts,
    /// Look only.
    #[command(flatten)]
    pub dry: Dry,
    /// How to switch.
    #[command(flatten)]
    pub switch: Switch,
}

/// What to roll back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many good releases back, at least 1.
    Steps(u32),
    /// This one.
    Release(ReleaseId),
}

impl RollbackArgs {
    /// The stage and the target. A single word that is a release id is the release: no stage can have such a name.
    pub fn target(&self) -> Result<(Option<&str>, Target)> {
        let id = self.first.as_deref().and_then(|word| word.parse::<ReleaseId>().ok());
        match (id, &self.second, self.steps) {
            (Some(id), None, None) => Ok((None, Target::Release(id))),
            (Some(_), None, Some(_)) => Err(Error::Usage {
                what: "--steps and a release exclude each other".into(),
                hint: "give one of them".into(),
            }),
            (_, Some(id), _) => Ok((self.first.as_deref(), Target::Release(id.clone()))),
            (None, None, steps) => Ok((self.first.as_deref(), Target::Steps(steps.unwrap_or(1)))),
        }
    }
}

/// `shipit hold`
#[derive(Clone, Debug, Args)]
pub struct HoldArgs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Why; who is refused is told
    #[arg(long, value_name = "TEXT", required_unless_present = "lift", value_parser = NonEmptyStringValueParser::new())]
    pub why: Option<String>,
    /// Allow deploys again
    #[arg(long, conflicts_with = "why")]
    pub lift: bool,
}

/// `shipit cleanup`
#[derive(Clone, Debug, Args)]
pub struct CleanupArgs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Good releases to keep, the live one included; by default release.keep
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub keep: Option<u32>,
    /// Show what would go; remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// `shipit build`
#[derive(Clone, Debug, Args)]
pub struct BuildArgs {
    /// The stage whose settings apply; not needed where there is only one or a default_stage
    pub stage: Option<String>,
    /// Write the artifact into this file, for deploy --artifact
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `shipit diff`
#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Build first; by default what an earlier build left is compared
    #[arg(long)]
    pub build: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const ID: &str = "20260321-140000-k3f8";

    fn parse(line: &str) -> std::result::Result<Cli, clap::Error> {
        Cli::try_parse_from(["shipit"].into_iter().chain(line.split_whitespace()))
    }

    fn rollback(line: &str) -> RollbackArgs {
        match parse(line).map(|cli| cli.verb) {
            Ok(Verb::Rollback(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound_and_every_verb_has_help_with_an_example() {
        let mut root = Cli::command();
        root.build();
        root.clone().debug_assert();
        for verb in root.get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            // Before `init` there is no stage to name.
            let first = if verb.get_name() == "init" { "--host" } else { "production" };
            assert!(help.contains(&format!("shipit {} {first}", verb.get_name())), "{}", verb.get_name());
            for arg in verb.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", verb.get_name(), arg.get_id());
            }
        }
        let help = root.render_help().to_string();
        for code in [0, 1, 2, 3, 4, 5, 6, 130] {
            assert!(help.contains(&format!("\n  {code} ")), "exit code {code} is in the help");
        }
    }

    #[test]
    fn the_examples_in_the_help_parse() {
        let root = Cli::command();
        let helps = root.get_subcommands().chain([&root]).filter_map(|verb| verb.get_after_help());
        let all: String = helps.map(|help| format!("{help}\n")).collect();
        let examples: Vec<&str> =
            all.lines().filter_map(|line| line.split_once("shipit ")).map(|(_, rest)| rest).collect();
        assert_eq!(examples.len(), 17);
        for example in examples {
            parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }

    #[test]
    fn deploy_takes_its_options() {
        let cli = parse("-q deploy production -n --offline --skip-build --host a --host b,c --wait 10m --no-boot-test -y -c x.toml --json --color never").unwrap();
        assert!(cli.global.quiet && cli.global.json && cli.global.config.is_some());
        assert_eq!(cli.global.always_color(), Some(false));
        let Verb::Deploy(args) = cli.verb else { panic!("{:?}", cli.verb) };
        assert_eq!(args.place.stage.as_deref(), Some("production"));
        assert_eq!(args.place.hosts.only, ["a", "b", "c"]);
        assert_eq!(args.switch.wait, Some(Duration::from_secs(600)));
        assert!(args.dry.dry_run && args.dry.offline && args.skip_build);
        assert!(args.switch.no_boot_test && args.switch.yes);
    }

    #[test]
    fn a_single_release_id_is_the_release() {
        let id: ReleaseId = ID.parse().unwrap();
        let release = Target::Release(id);
        assert_eq!(rollback("rollback").target().unwrap(), (None, Target::Steps(1)));
        assert_eq!(rollback("rollback prod --steps 2").target().unwrap(), (Some("prod"), Target::Steps(2)));
        assert_eq!(rollback(&format!("rollback {ID}")).target().unwrap(), (None, release.clone()));
        assert_eq!(rollback(&format!("rollback prod {ID}")).target().unwrap(), (Some("prod"), release));
        assert!(rollback(&format!("rollback {ID} --steps 2")).target().is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "",
            "deplyo",
            "deploy --offline",
            "deploy -v -q",
            "deploy --wait 10",
            "deploy a b",
            "rollback prod notanid",
            "rollback --steps 0",
            "cleanup --keep 0",
            "status --color sometimes",
            "hold prod",
            "hold prod --why x --lift",
            "hold prod --why=",
            "deploy --artifact f --skip-build",
        ] {
            let error = parse(line).err().unwrap_or_else(|| panic!("{line} is taken"));
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert!(parse(&format!("rollback prod {ID} --steps 2")).is_err());
        assert!(parse("deplyo").unwrap_err().to_string().contains("'deploy'"));
    }
}
