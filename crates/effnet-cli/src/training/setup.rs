//! From arguments to a session.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet_core::EfficientNet;
use effnet_train::run::{EpochRecord, EventWriter, Log, Record, RunFolder};
use effnet_train::{Checkpointer, Snapshot, Trainer};
use tch::Device;

use super::best::Best;
use super::data::TrainingData;
use super::datasets::{Datasets, PARTED, Parted, UNREADABLE, Unreadable};
use super::origin::Origin;
use super::progress::TrainingProgress;
use super::session::{LOG_POSITION, RATE, Session};
use super::settings::Settings;
use super::values::Auto;
use super::{batch_size, learning_rate, plan};
use crate::arguments::ModelName;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::zoo::{Weights, Zoo};

/// What a session is made with.
pub(super) struct Setup<'a> {
    pub(super) settings: Settings,
    pub(super) device: Device,
    pub(super) zoo: &'a Zoo,
    pub(super) printer: &'a Printer,
    pub(super) interrupt: Interrupt,
}

/// Settings that may differ when a training goes on: they do not change what it computes.
const FREE: [&str; 3] = ["data", "workers", "save_steps"];

impl<'a> Setup<'a> {
    /// A training from its beginning, in a folder of its own.
    /// `None` when interrupted before it began.
    pub(super) fn begin(mut self, output: &Path) -> anyhow::Result<Option<Session<'a>>> {
        let mut datasets = Datasets::open(&self.settings)?;
        let origin = Origin::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        let folder = RunFolder::create(output)?;
        let unreadable = datasets.find_unreadable(&self.settings, self.printer, &self.interrupt)?;
        if self.interrupt.is_set() {
            return Ok(None);
        }
        datasets.leave_out(&unreadable);
        self.settings.image_size = Auto::Value(origin.transform.image_size as u32);
        let data = TrainingData::new(datasets, &self.settings, origin.transform, self.printer)?;
        self.printer.note(origin.describe());
        self.printer.note(data.describe());
        batch_size::settle(&mut self.settings, &origin, &data, self.device, self.printer)?;
        let steps = u64::from(self.settings.epochs) * data.steps_per_epoch(&self.settings);
        if self.settings.bn_momentum == Auto::Auto {
            self.settings.bn_momentum = Auto::Value(origin.batch_norm_momentum(steps));
        }
        learning_rate::settle(&mut self.settings, &origin, &data, self.device, self.printer)?;

        folder.write_classes(data.classes())?;
        folder.write_json(UNREADABLE, &unreadable)?;
        folder.write_json(PARTED, &data.parted(&self.settings))?;
        let log = Log::create(folder.log())?;
        let checkpointer = Checkpointer::new(folder.path(), origin.metadata(data.classes()))?;
        let mut session = self.session(folder, checkpointer, data, &origin, log, 0)?;
        // From here on there is a run that can go on.
        session.save(false)?;
        session.folder.write_config(&session.settings)?;
        Ok(Some(session))
    }

    /// A training from where it was left.
    pub(super) fn resume(self, folder: RunFolder) -> anyhow::Result<Session<'a>> {
        let mut datasets = Datasets::open(&self.settings)?;
        datasets.leave_out(&folder.read_json::<Vec<Unreadable>>(UNREADABLE)?);
        let weights = folder.path().join("last.safetensors");
        let weights = Weights {
            name: weights.display().to_string(),
            path: weights,
            entry: None,
        };
        let variant = self.settings.model.parse::<ModelName>()?.variant;
        let origin = Origin::of_weights(
            &self.settings,
            variant,
            Some(weights),
            datasets.classes(),
            self.zoo,
        )?;
        if !origin.keeps_classifier() {
            bail!(
                "{}: other classes than those that {} was begun with ({})",
                self.settings.data.display(),
                folder.path().display(),
                folder.classes().display()
            );
        }
        let data = TrainingData::new(datasets, &self.settings, origin.transform, self.printer)?;
        ensure!(
            data.parted(&self.settings) == folder.read_json::<Parted>(PARTED)?,
            "{}: other images than those that {} was begun with; begin a new run, from its weights with --weights",
            self.settings.data.display(),
            folder.path().display()
        );
        let checkpointer = Checkpointer::new(folder.path(), origin.metadata(data.classes()))?;
        let snapshot = checkpointer
            .resume(&serde_json::to_value(&self.settings)?, &FREE)?
            .with_context(|| format!("{}: no checkpoint to go on from", folder.path().display()))?;
        let log = Log::resume(folder.log(), note(&snapshot, LOG_POSITION)?)?;
        let records: Vec<Record> = Log::read(&folder.log())?;
        let step = snapshot.trainer.position.step;
        let mut session = self.session(folder, checkpointer, data, &origin, log, step)?;
        session.trainer.restore(&snapshot.trainer)?;
        session.history = records.iter().filter_map(epoch_record).collect();
        session.best = Best::from_notes(&snapshot.notes);
        session.rate = note(&snapshot, RATE)?;
        if let Some(path) = session.checkpointer.last_good() {
            session.trainer.note_checkpoint(path);
        }
        Ok(session)
    }

    fn session(
        self,
        folder: RunFolder,
        checkpointer: Checkpointer,
        data: TrainingData,
        origin: &Origin,
        log: Log,
        step: u64,
    ) -> anyhow::Result<Session<'a>> {
        // What was written for the last step stays: TensorBoard forgets what a new file goes on at or before.
        let first_step = if step == 0 { 0 } else { step + 1 };
        let network = origin.network(self.device, &self.settings)?;
        let trainer = trainer(&self.settings, &data, network, self.device)?;
        Ok(Session {
            events: EventWriter::create(folder.path(), first_step)?,
            progress: TrainingProgress::new(self.printer, self.device, trainer.total_steps(), step),
            title: format!(
                "{} on {}, {} classes",
                origin.variant(),
                self.settings.data.display(),
                data.classes().len()
            ),
            settings: self.settings,
            interrupt: self.interrupt,
            history: Vec::new(),
            best: None,
            rate: 0.0,
            data,
            trainer,
            folder,
            checkpointer,
            log,
        })
    }
}

/// A trainer at the beginning; batch size and learning rate are known by now.
pub(super) fn trainer(
    settings: &Settings,
    data: &TrainingData,
    network: EfficientNet,
    device: Device,
) -> anyhow::Result<Trainer> {
    let lr = settings
        .lr
        .value()
        .context("the learning rate is not known yet")?;
    let phases = plan::phases(settings, lr, data.steps_per_epoch(settings))?;
    let options = plan::options(settings, &data.support(), device)?;
    Ok(Trainer::new(network, options, phases)?)
}

fn note<T: std::str::FromStr>(snapshot: &Snapshot, name: &str) -> anyhow::Result<T> {
    let value = snapshot.notes.get(name).and_then(|text| text.parse().ok());
    value.with_context(|| format!("the checkpoint has no usable `{name}`"))
}

fn epoch_record(record: &Record) -> Option<EpochRecord> {
    match record {
        Record::Epoch(record) => Some(*record),
        Record::Step(_) => None,
    }
}

/// `runs/finetune-1`, or the first number of which there is nothing.
pub(super) fn unused_folder(command: &str) -> PathBuf {
    let name = |number: u32| PathBuf::from(format!("runs/{command}-{number}"));
    let mut names = (1..).map(name);
    names.find(|path| !path.exists()).unwrap_or_else(|| name(0))
}
