//! The one place that writes to standard error.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// Where the output is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Writes notes, warnings, errors and progress for a person; results go to
/// standard output.
pub struct Printer {
    quiet: bool,
    verbose: bool,
}

// Errors are printed whatever the settings; they go through the printer all the same.
#[allow(clippy::unused_self)]
impl Printer {
    /// A printer that keeps to errors when `quiet`, and tells details when `verbose`. Colours are a setting of
    /// the whole process.
    pub fn new(quiet: bool, verbose: bool, color: ColorChoice) -> Self {
        match color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { quiet, verbose }
    }

    /// The printer of a process of a group: the first speaks for all, the others of errors only.
    #[must_use]
    pub fn of_rank(&self, rank: usize) -> Self {
        Self {
            quiet: self.quiet || rank > 0,
            verbose: self.verbose && rank == 0,
        }
    }

    /// What only `--verbose` shows.
    pub fn detail(&self, message: impl AsRef<str>) {
        if self.verbose {
            write_line("", Style::new(), message.as_ref());
        }
    }

    /// What was done, unless `--quiet`.
    pub fn note(&self, message: impl AsRef<str>) {
        if !self.quiet {
            write_line("", Style::new(), message.as_ref());
        }
    }

    /// What may surprise, unless `--quiet`.
    pub fn warning(&self, message: impl AsRef<str>) {
        if !self.quiet {
            write_line("warning", AnsiColor::Yellow.on_default().bold(), message.as_ref());
        }
    }

    /// An error with its causes, each on a line of its own.
    pub fn error(&self, error: &anyhow::Error) {
        let mut causes = error.chain().map(ToString::to_string);
        write_line(
            "error",
            AnsiColor::Red.on_default().bold(),
            &causes.next().unwrap_or_default(),
        );
        for cause in causes {
            write_line("  caused by", Style::new(), &cause);
        }
    }

    /// An input that failed while the others go on.
    pub fn failure(&self, input: &str, reason: &str) {
        // Errors of files begin with the file's name themselves.
        let reason = reason.strip_prefix(&format!("{input}: ")).unwrap_or(reason);
        write_line(
            "error",
            AnsiColor::Red.on_default().bold(),
            &format!("{input}: {reason}"),
        );
    }

    /// A bar over `length` items, invisible when standard error is no terminal, when quiet, or
    /// when there is just one.
    pub fn progress(&self, length: u64) -> ProgressBar {
        if self.quiet || length < 2 || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        styled(bar, "{bar:30} {pos}/{len} images, {per_sec}, {eta} left")
    }

    /// A bar for one download.
    pub fn download(&self) -> ProgressBar {
        self.download_in(&self.bars())
    }

    /// Room for several bars, invisible when standard error is no terminal and when quiet.
    pub fn bars(&self) -> MultiProgress {
        if self.quiet || !std::io::stderr().is_terminal() {
            return MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        }
        MultiProgress::new()
    }

    /// A bar for one download among several.
    pub fn download_in(&self, downloads: &MultiProgress) -> ProgressBar {
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        self.bar_in(downloads, template)
    }

    /// A bar of this template below the others.
    pub fn bar_in(&self, bars: &MultiProgress, template: &str) -> ProgressBar {
        bars.add(styled(ProgressBar::no_length(), template))
    }
}

/// The style that a template describes; the templates here are right, a wrong one would keep the
/// default style.
fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A failed write to standard error can be told to nobody.
fn write_line(label: &str, style: Style, message: &str) {
    let mut stderr = anstream::stderr().lock();
    let _ = if label.is_empty() {
        writeln!(stderr, "{message}")
    } else {
        writeln!(stderr, "{style}{label}{style:#}: {message}")
    };
}
