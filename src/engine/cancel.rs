//! INT, TERM and HUP are one thing: the first asks for an orderly way back, the second stops listening to hosts, which
//! then put themselves right. After the first `commit` there is no way back, and cancel is refused.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the user has asked to stop.
#[derive(Clone, Debug)]
pub struct Cancel {
    count: watch::Receiver<u8>,
}

impl Cancel {
    /// Listens for signals from now on.
    pub fn listen() -> std::io::Result<Cancel> {
        let (to, count) = watch::channel(0_u8);
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut stream = signal(kind)?;
            let to = to.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    to.send_modify(|count| *count = count.saturating_add(1));
                }
            });
        }
        Ok(Cancel { count })
    }

    /// Whether the user has asked to stop.
    pub fn asked(&self) -> bool {
        *self.count.borrow() > 0
    }

    /// Waits for the first request.
    pub async fn first(&self) {
        self.reached(1).await;
    }

    /// Waits for the second request.
    pub async fn second(&self) {
        self.reached(2).await;
    }

    async fn reached(&self, n: u8) {
        let mut count = self.count.clone();
        if count.wait_for(|count| *count >= n).await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}
