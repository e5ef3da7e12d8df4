//! One host after the other, each asked for the same thing beside any run: what `unlock` and `hold` share. A host that
//! fails hides no other one.

use std::time::Duration;

use serde_json::json;

use super::{look, print, print_json, terminal, unheard};
use crate::cli::Global;
use crate::config::Config;
use crate::engine::HostRun;
use crate::error::Result;
use crate::event::Events;

/// How long a host may take for one script.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Does `work` on each connected host, and tells or lists what it says was done; the exit code.
pub(super) async fn run(
    global: &Global,
    config: &Config,
    work: impl AsyncFn(&HostRun) -> Result<String>,
) -> Result<u8> {
    let who = look::who(config).await;
    let mut listed = Vec::new();
    let mut code = 0;
    for host in &config.hosts {
        let (events, _) = Events::channel();
        let mut run = HostRun::new(host.clone(), look::home(config, who.clone()), &events);
        let told = async {
            run.connect(config, terminal()).await?;
            work(&run).await
        }
        .await;
        run.end().await;
        match told {
            Ok(did) if global.json => listed.push(json!({"host": host.name, "did": did})),
            Ok(did) => print(&format!("{}: {did}\n", host.name)),
            Err(error) => listed.push(unheard(&host.name, &error, &mut code)),
        }
    }
    if global.json {
        print_json(&json!({"app": config.app, "stage": config.stage, "hosts": listed}));
    }
    Ok(code)
}
