//! Benchmarks concurrent callers of one engine: `callers VARIANT CALLERS SECONDS` prints the total images per
//! second of all callers, with one thread each, and the memory use of the process. Used by
//! scripts/bench/two-callers.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use effnet::{Backend, Engine, EngineOptions, Images, Parameters, Variant};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let variant: Variant = next("b0").parse()?;
    let callers: usize = next("2").parse()?;
    let seconds: f64 = next("5").parse()?;
    let config = variant.config();
    let options = EngineOptions::default().with_threads(1).with_calls(callers);
    let engine = Engine::new(&Parameters::random(&config, 0)?, options)?;
    let [height, width] = config.image_size;
    let pixels = vec![0.5; 3 * height * width];
    let images = || Images::new(&pixels, [1, 3, height, width]);
    // Warm up, so that contexts have allocated their memory and caches are filled.
    let call = || engine.run(images()?).map(drop);
    std::thread::scope(|scope| {
        let warm_up: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
        warm_up
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a caller panicked")?.map_err(Box::from))
            .map_err(|error: Box<dyn Error + Send + Sync>| error)
    })?;
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs_f64(seconds) && call().is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let rate = done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    println!(
        "{{\"images_per_second\": {rate}, \"resident_kib\": {resident}, \"weights_kib\": {}}}",
        engine.weight_bytes() >> 10
    );
    Ok(())
}
