//! Ordered parallel decoding with bounded look-ahead.
//!
//! Both the training loader and the inference pipeline read through it. Decoding a whole folder ahead would
//! exhaust memory, and decoding one image at a time would leave cores idle. The order of the results must not
//! depend on which thread was faster.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::BoxError;

/// The reason why an input could not be decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// The input could not be read, decoded or transformed.
    #[error(transparent)]
    Failed(BoxError),
    /// The decoder panicked, which is a bug.
    #[error("the decoder panicked: {0}; this is a bug, please report it with the file")]
    Panicked(String),
}

impl DecodeFailure {
    /// Creates the failure of an input on which the decoder panicked with `panic`.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("no message").to_owned())
    }
}

/// An input and its result.
#[derive(Debug)]
pub struct Decoded<I, R> {
    /// The input, as modified by the decoder.
    pub input: I,
    /// The result of decoding it.
    pub result: Result<R, DecodeFailure>,
}

/// Decodes inputs on its own threads, up to a limited number ahead, and returns them in order.
///
/// Inputs are pulled one by one as needed. A clone is another handle to the same window. When the last handle
/// is dropped, or any handle is [closed](Self::close), each thread ends after its current input.
pub struct DecodeWindow<I, R> {
    shared: Arc<Shared<I, R>>,
    /// Closes the window when the last handle is dropped; the threads hold only `shared`.
    closer: Arc<Closer<I, R>>,
}

impl<I, R> Clone for DecodeWindow<I, R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            closer: Arc::clone(&self.closer),
        }
    }
}

struct Closer<I, R>(Arc<Shared<I, R>>);

impl<I, R> Drop for Closer<I, R> {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct Shared<I, R> {
    /// Locked before `state`, never after it. Held while waiting for room, so that inputs enter the window in
    /// the order in which they are pulled.
    inputs: Mutex<Box<dyn Iterator<Item = I> + Send>>,
    state: Mutex<State<I, R>>,
    /// Notified when an input is finished or taken, a thread ends, or the window is closed or resized.
    changed: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct State<I, R> {
    /// Inputs that are being decoded (`None`), or that are decoded but not yet taken.
    window: VecDeque<Option<Decoded<I, R>>>,
    /// Number of inputs taken so far: the sequence number of the first slot of `window`.
    taken: usize,
    /// Maximum length of `window`.
    ahead: usize,
    /// Number of running decoder threads.
    decoders: usize,
    closed: bool,
}

impl<I: Send + 'static, R: Send + 'static> DecodeWindow<I, R> {
    /// Decodes `inputs` with `decode` on `threads` threads named `name`, at most `ahead` inputs ahead of the
    /// next one to be taken. Once `stop` is true, no further input is started. A panic in `decode` becomes
    /// the failure of that input; a panic in the iterator ends the thread on which it happens.
    ///
    /// # Errors
    /// Fails if a thread cannot be started.
    pub fn start(
        inputs: impl Iterator<Item = I> + Send + 'static,
        ahead: usize,
        (threads, name): (usize, &str),
        stop: &Arc<AtomicBool>,
        decode: impl Fn(&mut I) -> Result<R, BoxError> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inputs: Mutex::new(Box::new(inputs)),
            state: Mutex::new(State {
                window: VecDeque::new(),
                taken: 0,
                ahead: ahead.max(1),
                decoders: 0,
                closed: false,
            }),
            changed: Condvar::new(),
            threads: Mutex::new(Vec::new()),
        });
        let window = Self {
            closer: Arc::new(Closer(Arc::clone(&shared))),
            shared,
        };
        let decode = Arc::new(decode);
        for _ in 0..threads.max(1) {
            let decoder = Decoder {
                shared: Arc::clone(&window.shared),
                stop: Arc::clone(stop),
                decode: Arc::clone(&decode),
            };
            window.shared.lock().decoders += 1;
            // If spawning fails, the decoder is dropped, which decrements the count.
            let spawned = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || decoder.run())?;
            window.shared.threads().push(spawned);
        }
        Ok(window)
    }
}

impl<I, R> DecodeWindow<I, R> {
    /// Changes the number of inputs that may be decoded ahead.
    pub fn look_ahead(&self, ahead: usize) {
        self.shared.lock().ahead = ahead.max(1);
        self.shared.changed.notify_all();
    }

    /// Waits for the next input in order; `None` at the end of the inputs.
    pub fn take(&self) -> Option<Decoded<I, R>> {
        self.take_many(1)?.pop()
    }

    /// Waits for the next `count` inputs in order, or fewer at the end of the inputs; `None` if no inputs
    /// remain. Blocks forever if `count` exceeds the number of inputs that may be decoded ahead.
    pub fn take_many(&self, count: usize) -> Option<Vec<Decoded<I, R>>> {
        let mut state = self.shared.lock();
        loop {
            if state.closed {
                return None;
            }
            let count = match state.decoders {
                // No thread remains, so return what is already decoded.
                0 => count.min(state.window.iter().take_while(|slot| slot.is_some()).count()),
                _ => count,
            };
            if state.decoders == 0 && count == 0 {
                return None;
            }
            let is_ready = state.window.len() >= count && state.window.range(..count).all(Option::is_some);
            if is_ready {
                let taken = state.window.drain(..count).flatten().collect();
                state.taken += count;
                drop(state);
                self.shared.changed.notify_all();
                return Some(taken);
            }
            state = self.shared.wait(state);
        }
    }

    /// Ends the threads, each after its current input. From then on, [`take`](Self::take) returns `None`.
    pub fn close(&self) {
        self.shared.close();
    }

    /// [Closes](Self::close) the window and waits for the threads to end.
    pub fn close_and_wait(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.shared.threads());
        for thread in threads {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl<I, R> Shared<I, R> {
    /// Locks the state. Poisoning is ignored: no code that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, State<I, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<I, R>>) -> MutexGuard<'a, State<I, R>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for room, then pulls the next input and its sequence number.
    fn claim(&self) -> Option<(usize, I)> {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while state.window.len() >= state.ahead && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return None;
        }
        // Pulling may be slow and may panic, so it happens outside the lock.
        drop(state);
        let input = inputs.next()?;
        let mut state = self.lock();
        let number = state.taken + state.window.len();
        state.window.push_back(None);
        Some((number, input))
    }

    fn put(&self, number: usize, decoded: Decoded<I, R>) {
        let mut state = self.lock();
        let place = number - state.taken;
        state.window[place] = Some(decoded);
        drop(state);
        self.changed.notify_all();
    }
}

/// A decoder thread.
struct Decoder<I, R, F> {
    shared: Arc<Shared<I, R>>,
    stop: Arc<AtomicBool>,
    decode: Arc<F>,
}

impl<I, R, F: Fn(&mut I) -> Result<R, BoxError>> Decoder<I, R, F> {
    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst)
            && let Some((number, mut input)) = self.shared.claim()
        {
            let decoded = catch_unwind(AssertUnwindSafe(|| (self.decode)(&mut input)));
            let result = match decoded {
                Ok(result) => result.map_err(DecodeFailure::Failed),
                Err(panic) => Err(DecodeFailure::of_panic(panic.as_ref())),
            };
            self.shared.put(number, Decoded { input, result });
        }
    }
}

impl<I, R, F> Drop for Decoder<I, R, F> {
    fn drop(&mut self) {
        self.shared.lock().decoders -= 1;
        self.shared.changed.notify_all();
    }
}

impl<I, R> fmt::Debug for DecodeWindow<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeWindow").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn start<R: Send + 'static>(
        inputs: usize,
        ahead: usize,
        decode: impl Fn(&mut usize) -> Result<R, BoxError> + Send + Sync + 'static,
    ) -> DecodeWindow<usize, R> {
        DecodeWindow::start(0..inputs, ahead, (3, "decode"), &Arc::default(), decode).unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_the_inputs_whichever_is_ready_first() {
        let window = start(50, 6, |input| {
            std::thread::sleep(Duration::from_micros(((*input * 7919) % 13) as u64 * 50));
            Ok(*input * 10)
        });
        let taken: Vec<usize> = std::iter::from_fn(|| window.take())
            .map(|decoded| decoded.result.unwrap())
            .collect();
        assert_eq!(taken, (0..50).map(|input| input * 10).collect::<Vec<_>>());
    }

    #[test]
    fn no_more_is_decoded_ahead_than_asked_for() {
        let started = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&started);
        let window = start(100, 4, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        for taken in 0..20 {
            assert!(started.load(Ordering::SeqCst) <= taken + 4);
            window.take().unwrap();
        }
    }

    #[test]
    fn several_are_taken_at_once_and_fewer_at_the_end() {
        let window = start(7, 3, |input| Ok(*input));
        let lengths: Vec<usize> = std::iter::from_fn(|| window.take_many(3))
            .map(|taken| taken.len())
            .collect();
        assert_eq!(lengths, [3, 3, 1]);
    }

    #[test]
    fn a_panic_is_that_inputs_failure_and_the_others_go_on() {
        let window = start(3, 3, |input| {
            assert!(*input != 1, "a bug");
            Ok(())
        });
        let results: Vec<_> = std::iter::from_fn(|| window.take())
            .map(|decoded| decoded.result)
            .collect();
        assert!(results[0].is_ok() && results[2].is_ok());
        assert!(results[1].as_ref().unwrap_err().to_string().contains("a bug"));
    }

    #[test]
    fn closing_ends_the_threads() {
        let window = start(usize::MAX, 2, |_| Ok(()));
        window.take().unwrap();
        window.close_and_wait();
        assert!(window.take().is_none());
    }
}
