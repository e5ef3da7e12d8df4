//! Whether a port of the host can be reached from here, found out without asking what listens there for anything.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::host::HostRun;
use crate::transport::{Endpoint, Transport};

/// A host that forbids forwards says so at once; a service that is reached says nothing, for nothing is asked of it.
const LIMIT: Duration = Duration::from_millis(1500);

/// Whether this host lets a connection through to its own `port`. None: that could not be found out.
pub async fn forwards(run: &HostRun, port: u16) -> Option<bool> {
    let transport = run.transport.as_ref()?;
    let Endpoint::Socket(path) = transport.forward("127.0.0.1", port).await.ok()? else { return Some(true) };
    let mut stream = UnixStream::connect(path).await.ok()?;
    // The end comes after ssh has written down why.
    let _ = tokio::time::timeout(LIMIT, stream.read(&mut [0; 1])).await;
    Some(!Transport::forwards_nothing(transport))
}
