//! Published weights by name, and files, as sources of parameters.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use effnet_hub::{Bundled, Entry, Hub, HubConfig, Manifest, Progress, Transfer, Warning};
use indicatif::ProgressBar;

use crate::arguments::{ModelName, ZooArguments};
use crate::printer::Printer;

/// A small network that this project trained, for machines without a network.
const BUNDLED: Bundled = Bundled {
    id: "b0.cifar10",
    name: "effnet-b0-cifar10.safetensors",
    bytes: include_bytes!("../../../weights/effnet-b0-cifar10.safetensors"),
};

/// The manifest and the caches of this machine.
pub(crate) struct Zoo {
    pub(crate) manifest: Manifest,
    pub(crate) hub: Hub,
}

/// A file with parameters, and what is published about it.
pub(crate) struct Weights {
    /// As it is reported: the id, or the path.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The published weights that this is, or that it is named like.
    pub(crate) entry: Option<Entry>,
}

impl Zoo {
    /// Reads the manifest. Nothing is fetched or created.
    pub(crate) fn open(arguments: &ZooArguments) -> anyhow::Result<Self> {
        let mut config = HubConfig::from_environment(|name| std::env::var_os(name));
        config.offline |= arguments.offline;
        config.bundled.push(BUNDLED);
        config.user_agent = format!("effnet/{}", env!("CARGO_PKG_VERSION"));
        let mut manifest = Manifest::embedded()?;
        let from_environment = || std::env::var_os("EFFNET_MANIFEST").filter(|path| !path.is_empty());
        if let Some(path) = arguments
            .manifest
            .clone()
            .or_else(|| from_environment().map(PathBuf::from))
        {
            manifest.merge_file(&path)?;
        }
        Ok(Self {
            manifest,
            hub: Hub::new(config),
        })
    }

    /// The weights that `--model` and `--weights` ask for; fetches them if they are published ones
    /// that this machine lacks.
    pub(crate) fn locate(
        &self,
        model: Option<&ModelName>,
        weights: Option<&str>,
        printer: &Printer,
    ) -> anyhow::Result<Weights> {
        match (weights, model) {
            (
                Some(weights),
                Some(ModelName {
                    variant,
                    tag: Some(tag),
                }),
            ) => bail!(
                "--model names the weights {variant}.{tag} and --weights names {weights}; leave one of them out"
            ),
            (Some(weights), model) => {
                // `--model b3 --weights advprop`: the tag alone is enough.
                let with_variant = model.map(|model| format!("{}.{weights}", model.variant));
                let known = with_variant.filter(|id| self.manifest.get(id).is_ok());
                self.locate_one(known.as_deref().unwrap_or(weights), printer)
            }
            (
                None,
                Some(ModelName {
                    variant,
                    tag: Some(tag),
                }),
            ) => self.fetch(self.manifest.get(&format!("{variant}.{tag}"))?, printer),
            (None, Some(model)) => self.fetch(self.manifest.get(model.variant.name())?, printer),
            (None, None) => self.fetch(self.manifest.get("b0")?, printer),
        }
    }

    /// A file if there is one of this name, or the best weights of a run, else published weights.
    pub(crate) fn locate_one(&self, text: &str, printer: &Printer) -> anyhow::Result<Weights> {
        let path = Path::new(text);
        if path.is_dir() {
            return weights_of_run(path);
        }
        if path.exists() || looks_like_a_path(path) {
            let name = path.file_name().and_then(|name| name.to_str());
            let entry = name.and_then(|name| self.manifest.entry_of_file(name));
            let entry = entry.map(|(entry, _)| entry.clone());
            return Ok(Weights {
                name: text.to_owned(),
                path: path.to_owned(),
                entry,
            });
        }
        let entry = self.manifest.get(text).with_context(|| {
            format!(
                "{text}: no such file, and no published weights of this id (`effnet models --all` lists them)"
            )
        })?;
        self.fetch(entry, printer)
    }

    fn fetch(&self, entry: &Entry, printer: &Printer) -> anyhow::Result<Weights> {
        let mut progress = DownloadProgress::new(printer, printer.download());
        let path = self.hub.resolve(entry, &mut progress)?;
        Ok(Weights {
            name: entry.id.clone(),
            path,
            entry: Some(entry.clone()),
        })
    }
}

/// The weights that a training left in its folder: the best, or else the last.
fn weights_of_run(folder: &Path) -> anyhow::Result<Weights> {
    let names = ["best.safetensors", "last.safetensors"];
    let path = names
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file());
    let path = path.with_context(|| {
        let [best, last] = names;
        format!(
            "{}: no weights in this folder, expected {best} or {last} of a training",
            folder.display()
        )
    })?;
    Ok(Weights {
        name: path.display().to_string(),
        path,
        entry: None,
    })
}

/// Whether someone who typed this meant a file: an id has no folder and no such ending.
fn looks_like_a_path(path: &Path) -> bool {
    let ending = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    path.components().count() > 1
        || path.is_absolute()
        || ["pth", "pt", "safetensors", "tar", "bin", "ckpt", "onnx", "h5"].contains(&ending)
}

/// Draws a download.
pub(crate) struct DownloadProgress<'p> {
    printer: &'p Printer,
    bar: ProgressBar,
}

impl<'p> DownloadProgress<'p> {
    pub(crate) fn new(printer: &'p Printer, bar: ProgressBar) -> Self {
        Self { printer, bar }
    }
}

impl Progress for DownloadProgress<'_> {
    fn started(&mut self, transfer: &Transfer<'_>) {
        self.printer.detail(format!("fetching {}", transfer.url));
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
