//! The side of a pipeline that decodes.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use effnet_image::EvalTransform;

use super::{InputError, Output, Source};
use crate::Error;

/// Decodes pictures on threads of its own, a few ahead of whoever takes them.
///
/// It starts at once, so that the first pictures are ready when the network is. Dropping it ends the
/// threads, each after the picture that it is at.
#[derive(Debug)]
pub struct Reader<T> {
    window: Arc<Window<T>>,
    transform: EvalTransform,
    threads: usize,
    stop: Arc<AtomicBool>,
}

impl<T: Source> Reader<T> {
    /// Decodes `inputs` on up to `threads` threads, and brings them through `transform`. `inputs`
    /// are pulled one by one as they are needed. When `stop` becomes true, no further picture is
    /// begun.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub fn start<I>(
        inputs: I,
        transform: EvalTransform,
        threads: usize,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error>
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        let inputs = inputs.into_iter();
        let at_most = inputs.size_hint().1.unwrap_or(usize::MAX);
        let threads = threads.min(at_most).max(1);
        let reader = Self {
            window: Arc::new(Window::new(Box::new(inputs), threads)),
            transform,
            threads,
            stop,
        };
        for _ in 0..threads {
            let decoder = Decoder {
                window: Arc::clone(&reader.window),
                transform,
                stop: Arc::clone(&reader.stop),
            };
            reader.window.lock().decoders += 1;
            let spawned = std::thread::Builder::new()
                .name("effnet-decode".to_owned())
                .spawn(move || decoder.run());
            // A decoder that was not started is dropped, which takes it off the count.
            spawned?;
        }
        Ok(reader)
    }
}

impl<T> Reader<T> {
    /// Lets a batch be decoded ahead, and a picture on each thread.
    pub(super) fn look_ahead(&self, batch_size: usize) {
        self.window.lock().ahead = batch_size.saturating_add(self.threads);
        self.window.changed.notify_all();
    }

    /// Moves decoded pictures to the end of `pictures` until it has `count`, waiting for them. It
    /// has fewer at the end of the inputs only.
    pub(super) fn fill(&self, pictures: &mut Vec<Output<T>>, count: usize) {
        while pictures.len() < count {
            match self.window.take() {
                Some(picture) => pictures.push(picture),
                None => break,
            }
        }
    }

    /// Gives the memory of a picture back for another one.
    pub(super) fn recycle(&self, pixels: Vec<f32>) {
        let mut state = self.window.lock();
        if state.spare.len() < state.ahead {
            state.spare.push(pixels);
        }
    }

    /// The shape of `count` pictures.
    pub(super) fn batch_shape(&self, count: usize) -> [i64; 4] {
        let side = self.transform.image_size as i64;
        [count as i64, 3, side, side]
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(super) fn window(&self) -> Arc<Window<T>> {
        Arc::clone(&self.window)
    }

    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.window.close();
    }
}

/// Pictures that are being decoded, or are decoded and not yet taken, in the order of the inputs.
pub(super) struct Window<T> {
    /// Locked before `state`, never after it. Held while its holder waits for room, so that pictures
    /// enter the window in the order in which they are pulled.
    inputs: Mutex<Box<dyn Iterator<Item = T> + Send>>,
    state: Mutex<State<T>>,
    /// A picture was finished or taken, a decoder has left, the window was closed or enlarged.
    changed: Condvar,
}

struct State<T> {
    /// `None` for those that are being decoded.
    pictures: VecDeque<Option<Output<T>>>,
    /// How many were taken so far: the number of the first of `pictures`.
    taken: usize,
    /// The most that `pictures` may hold.
    ahead: usize,
    decoders: usize,
    closed: bool,
    /// Memory of pictures that were taken: fresh memory would be faulted in page by page.
    spare: Vec<Vec<f32>>,
}

impl<T> Window<T> {
    fn new(inputs: Box<dyn Iterator<Item = T> + Send>, ahead: usize) -> Self {
        Self {
            inputs: Mutex::new(inputs),
            state: Mutex::new(State {
                pictures: VecDeque::new(),
                taken: 0,
                ahead,
                decoders: 0,
                closed: false,
                spare: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the decoders; nothing more will be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The next input, its number and memory for its pixels, once there is room for it.
    fn claim(&self) -> Option<(usize, T, Vec<f32>)> {
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        while state.pictures.len() >= state.ahead && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return None;
        }
        // Pulling may take its time, and may panic.
        drop(state);
        let input = inputs.next()?;
        let mut state = self.lock();
        let number = state.taken + state.pictures.len();
        state.pictures.push_back(None);
        let pixels = state.spare.pop().unwrap_or_default();
        Some((number, input, pixels))
    }

    fn put(&self, number: usize, picture: Output<T>) {
        let mut state = self.lock();
        let place = number - state.taken;
        state.pictures[place] = Some(picture);
        drop(state);
        self.changed.notify_all();
    }

    /// The next picture in order; `None` when there will be no more.
    fn take(&self) -> Option<Output<T>> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(picture) = state.pictures.front_mut().and_then(Option::take) {
                state.pictures.pop_front();
                state.taken += 1;
                drop(state);
                self.changed.notify_all();
                return Some(picture);
            }
            if state.decoders == 0 {
                return None;
            }
            state = self.wait(state);
        }
    }
}

impl<T> fmt::Debug for Window<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").finish_non_exhaustive()
    }
}

/// One thread that decodes.
struct Decoder<T> {
    window: Arc<Window<T>>,
    transform: EvalTransform,
    stop: Arc<AtomicBool>,
}

impl<T: Source> Decoder<T> {
    fn run(&self) {
        while !self.stop.load(Ordering::SeqCst)
            && let Some((number, input, pixels)) = self.window.claim()
        {
            let decode = AssertUnwindSafe(|| self.decode(&input, pixels));
            let result = catch_unwind(decode)
                .unwrap_or_else(|panic| Err(InputError::Panicked(message(panic.as_ref()))));
            self.window.put(number, Output { input, result });
        }
    }

    fn decode(&self, input: &T, mut pixels: Vec<f32>) -> Result<Vec<f32>, InputError> {
        let image = input.image().map_err(InputError::Image)?;
        pixels.resize(self.transform.output_len(), 0.0);
        let transformed = self.transform.apply_into(&image, &mut pixels);
        transformed.map_err(|error| InputError::Image(error.into()))?;
        Ok(pixels)
    }
}

impl<T> Drop for Decoder<T> {
    fn drop(&mut self) {
        self.window.lock().decoders -= 1;
        self.window.changed.notify_all();
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
