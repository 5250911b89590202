//! The progress bars of a training run.

use std::fmt::Write;
use std::time::Duration;

use effnet_train::StepReport;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use libtorch_ext::device_memory;
use tch::Device;

use effnet_cli::resident_memory;
use effnet_cli::{Printer, duration};

/// The line for the epoch, which is at most as wide as the terminal, whatever the message.
const EPOCH: &str = "{prefix:>13} {bar:12} {pos}/{len}  {wide_msg}";
/// The line for the whole run.
const TOTAL: &str = "        total {bar:12} {pos}/{len} steps, {left}";
/// The line for a learning-rate range test.
const RANGE_TEST: &str = "learning rate {bar:12} {pos}/{len} steps, {left}";

/// A bar for the epoch, above a bar for the whole run.
pub(super) struct TrainingProgress<'p> {
    printer: &'p Printer,
    bars: MultiProgress,
    epoch: ProgressBar,
    total: ProgressBar,
    /// The number of initial steps that train less than the others, so that they tell nothing of the time left.
    head_steps: u64,
    /// The device whose memory use is shown.
    device: Device,
}

impl<'p> TrainingProgress<'p> {
    /// Creates bars for a run of `steps` steps, of which `done` have been taken. The first `head_steps` train less than the
    /// others.
    pub(super) fn new(printer: &'p Printer, device: Device, steps: u64, done: u64, head_steps: u64) -> Self {
        let bars = printer.bars();
        let epoch = bar(printer, &bars, EPOCH, 0);
        let total = bar(printer, &bars, TOTAL, head_steps);
        total.set_length(steps);
        total.set_position(done);
        total.reset_eta();
        Self {
            printer,
            bars,
            epoch,
            total,
            head_steps,
            device,
        }
    }

    pub(super) fn begin_epoch(&mut self, epoch: u64, epochs: u64, steps: u64, done: u64) {
        self.epoch.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.epoch.set_message("");
        self.epoch.set_length(steps);
        self.epoch.set_position(done);
    }

    /// Advances the bars after a step.
    pub(super) fn step(&mut self, step: &StepReport) {
        self.epoch.inc(1);
        self.total.inc(1);
        if self.total.position() == self.head_steps {
            self.total.reset_eta();
        }
        if self.epoch.is_hidden() {
            return;
        }
        let memory = match self.device {
            Device::Cuda(index) => device_memory(index).ok().map(|memory| memory.total - memory.free),
            _ => resident_memory(),
        };
        self.epoch
            .set_message(message(step.loss, step.images_per_second, step.rate, memory));
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

/// Creates a bar for a learning-rate range test with this many steps.
pub(super) fn range_test_bar(printer: &Printer, steps: u64) -> ProgressBar {
    let bar = bar(printer, &printer.bars(), RANGE_TEST, 0);
    bar.set_length(steps);
    bar
}

fn bar(printer: &Printer, bars: &MultiProgress, template: &str, head_steps: u64) -> ProgressBar {
    let bar = printer.bar_in(bars, template);
    // An invalid template would keep the default style; a test ensures that the templates above are valid.
    match style(template, head_steps) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn style(template: &str, head_steps: u64) -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let style = ProgressStyle::with_template(template)?;
    Ok(
        style.with_key("left", move |state: &ProgressState, out: &mut dyn Write| {
            let steps_to_do = state.len().unwrap_or(0).saturating_sub(state.pos());
            let estimate = if state.pos() < head_steps {
                Duration::ZERO
            } else {
                state.eta()
            };
            let _ = out.write_str(&time_left(steps_to_do, estimate));
        }),
    )
}

/// Formats the remaining time as `2m 5s left`, or as `...` until it is known.
fn time_left(steps: u64, estimate: Duration) -> String {
    match estimate.as_secs() {
        // No step has been taken yet, or the last steps are about to finish.
        0 if steps > 0 => "...".to_owned(),
        seconds => format!("{} left", duration(seconds as f64)),
    }
}

/// Returns the numbers next to the bar of an epoch. A narrow terminal cuts off the last ones.
fn message(loss: f64, images_per_second: f64, rate: f64, memory: Option<u64>) -> String {
    let memory = memory.map_or(String::new(), |bytes| {
        format!(", {:.1} GiB", bytes as f64 / f64::from(1 << 30))
    });
    format!("loss {loss:.3}, {images_per_second:.0} images/s, lr {rate:.0e}{memory}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    /// A terminal that keeps what was last drawn.
    #[derive(Debug, Clone)]
    struct Terminal {
        width: u16,
        text: Arc<Mutex<String>>,
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            self.width
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(&format!("{line}\n"))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.text.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.text.lock().unwrap().clear();
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the line shown in a terminal of this width after `done` steps.
    fn drawn(width: u16, template: &str, done: u64) -> String {
        drawn_after(width, template, done, 0)
    }

    fn drawn_after(width: u16, template: &str, done: u64, head_steps: u64) -> String {
        let text = Arc::default();
        let terminal = Terminal {
            width,
            text: Arc::clone(&text),
        };
        let target = ProgressDrawTarget::term_like(Box::new(terminal));
        let bar = ProgressBar::with_draw_target(Some(17_999), target)
            .with_style(style(template, head_steps).unwrap());
        bar.set_prefix("epoch 100/350");
        bar.set_message(message(6.9078, 2345.6, 1.2e-3, Some(3 << 30)));
        bar.set_position(done);
        text.lock().unwrap().clear();
        bar.force_draw();
        let text = text.lock().unwrap();
        text.trim_end().to_owned()
    }

    #[test]
    fn live_lines_fit_the_terminal() {
        for width in [60, 79, 80, 120] {
            for template in [EPOCH, TOTAL, RANGE_TEST] {
                let text = drawn(width, template, 17_000);
                assert!(text.chars().count() <= usize::from(width), "{width}: {text}");
                assert!(text.contains("17000/17999") && !text.contains('\n'), "{text}");
            }
        }
        let wide = drawn(100, EPOCH, 17_000);
        assert!(
            wide.ends_with("loss 6.908, 2346 images/s, lr 1e-3, 3.0 GiB"),
            "{wide}"
        );
        let typical = message(0.512_34, 85.2, 1.2e-3, Some(300 << 20));
        assert_eq!(typical, "loss 0.512, 85 images/s, lr 1e-3, 0.3 GiB");
        let line = "   epoch 3/10 ████████████ 15/180  ".chars().count() + typical.len();
        assert!(line <= 80, "{line}");
    }

    #[test]
    fn the_time_is_not_said_to_be_over_before_it_is_known() {
        assert!(
            drawn(80, TOTAL, 0).ends_with("0/17999 steps, ..."),
            "{}",
            drawn(80, TOTAL, 0)
        );
        // Nor before a step of the longer kind.
        let text = drawn_after(80, TOTAL, 100, 180);
        assert!(text.ends_with("100/17999 steps, ..."), "{text}");
        assert_eq!(time_left(180, Duration::ZERO), "...");
        assert_eq!(time_left(180, Duration::from_secs(125)), "2m 5s left");
        assert_eq!(time_left(0, Duration::ZERO), "0s left");
    }
}
