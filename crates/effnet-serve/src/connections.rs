//! The connections of a server: how many, how long, and how they end.
//!
//! Nothing that a client does or omits may cost the others more than a connection: there is a limit to their number, a
//! client that sends no head or no body in time, or reads no answer, is cut, and an idle one is closed.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::state::State;

/// Maximum number of connections; further clients wait to be accepted.
const MOST: usize = 1024;
/// How long clients with open connections may still send requests after a signal: a request that is on its way while the
/// server closes its connection would be lost.
const LINGER: Duration = Duration::from_millis(300);
/// How long to wait before accepting again after a failure, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);
/// The size of a connection's buffer in bytes, which the head of a request must fit in.
const BUFFER: usize = 64 << 10;

/// What connections should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serve,
    /// End after the answer that is being made.
    Finish,
    /// End now.
    Cut,
}

pub(crate) struct Connections {
    state: Arc<State>,
    router: Router,
    slots: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
}

impl Connections {
    pub(crate) fn new(state: Arc<State>, router: Router) -> Self {
        Self {
            state,
            router,
            slots: Arc::new(Semaphore::new(MOST)),
            phase: watch::Sender::new(Phase::Serve),
        }
    }

    /// Accepts connections until `stop` is done.
    pub(crate) async fn serve(&self, listener: &TcpListener, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = self.accept(listener) => {}
            }
        }
    }

    /// Answers what has arrived, and closes all connections. Returns the number of those that were cut because they
    /// took longer than the grace period, or because of `hurry`.
    pub(crate) async fn drain(&self, listener: TcpListener, hurry: impl Future<Output = ()>) -> usize {
        self.state.drain();
        let finish = async {
            // The kernel has accepted some already.
            let backlog = async {
                while timeout(Duration::from_millis(1), self.accept(&listener))
                    .await
                    .is_ok()
                {}
            };
            let _ = timeout(LINGER, backlog).await;
            drop(listener);
            sleep(LINGER).await;
            self.phase.send_replace(Phase::Finish);
            let _ = self.slots.acquire_many(MOST as u32).await;
        };
        tokio::select! {
            () = finish => return 0,
            () = sleep(self.state.options.grace) => {}
            () = hurry => {}
        }
        let cut = MOST - self.slots.available_permits();
        self.phase.send_replace(Phase::Cut);
        cut
    }

    /// Accepts one connection, and serves it in a task.
    async fn accept(&self, listener: &TcpListener) {
        let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = Connection {
                    state: Arc::clone(&self.state),
                    router: self.router.clone(),
                    phase: self.phase.subscribe(),
                    _slot: slot,
                };
                tokio::spawn(connection.serve(stream));
            }
            Err(error) if is_of_client(&error) => {}
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Whether the client has closed its connection before it was accepted.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

struct Connection {
    state: Arc<State>,
    router: Router,
    phase: watch::Receiver<Phase>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        let limit = self.state.options.timeout;
        let socket = SockRef::from(&stream);
        // Failures leave the defaults of the system: a slower answer, or a later end.
        let _ = socket.set_tcp_nodelay(true);
        // Elsewhere, a client that has disappeared holds its connection until the keep-alive or the write fails.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket.set_tcp_user_timeout(Some(limit));
        let gauge = self.state.metrics.connections.clone();
        gauge.inc();
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limit)
            .max_buf_size(BUFFER)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(self.router.clone()),
            );
        let mut connection = pin!(connection);
        loop {
            tokio::select! {
                // An error is the client's: what it sent is not HTTP, or it has gone.
                _ = connection.as_mut() => break,
                changed = self.phase.changed() => match *self.phase.borrow() {
                    Phase::Serve if changed.is_ok() => {}
                    Phase::Finish if changed.is_ok() => connection.as_mut().graceful_shutdown(),
                    _ => break,
                },
            }
        }
        gauge.dec();
    }
}
