//! [`Server`]: models behind a listening socket.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::connections::Connections;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::state::State;
use crate::stop_signal::StopSignal;
use crate::{ServeError, ServeOptions, ServedModel, listener, routes, runner};

/// How many threads decode, if the number is not set: one per core.
fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// Connections that were still open after the grace period and were cut.
    pub cut: usize,
}

/// A server that is ready: its models are loaded and its socket listens.
///
/// ```no_run
/// use effnet::Model;
/// use effnet_serve::{ServeOptions, ServedModel, Server, listen};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = ServedModel::new("b0", Model::open("b0")?)?;
/// let server = Server::new(listen("127.0.0.1", 8000)?, vec![model], ServeOptions::default())?;
/// println!("{}", server.url());
/// server.run()?; // until SIGTERM or SIGINT
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
    networks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts the threads of a server for `models`; the first is the default.
    ///
    /// # Errors
    /// [`ServeError::NoModels`], [`ServeError::SameName`], [`ServeError::Backend`] when the batch size of a model cannot
    /// be chosen, and [`ServeError::Start`] when the operating system refuses threads.
    pub fn new(
        listener: std::net::TcpListener,
        models: Vec<ServedModel>,
        options: ServeOptions,
    ) -> Result<Self, ServeError> {
        let Some(first) = models.first() else {
            return Err(ServeError::NoModels);
        };
        for (index, model) in models.iter().enumerate() {
            if models[..index].iter().any(|other| other.name() == model.name()) {
                let name = model.name().to_owned();
                return Err(ServeError::SameName { name });
            }
            model.choose_batch_size(options.max_batch_size)?;
        }
        let decode_threads = options.decode_threads.unwrap_or_else(cores).max(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(decode_threads)
            .thread_name("effnet-decode")
            .build()
            .map_err(ServeError::Start)?;
        let metrics = Arc::new(Metrics::new());
        // One batch can be gathered while another is computed, and each thread may finish one more image.
        let largest = models.iter().map(ServedModel::batch_size).max().unwrap_or(1);
        let runners = first.calls();
        let capacity = 2 * largest * runners + decode_threads;
        let queue = Arc::new(Queue::new(capacity, runners, options.max_queue_delay));
        let networks = runner::start(runners, &queue, &metrics).map_err(ServeError::Start)?;
        let _context = runtime.enter();
        listener.set_nonblocking(true).map_err(ServeError::Start)?;
        let listener = TcpListener::from_std(listener).map_err(ServeError::Start)?;
        let models = models.into_iter().map(Arc::new).collect();
        Ok(Self {
            address: listener.local_addr().map_err(ServeError::Start)?,
            listener,
            state: Arc::new(State::new(models, options, metrics, queue)),
            networks,
            runtime,
        })
    }

    /// The address of the socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address for a browser on this machine.
    pub fn url(&self) -> String {
        listener::url(self.address)
    }

    /// Answers requests until the process gets SIGTERM or SIGINT (on Windows, Ctrl-C). It then accepts no more connections, answers what
    /// has arrived, and returns once all connections are closed, or cuts them after the
    /// [grace period](ServeOptions::grace). A second signal cuts them at once.
    ///
    /// # Errors
    /// [`ServeError::Start`] when the signals cannot be handled.
    pub fn run(self) -> Result<Ended, ServeError> {
        let mut signal = {
            let _context = self.runtime.enter();
            StopSignal::new().map_err(ServeError::Start)?
        };
        Ok(self.serve(async move |connections, listener| {
            connections.serve(&listener, signal.recv()).await;
            connections.drain(listener, signal.recv()).await
        }))
    }

    /// Like [`run`](Self::run), but answers requests until `stop` is done, and leaves signals alone.
    pub fn run_until(self, stop: impl Future<Output = ()>) -> Ended {
        self.serve(async move |connections, listener| {
            connections.serve(&listener, stop).await;
            connections.drain(listener, std::future::pending()).await
        })
    }

    /// Serves with `steps`, which return the number of connections that were cut.
    fn serve(self, steps: impl AsyncFnOnce(&Connections, TcpListener) -> usize) -> Ended {
        let Self {
            runtime,
            listener,
            state,
            networks,
            ..
        } = self;
        let connections = Connections::new(Arc::clone(&state), routes::router(&state));
        let cut = runtime.block_on(steps(&connections, listener));
        state.queue.close();
        // A thread that decodes, or a network, may still be at work for a client that was cut.
        runtime.shutdown_timeout(Duration::ZERO);
        if cut == 0 {
            for network in networks {
                let _ = network.join();
            }
        }
        Ended { cut }
    }
}
