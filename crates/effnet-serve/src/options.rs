//! [`ServeOptions`]: the limits of a server.

use std::time::Duration;

use effnet_image::DecodeOptions;

use crate::ApiKeys;

/// Limits of a [`Server`](crate::Server). The defaults suit a machine with a few cores.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// Maximum number of images that a thread computes at once; `None` chooses one that fits into half of the available
    /// memory. The default is 1: on a CPU, an image in a batch costs a thread as much as an image alone, and everyone in
    /// a batch waits for all of it.
    pub max_batch_size: Option<usize>,
    /// How long an image waits for others to share its batch. With the default, 0, a batch is whatever is waiting when
    /// the network becomes free.
    pub max_queue_delay: Duration,
    /// Maximum number of requests that are worked on at a time; a further one is answered with 429. A request counts
    /// once its body is complete.
    pub max_concurrent_requests: usize,
    /// Maximum number of images that wait or are worked on; a request for more is answered with 503.
    pub max_queue_size: usize,
    /// Maximum size of the body of a request, in bytes; a larger one is answered with 413.
    pub max_body_size: usize,
    /// Maximum size of all bodies in memory, in bytes; what exceeds it is answered with 503.
    pub max_body_memory: usize,
    /// How long a request may take, from its first byte to its answer. A body that arrives more slowly is answered with
    /// 408, a result that takes longer with 503.
    pub timeout: Duration,
    /// How long requests may take once the server is told to stop.
    pub grace: Duration,
    /// Number of threads that decode images; by default one per core.
    pub decode_threads: Option<usize>,
    /// Limits for decoding an image.
    pub decode: DecodeOptions,
    /// The keys that clients must send one of; without keys, all clients are served.
    pub api_keys: ApiKeys,
    /// Whether to write one line of JSON per request to standard error.
    pub log: bool,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_batch_size: Some(1),
            max_queue_delay: Duration::ZERO,
            max_concurrent_requests: 128,
            max_queue_size: 256,
            max_body_size: 32 << 20,
            max_body_memory: 512 << 20,
            timeout: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            decode_threads: None,
            decode: DecodeOptions::default(),
            api_keys: ApiKeys::default(),
            log: true,
        }
    }
}

/// Defines the `with_*` methods of the options.
macro_rules! setters {
    ($($setter:ident $field:ident: $type:ty;)*) => {
        impl ServeOptions {$(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*}
    };
}

setters! {
    with_max_queue_delay max_queue_delay: Duration;
    with_max_concurrent_requests max_concurrent_requests: usize;
    with_max_queue_size max_queue_size: usize;
    with_max_body_size max_body_size: usize;
    with_max_body_memory max_body_memory: usize;
    with_timeout timeout: Duration;
    with_grace grace: Duration;
    with_decode decode: DecodeOptions;
    with_api_keys api_keys: ApiKeys;
    with_log log: bool;
}

impl ServeOptions {
    /// Sets [`max_batch_size`](Self::max_batch_size).
    #[must_use]
    pub fn with_max_batch_size(mut self, max_batch_size: impl Into<Option<usize>>) -> Self {
        self.max_batch_size = max_batch_size.into();
        self
    }

    /// Sets [`decode_threads`](Self::decode_threads).
    #[must_use]
    pub fn with_decode_threads(mut self, decode_threads: impl Into<Option<usize>>) -> Self {
        self.decode_threads = decode_threads.into();
        self
    }
}
