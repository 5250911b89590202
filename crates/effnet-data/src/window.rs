//! Images decoded on several threads, in order, a bounded number ahead of whoever takes them.
//!
//! Both the training loader and the inference pipeline read through it. Decoding a whole folder ahead would
//! take all memory, and decoding one image at a time would leave cores idle; and what is taken must not
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

/// Why one input has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// It could not be read, decoded or transformed.
    #[error(transparent)]
    Failed(BoxError),
    /// The decoder has a bug that this input brings out.
    #[error("the decoder failed on it ({0}); please report this, with the file")]
    Panicked(String),
}

impl DecodeFailure {
    /// What is said of an input that a decoder panicked on.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("no message").to_owned())
    }
}

/// One input with what became of it.
#[derive(Debug)]
pub struct Decoded<I, R> {
    /// As it went in.
    pub input: I,
    /// What decoding it gave.
    pub result: Result<R, DecodeFailure>,
}

/// Decodes inputs on threads of its own, a bounded number ahead, and gives them out in their order.
///
/// Inputs are pulled one by one as they are needed. A clone is another handle on the same window. Once the last
/// handle is dropped, or one is [closed](Self::close), each thread ends after the input that it is at.
pub struct DecodeWindow<I, R> {
    shared: Arc<Shared<I, R>>,
    /// Ends the threads with the last handle: they hold `shared` only.
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
    /// Locked before `state`, never after it. Held while its holder waits for room, so that inputs enter the
    /// window in the order in which they are pulled.
    inputs: Mutex<Box<dyn Iterator<Item = I> + Send>>,
    state: Mutex<State<I, R>>,
    /// An input was finished or taken, a thread has ended, the window was closed or enlarged.
    changed: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct State<I, R> {
    /// Inputs that are being decoded (`None`), or are decoded and not yet taken.
    window: VecDeque<Option<Decoded<I, R>>>,
    /// How many were taken so far: the number of the first of `window`.
    taken: usize,
    /// The most that `window` may hold.
    ahead: usize,
    decoders: usize,
    closed: bool,
}

impl<I: Send + 'static, R: Send + 'static> DecodeWindow<I, R> {
    /// Decodes `inputs` with `decode` on `threads` threads called `name`, at most `ahead` inputs before the one
    /// that is taken next. Once `stop` is true no further input is begun. A panic of `decode` becomes that
    /// input's failure; one of the iterator ends the thread that it happens on.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
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
            // A decoder that was not started is dropped, which takes it off the count.
            let spawned = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || decoder.run())?;
            window.shared.threads().push(spawned);
        }
        Ok(window)
    }
}

impl<I, R> DecodeWindow<I, R> {
    /// Changes how many inputs may be decoded ahead.
    pub fn look_ahead(&self, ahead: usize) {
        self.shared.lock().ahead = ahead.max(1);
        self.shared.changed.notify_all();
    }

    /// The next input in order, once it is decoded; `None` when there will be no more.
    pub fn take(&self) -> Option<Decoded<I, R>> {
        self.take_many(1)?.pop()
    }

    /// The next `count` inputs in order, once all of them are decoded, or fewer at the end of the inputs; `None`
    /// when there will be no more. It waits for ever for more than may be decoded ahead.
    pub fn take_many(&self, count: usize) -> Option<Vec<Decoded<I, R>>> {
        let mut state = self.shared.lock();
        loop {
            if state.closed {
                return None;
            }
            let count = match state.decoders {
                // Nothing more will come: what is there is all.
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

    /// Ends the threads, each after the input that it is at; nothing more will be taken.
    pub fn close(&self) {
        self.shared.close();
    }

    /// [`close`](Self::close), and waits for the threads.
    pub fn close_and_wait(&self) {
        self.close();
        let threads = std::mem::take(&mut *self.shared.threads());
        for thread in threads {
            // One that panicked has said so, and there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl<I, R> Shared<I, R> {
    /// No code that can panic runs under the lock.
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

    /// The next input and its number, once there is room for it.
    fn claim(&self) -> Option<(usize, I)> {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while state.window.len() >= state.ahead && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return None;
        }
        // Pulling may take its time, and may panic.
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

/// One thread that decodes.
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
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let window = start(100, 4, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        for taken in 0..20 {
            assert!(begun.load(Ordering::SeqCst) <= taken + 4);
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
