//! What all cases stand on: one sshd, one health server, and for each start that a case may ask for a home that real
//! deploys have made, of which each case gets its own copy. Nothing here uses shipit's code.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::matrix::{Service, Verb, Way};
use crate::spot::Looks;
use crate::support::account::Account;
use crate::support::area::Area;
use crate::support::sshd::{Options, Sshd, keygen};

/// The ground.
pub(crate) struct Ground {
    pub(crate) account: Account,
    pub(crate) looks: Looks,
    pub(crate) identity: PathBuf,
    pub(crate) sshd: Sshd,
    pub(crate) area: Area,
    made: Mutex<HashMap<(Service, Way, Verb), Made>>,
}

/// A home to copy.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The directory of the case that made it: its paths stand in the notes of what was left unfinished.
    pub(crate) dir: PathBuf,
    /// What is live; none: nothing.
    pub(crate) live: Option<String>,
    /// What a recovery may find live as well: the release of the switch that was left.
    pub(crate) left: Option<String>,
    /// The service's port there.
    pub(crate) port: u16,
    /// The two colours' ports, where there are any.
    pub(crate) colours: Vec<u16>,
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let area = Area::new();
        let identity = area.path().join("id");
        keygen(&identity);
        let account = Account::named("shipit-a");
        let sshd = Sshd::start(&area.path().join("sshd"), &identity, &[&account], &Options::default());
        Ground { account, looks: Looks::start(), identity, sshd, area, made: Mutex::default() }
    }

    /// Whoever works on the host.
    pub(crate) fn owner(&self, way: Way) -> Account {
        match way {
            Way::Ssh => self.account.clone(),
            Way::Local => Account::named("root"),
        }
    }

    /// A directory of a case, which may be there once. All have names of one length.
    pub(crate) fn case(&self, number: usize) -> PathBuf {
        let dir = self.area.path().join(format!("c{number:04}"));
        fs::create_dir(&dir).expect("its number is its own");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        dir
    }

    /// The home to begin with, made by `make` the first time.
    pub(crate) fn made(&self, start: (Service, Way, Verb), make: impl FnOnce() -> Made) -> Made {
        let mut made = self.made.lock().unwrap();
        made.entry(start).or_insert_with(make).clone()
    }
}

/// Copies a home with owners, modes, times and links.
pub(crate) fn copy_home(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success(), "{from:?} to {to:?}");
}
