//! Opens the manifest and cache of published weights according to the flags and the environment, and shows downloads.

use effnet::{HubConfig, Zoo};
use effnet_hub::{Progress, Transfer, Warning};
use indicatif::ProgressBar;

use crate::Printer;
use crate::arguments::ZooArguments;

/// Opens the manifest. Nothing is downloaded or created.
///
/// # Errors
/// If the manifest named by `--manifest` or `EFFNET_MANIFEST` cannot be read.
pub fn open_zoo(arguments: &ZooArguments) -> anyhow::Result<Zoo> {
    let mut config = HubConfig::from_environment(|name| std::env::var_os(name));
    config.offline |= arguments.offline;
    config.user_agent = format!("effnet/{}", env!("CARGO_PKG_VERSION"));
    let manifest = arguments.manifest.clone().or_else(Zoo::manifest_of_environment);
    Ok(Zoo::open(config, manifest.as_deref())?)
}

/// Shows a download as a progress bar.
pub struct DownloadProgress<'p> {
    printer: &'p Printer,
    bar: ProgressBar,
}

impl<'p> DownloadProgress<'p> {
    /// Shows downloads on a new bar.
    pub fn new(printer: &'p Printer) -> Self {
        Self::on(printer, printer.download())
    }

    /// Shows downloads on an existing bar.
    pub(crate) fn on(printer: &'p Printer, bar: ProgressBar) -> Self {
        Self { printer, bar }
    }
}

impl Progress for DownloadProgress<'_> {
    fn started(&mut self, transfer: &Transfer<'_>) {
        self.printer.detail(format!("downloading {}", transfer.url));
        self.bar.set_message(transfer.file.to_owned());
        match transfer.total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_position(transfer.from);
        self.bar.reset_eta();
    }

    fn advanced(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn finished(&mut self) {
        self.bar.finish_and_clear();
    }

    fn warned(&mut self, warning: &Warning) {
        self.bar.suspend(|| self.printer.warning(warning.to_string()));
    }
}

impl Drop for DownloadProgress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
