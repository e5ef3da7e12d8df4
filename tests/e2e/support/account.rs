//! The login accounts that stand for deploy users: two alike, and one for each other login shell. `tests/run` creates them; nothing here does.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: &'static str,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

impl Account {
    /// Another one of the same group.
    pub(crate) fn b() -> Account {
        Account::named("shipit-b")
    }

    /// One by its name: those that differ in their login shell.
    pub(crate) fn named(name: &'static str) -> Account {
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))
            .unwrap_or_else(|| panic!("there is no account {name}: run the tests with tests/run, which makes it"));
        let field = |n: usize| line.split(':').nth(n).expect("passwd lines have seven fields");
        Account {
            name,
            uid: field(2).parse().expect("a uid is a number"),
            gid: field(3).parse().expect("a gid is a number"),
            home: PathBuf::from(field(5)),
        }
    }

    /// The number of the group that both accounts are in.
    pub(crate) fn common_group() -> u32 {
        let groups = fs::read_to_string("/etc/group").expect("/etc/group is readable");
        let line = groups.lines().find(|line| line.starts_with("shipit:")).expect("tests/run makes the group shipit");
        line.split(':').nth(2).and_then(|gid| gid.parse().ok()).expect("a gid is a number")
    }

    /// Makes the account the owner of one path.
    pub(crate) fn own(&self, path: &Path) {
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).expect("tests run as root");
    }

    /// Makes a directory that the account owns.
    pub(crate) fn make_dir(&self, path: &Path) {
        fs::create_dir_all(path).expect("the test's area is writable");
        self.own(path);
    }

    /// A command that runs as the account, with nothing in its environment but what a login has.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("USER", self.name)
            .env("LOGNAME", self.name)
            .current_dir("/")
            .gid(self.gid)
            .uid(self.uid);
        command
    }
}
