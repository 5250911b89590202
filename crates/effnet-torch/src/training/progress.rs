//! Progress bars of a training run.

use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar};
use libtorch_ext::device_memory;
use tch::Device;

use effnet_cli::Printer;
use effnet_cli::resident_memory;

/// A bar for the epoch above one for the whole run.
pub(super) struct TrainingProgress<'p> {
    printer: &'p Printer,
    bars: MultiProgress,
    epoch: ProgressBar,
    total: ProgressBar,
    begin: Instant,
    images: u64,
    /// The device whose memory use is shown.
    device: Device,
}

impl<'p> TrainingProgress<'p> {
    /// Bars for a run of `steps` steps, of which `done` are done.
    pub(super) fn new(printer: &'p Printer, device: Device, steps: u64, done: u64) -> Self {
        let bars = printer.bars();
        let epoch = printer.bar_in(&bars, "{prefix:>12} {bar:24} {pos}/{len}  {msg}");
        let total = printer.bar_in(&bars, "       total {bar:24} {pos}/{len} steps, {eta} left");
        total.set_length(steps);
        total.set_position(done);
        total.reset_eta();
        Self {
            printer,
            bars,
            epoch,
            total,
            begin: Instant::now(),
            images: 0,
            device,
        }
    }

    pub(super) fn begin_epoch(&mut self, epoch: u64, epochs: u64, steps: u64, done: u64) {
        self.epoch.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.epoch.set_message("");
        self.epoch.set_length(steps);
        self.epoch.set_position(done);
        (self.begin, self.images) = (Instant::now(), 0);
    }

    /// After a step on `images` images; `loss` is the mean of the epoch so far.
    pub(super) fn step(&mut self, images: u64, loss: f64, rate: f64) {
        self.images += images;
        self.epoch.inc(1);
        self.total.inc(1);
        if self.epoch.is_hidden() {
            return;
        }
        let memory = match self.device {
            Device::Cuda(index) => device_memory(index).ok().map(|memory| memory.total - memory.free),
            _ => resident_memory(),
        };
        let memory = memory.map_or(String::new(), |bytes| {
            format!(", {:.1} GiB", bytes as f64 / f64::from(1 << 30))
        });
        self.epoch.set_message(format!(
            "loss {loss:.4}, lr {rate:.1e}, {:.0} images/s{memory}",
            self.images_per_second()
        ));
    }

    /// Training images per second since the epoch started, data loading included.
    pub(super) fn images_per_second(&self) -> f64 {
        self.images as f64 / self.begin.elapsed().as_secs_f64().max(1e-9)
    }

    pub(super) fn begin_validation(&self, batches: u64) {
        self.epoch.set_prefix("validation");
        self.epoch.set_message("");
        self.epoch.set_length(batches);
        self.epoch.set_position(0);
    }

    pub(super) fn validated(&self) {
        self.epoch.inc(1);
    }

    /// Prints a line above the bars.
    pub(super) fn note(&self, line: impl AsRef<str>) {
        self.bars.suspend(|| self.printer.note(line));
    }

    /// Prints a warning above the bars.
    pub(super) fn warn(&self, line: &str) {
        self.bars.suspend(|| self.printer.warning(line));
    }

    pub(super) fn finish(&self) {
        self.epoch.finish_and_clear();
        self.total.finish_and_clear();
    }
}
