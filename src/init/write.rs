//! The text of the first `deploy.toml`: only what differs from the defaults, with a comment where a reader would ask.
//! Makes text; the real loader judges it before it is written anywhere.

use super::shape::Project;

/// What the project can't say by itself.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// `app`
    pub app: String,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// `service.pm2.ecosystem`: this file of the project says how the app runs.
    pub ecosystem: Option<String>,
    /// `health.path`, instead of what the project shows.
    pub health: Option<String>,
    /// Whether the app's folder has `.env` files, which never ship.
    pub env_file: bool,
}

/// One stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// `hosts`, each as `user@host:port`.
    pub hosts: Vec<String>,
    /// `path`
    pub path: String,
    /// `branch`
    pub branch: Option<String>,
    /// `ssh.identity_file`
    pub identity: Option<String>,
}

/// The file for `project`.
pub fn deploy_toml(project: &Project, answers: &Answers) -> String {
    let mut file = File::default();
    let shape = &project.shape;
    file.line("# Every key: deploy.example.toml in shipit's repository. Try it without touching a server:");
    file.line("# shipit deploy --dry-run --offline");
    file.key("app", &answers.app);

    file.table("build");
    file.key("preset", shape.preset);
    if !project.root.is_empty() {
        file.key("root", &project.root);
    }
    if let Some(command) = &project.command {
        file.key("command", command);
    }
    if let Some(output) = &shape.output {
        file.key("output", output);
    }
    if let Some(file_name) = &answers.ecosystem
        && shape.preset == "next"
    {
        file.list("include", std::slice::from_ref(file_name));
    }
    if !shape.exclude.is_empty() {
        file.list("exclude", &shape.exclude);
    }
    if answers.env_file {
        file.line("");
        file.line(
            "# .env files never ship. For one on the server, put it into the path's shared/ and take the # away:",
        );
        file.line("#[shared]");
        file.line("#files = [\".env\"]");
    }
    if let Some(runs) = &shape.runs {
        service(&mut file, project, runs, answers);
        health(&mut file, answers.health.as_ref().or(shape.health.as_ref()));
    } else {
        file.line("");
        file.line("# Files only: the folder of the web server is `current` in the path below.");
    }
    for stage in &answers.stages {
        file.table(&format!("stages.{}", bare(&stage.name)));
        file.list("hosts", &stage.hosts);
        file.key("path", &stage.path);
        if let Some(branch) = &stage.branch {
            file.key("branch", branch);
        }
        if let Some(identity) = &stage.identity {
            file.key("ssh.identity_file", identity);
        }
    }
    file.text
}

fn service(file: &mut File, project: &Project, runs: &super::Runs, answers: &Answers) {
    file.table("service.pm2");
    if let Some(ecosystem) = &answers.ecosystem {
        file.key("ecosystem", ecosystem);
    } else if let Some(script) = &runs.script {
        file.key("script", script);
    }
    file.line(&format!("port = {}", runs.port));
    if answers.ecosystem.is_none() {
        match runs.instances {
            0 => file.key("instances", "max"),
            1 if project.shape.preset == "node" => {
                file.line("# Two or more are replaced without a gap, if the app keeps nothing in its memory.");
                file.line("instances = 1");
            }
            n => file.line(&format!("instances = {n}")),
        }
        if let Some(memory) = &runs.max_memory {
            file.key("max_memory", memory);
        }
    }
    if answers.env_file {
        file.line("#env_file = \".env\"");
    }
}

fn health(file: &mut File, path: Option<&String>) {
    match path {
        Some(path) => {
            file.table("health");
            file.key("path", path);
        }
        None => {
            file.line("");
            file.line("# A path that answers 200 only when all is well. Without one a deploy looks at the processes.");
            file.line("#[health]");
            file.line("#path = \"/health\"");
        }
    }
}

#[derive(Default)]
struct File {
    text: String,
}

impl File {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn table(&mut self, name: &str) {
        self.line("");
        self.line(&format!("[{name}]"));
    }

    fn key(&mut self, name: &str, value: &str) {
        // The build command is the shell's to expand; everywhere else a dollar would be shipit's.
        let value = if name == "command" { value.to_owned() } else { value.replace('$', "$$") };
        self.line(&format!("{name} = {}", quoted(&value)));
    }

    fn list<S: AsRef<str>>(&mut self, name: &str, values: &[S]) {
        let values: Vec<String> = values.iter().map(|value| quoted(&value.as_ref().replace('$', "$$"))).collect();
        self.line(&format!("{name} = [{}]", values.join(", ")));
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A TOML key, quoted where it must be.
fn bare(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}
