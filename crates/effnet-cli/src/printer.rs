//! The one place that writes to standard error.
//!
//! `--quiet`, `--verbose` and `--color` are handled here, so a command only states the kind of its message. No bar is
//! drawn if standard error is not a terminal: log files and pipes receive whole lines only. Messages quote names and
//! text from files and servers, so all messages are [escaped](crate::escape).

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use effnet_image::ImageWarning;
use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
    WeakProgressBar,
};

use crate::escape;

/// The value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// If the output is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Writes notes, warnings, errors and progress to standard error; results go to standard output.
pub struct Printer {
    quiet: bool,
    verbose: bool,
    /// The bar of [`progress`](Self::progress), which is cleared while a message is printed.
    bar: Arc<Mutex<Option<WeakProgressBar>>>,
}

impl Printer {
    /// Creates a printer that prints only errors if `quiet`, and also details if `verbose`. Sets `color` for the whole
    /// process.
    pub fn new(quiet: bool, verbose: bool, color: ColorChoice) -> Self {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self {
            quiet,
            verbose,
            bar: Arc::default(),
        }
    }

    /// Returns the printer for a rank of a group: rank 0 prints for all, and the other ranks print only errors.
    #[must_use]
    pub fn of_rank(&self, rank: usize) -> Self {
        Self {
            quiet: self.quiet || rank > 0,
            verbose: self.verbose && rank == 0,
            bar: Arc::clone(&self.bar),
        }
    }

    /// Returns whether anything but results and errors is printed.
    pub(crate) fn is_chatty(&self) -> bool {
        !self.quiet
    }

    /// Prints a detail, but only with `--verbose`.
    pub fn detail(&self, message: impl AsRef<str>) {
        if self.verbose {
            self.write_line("", Style::new(), message.as_ref());
        }
    }

    /// Prints what was done, unless `--quiet`.
    pub fn note(&self, message: impl AsRef<str>) {
        if !self.quiet {
            self.write_line("", Style::new(), message.as_ref());
        }
    }

    /// Prints a warning, unless `--quiet`.
    pub fn warning(&self, message: impl AsRef<str>) {
        if !self.quiet {
            self.write_line("warning", AnsiColor::Yellow.on_default().bold(), message.as_ref());
        }
    }

    /// Prints an error and its causes, one per line.
    pub fn error(&self, error: &anyhow::Error) {
        let mut causes = error.chain().map(ToString::to_string);
        self.write_line(
            "error",
            AnsiColor::Red.on_default().bold(),
            &causes.next().unwrap_or_default(),
        );
        for cause in causes {
            self.write_line("  caused by", Style::new(), &cause);
        }
    }

    /// Prints why an input failed; the other inputs are still processed.
    pub fn failure(&self, input: &str, reason: &str) {
        // Errors about a file already begin with its name.
        let reason = reason.strip_prefix(&format!("{input}: ")).unwrap_or(reason);
        self.write_line(
            "error",
            AnsiColor::Red.on_default().bold(),
            &format!("{}: {reason}", escape::line(input)),
        );
    }

    /// Prints the warnings from decoding an input, one per line, unless `--quiet`.
    pub fn image_warnings<N: Display>(&self, input: impl Fn() -> N, warnings: &[ImageWarning]) {
        for warning in warnings {
            self.warning(format!("{}: {warning}", escape::line(&input().to_string())));
        }
    }

    /// Returns a progress bar for `length` images. It is hidden if standard error is not a terminal, with `--quiet`,
    /// and for a single image. Printing a message clears it temporarily, and dropping it removes it.
    pub fn progress(&self, length: u64) -> ProgressBar {
        if self.quiet || length < 2 || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        // The text comes first, because a narrow terminal shortens the bar.
        let bar = styled(bar, "{pos}/{len} images{images_per_sec}{left} {wide_bar}");
        let bar = bar.with_finish(ProgressFinish::AndClear);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.downgrade());
        bar
    }

    /// Returns a progress bar for one download.
    pub fn download(&self) -> ProgressBar {
        self.download_in(&self.bars())
    }

    /// Returns a group of progress bars. It is hidden if standard error is not a terminal, and with `--quiet`.
    pub fn bars(&self) -> MultiProgress {
        if self.quiet || !std::io::stderr().is_terminal() {
            return MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        }
        MultiProgress::new()
    }

    /// Returns a progress bar for one of several downloads.
    pub fn download_in(&self, downloads: &MultiProgress) -> ProgressBar {
        let template = "{msg} {bytes}/{total_bytes}, {bytes_per_sec}{left} {wide_bar}";
        self.bar_in(downloads, template)
    }

    /// Adds a bar with this template below the others.
    pub fn bar_in(&self, bars: &MultiProgress, template: &str) -> ProgressBar {
        bars.add(styled(ProgressBar::no_length(), template))
    }

    /// Writes a message. A failed write to standard error is ignored, because there is nowhere left to report it.
    fn write_line(&self, label: &str, style: Style, message: &str) {
        let message = escape::message(message);
        let write = || {
            let mut stderr = anstream::stderr().lock();
            let _ = if label.is_empty() {
                writeln!(stderr, "{message}")
            } else {
                writeln!(stderr, "{style}{label}{style:#}: {message}")
            };
        };
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match bar.as_ref().and_then(WeakProgressBar::upgrade) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Applies a template. With an invalid template, the bar would keep its default style; the templates used here are
/// valid.
fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => {
            let style = style.with_key("images_per_sec", write_images_per_sec);
            bar.with_style(style.with_key("left", write_time_left))
        }
        Err(_) => bar,
    }
}

/// Writes a rounded rate once it is known; indicatif's own format has four decimals.
fn write_images_per_sec(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let rate = state.per_sec();
    let _ = match rate {
        _ if state.pos() == 0 || rate <= 0.0 => Ok(()),
        _ if rate < 9.5 => write!(out, ", {rate:.1} images/s"),
        _ => write!(out, ", {rate:.0} images/s"),
    };
}

/// Writes the remaining time, unless it is unknown or too short to matter.
fn write_time_left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let left = state.eta();
    if state.pos() > 0 && left.as_secs() > 0 {
        let _ = write!(out, ", {:#} left", indicatif::HumanDuration(left));
    }
}

/// Formats a count with its noun in the singular or plural: `1 image`, `2 images`, `2 classes`.
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    match (count == N::from(1u8), noun.ends_with('s')) {
        (true, _) => format!("{count} {noun}"),
        (false, true) => format!("{count} {noun}es"),
        (false, false) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_all_other_counts_are_plural() {
        assert_eq!(counted(1usize, "image"), "1 image");
        assert_eq!(counted(0usize, "image"), "0 images");
        assert_eq!(counted(2i64, "class"), "2 classes");
    }
}
