//! Builds a [`Session`]: opens images, weights, teacher and run folder, and resolves every `auto` setting.
//!
//! Wrong weights, teachers and settings are refused here, before the folder of a new run is created. The processes of a
//! group compare what they opened, so that a rank with other images or flags is found at the start.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use effnet_train::run::{EpochRecord, EventWriter, Log, Record, RunFolder};
use effnet_train::{Checkpointer, Snapshot};
use serde_json::Value;
use tch::Device;

use super::best::Best;
use super::data::TrainingData;
use super::datasets::{Datasets, UNREADABLE, Unreadable};
use super::initial_model::InitialModel;
use super::networks::{Networks, trainer};
use super::progress::TrainingProgress;
use super::ranks::Ranks;
use super::recorder::{LOG_POSITION, Recorder};
use super::session::{RANKS, RATE, Session, TEACHER};
use super::start::StartMode;
use super::teacher::TeacherFile;
use super::{batch_size, learning_rate};
use effnet::{ModelName, Weights, WeightsContent, Zoo};
use effnet_cli::Interrupt;
use effnet_cli::Printer;
use effnet_cli::training::recorded_split::{RecordedSplit, SPLIT_FILE};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::{Auto, FreezeName};

/// What a session is built from.
pub(super) struct SessionBuilder<'a> {
    pub(super) settings: Settings,
    pub(super) device: Device,
    pub(super) zoo: &'a Zoo,
    pub(super) printer: &'a Printer,
    pub(super) interrupt: Interrupt,
    pub(super) ranks: &'a Ranks,
}

/// Settings that may differ when a run is resumed, because they do not change what it computes. The images and the
/// teacher may have moved; whether they are the same is checked by their contents.
const FREE: [&str; 4] = ["data", "workers", "save_steps", "teacher"];

impl<'a> SessionBuilder<'a> {
    /// `None` when interrupted before training started.
    pub(super) fn build(self, start: StartMode) -> anyhow::Result<Option<Session<'a>>> {
        match start {
            StartMode::New(folder) => self.new_run(Some(&folder)),
            StartMode::Follow { resumes: false } => self.new_run(None),
            StartMode::Resume(folder) => self.resume(Some(folder)).map(Some),
            StartMode::Follow { resumes: true } => self.resume(None).map(Some),
        }
    }

    /// A new run, in a folder that the first process creates at `output`.
    fn new_run(mut self, output: Option<&Path>) -> anyhow::Result<Option<Session<'a>>> {
        let mut datasets = Datasets::open(&self.settings)?;
        let model = InitialModel::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        let teacher = self.teacher(&datasets, &model)?;
        self.agree(&datasets, &model, teacher.as_ref())?;
        let mut folder = None;
        self.ranks.first(|| {
            folder = output.map(RunFolder::create).transpose()?;
            Ok(())
        })?;
        let unreadable =
            datasets.find_unreadable(&self.settings, self.ranks, self.printer, &self.interrupt)?;
        if self.ranks.any(self.interrupt.is_set())? {
            return Ok(None);
        }
        datasets.skip(&unreadable);
        self.settings.image_size = Auto::Value(model.transform.image_size as u32);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, model.transform, shard, self.printer)?;
        self.printer.note(model.describe());
        if let Some(teacher) = &teacher {
            self.printer.note(teacher.describe());
        }
        data.describe(&self.settings, self.printer);
        if let (true, Some(freeze)) = (model.is_random(), frozen(self.settings.freeze)) {
            self.printer.warning(format!(
                "--freeze {freeze} without pretrained weights: the classifier learns from the features of a random \
                 network; omit --freeze, or pass --weights pretrained"
            ));
        }
        let networks = Networks {
            model: &model,
            teacher: teacher.as_ref(),
        };
        self.settings = self.ranks.first(|| self.settled(networks, &data))?;

        let recorded_split = data.recorded_split(&self.settings);
        let metadata = model.metadata(data.classes());
        let classes = data.classes().to_vec();
        let mut session = self.new_session(data, networks, 0)?;
        if let Some(folder) = folder {
            folder.write_classes(&classes)?;
            folder.write_json(UNREADABLE, &unreadable)?;
            folder.write_json(SPLIT_FILE, &recorded_split)?;
            session.recorder = Some(Recorder {
                log: Log::create(folder.log())?,
                checkpointer: Checkpointer::new(folder.path(), metadata)?,
                events: EventWriter::create(folder.path(), 0)?,
                history: Vec::new(),
                title: title(&session.settings, &model, &classes),
                folder,
            });
        }
        session.ranks.join(&mut session.trainer)?;
        // From here on, the run can be resumed.
        session.save(false)?;
        if let Some(recorder) = &session.recorder {
            recorder.folder.write_config(&session.settings)?;
        }
        Ok(Some(session))
    }

    /// The settings with every `auto` resolved.
    fn settled(&self, networks: Networks<'_>, data: &TrainingData) -> anyhow::Result<Settings> {
        let mut settings = self.settings.clone();
        batch_size::settle(&mut settings, networks, data, self.device, self.printer)?;
        let steps = u64::from(settings.epochs) * data.steps_per_epoch(&settings);
        if settings.bn_momentum == Auto::Auto {
            settings.bn_momentum = Auto::Value(networks.model.batch_norm_momentum(steps));
        }
        learning_rate::settle(&mut settings, networks, data, self.device, self.printer)?;
        Ok(settings)
    }

    /// Resumes the run in the folder that the first process has.
    fn resume(self, folder: Option<RunFolder>) -> anyhow::Result<Session<'a>> {
        let mut datasets = Datasets::open(&self.settings)?;
        let model = match &folder {
            Some(folder) => self.initial_model_of_run(folder, &datasets)?,
            None => InitialModel::open(&self.settings, datasets.classes(), self.zoo, self.printer)?,
        };
        let teacher = self.teacher(&datasets, &model)?;
        self.agree(&datasets, &model, teacher.as_ref())?;
        let unreadable = self.ranks.first(|| match &folder {
            Some(folder) => Ok(folder.read_json::<Vec<Unreadable>>(UNREADABLE)?),
            None => Ok(Vec::new()),
        });
        datasets.skip(&unreadable?);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, model.transform, shard, self.printer)?;
        let mut saved = None;
        let (step, notes) = self.ranks.first(|| {
            let Some(folder) = folder else {
                bail!("the first process has no run folder to resume");
            };
            let found = SavedRun::open(folder, &self.settings, &data, &model)?;
            self.ranks
                .check(found.snapshot.notes.get(RANKS).map(String::as_str))?;
            let position = (found.snapshot.trainer.position.step, found.snapshot.notes.clone());
            saved = Some(found);
            Ok(position)
        })?;
        check_teacher(&self.settings, teacher.as_ref(), notes.get(TEACHER))?;
        let networks = Networks {
            model: &model,
            teacher: teacher.as_ref(),
        };
        let mut session = self.new_session(data, networks, step)?;
        session.best = Best::from_notes(&notes);
        session.rate = note(&notes, RATE)?;
        if let Some(saved) = saved {
            session.trainer.restore(&saved.snapshot.trainer)?;
            let title = title(&session.settings, &model, session.data.classes());
            let recorder = saved.recorder(title)?;
            if let Some(path) = recorder.checkpointer.last_good() {
                session.trainer.note_checkpoint(path);
            }
            session.recorder = Some(recorder);
        }
        session.ranks.join(&mut session.trainer)?;
        Ok(session)
    }

    /// The last weights of the run in `folder`.
    fn initial_model_of_run(&self, folder: &RunFolder, datasets: &Datasets) -> anyhow::Result<InitialModel> {
        let weights = folder.path().join("last.safetensors");
        let weights = Weights {
            name: weights.display().to_string(),
            content: WeightsContent::File(weights),
            entry: None,
        };
        let variant = self.settings.model.parse::<ModelName>()?.variant;
        let model = InitialModel::of_weights(
            &self.settings,
            variant,
            Some(weights),
            datasets.classes(),
            self.zoo,
        )?;
        if !model.keeps_classifier() {
            bail!(
                "{}: its classes differ from those of the run {} (see {})",
                self.settings.data.display(),
                folder.path().display(),
                folder.classes().display()
            );
        }
        Ok(model)
    }

    /// The teacher, if any, tried out so that an unusable one is reported before anything slow starts.
    fn teacher(&self, datasets: &Datasets, model: &InitialModel) -> anyhow::Result<Option<TeacherFile>> {
        let teacher = TeacherFile::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        if let Some(teacher) = &teacher {
            teacher.distillation(&self.settings, &model.transform, self.device)?;
        }
        Ok(teacher)
    }

    /// Makes sure that all processes were started with the same data, network and settings.
    fn agree(
        &self,
        datasets: &Datasets,
        model: &InitialModel,
        teacher: Option<&TeacherFile>,
    ) -> anyhow::Result<()> {
        let mut facts = BTreeMap::from([
            ("effnet".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("the images".to_owned(), datasets.fingerprint()),
            ("the classes".to_owned(), datasets.classes().join(", ")),
            ("the network".to_owned(), format!("{:?}", model.config())),
        ]);
        if let Some(teacher) = teacher {
            facts.insert("the teacher's sha256".to_owned(), teacher.sha256.clone());
        }
        if let Value::Object(settings) = serde_json::json!(self.settings) {
            let settings = settings
                .into_iter()
                .filter(|(name, _)| !FREE.contains(&name.as_str()));
            facts.extend(settings.map(|(name, value)| (name, value.to_string())));
        }
        self.ranks.agree(&facts)
    }

    /// A session after `step` steps, whose trainer has not joined the group yet.
    fn new_session(
        self,
        data: TrainingData,
        networks: Networks<'_>,
        step: u64,
    ) -> anyhow::Result<Session<'a>> {
        let trainer = trainer(&self.settings, &data, networks, self.device)?;
        Ok(Session {
            progress: TrainingProgress::new(self.printer, self.device, trainer.total_steps(), step),
            settings: self.settings,
            interrupt: self.interrupt,
            ranks: self.ranks,
            recorder: None,
            best: None,
            rate: 0.0,
            teacher: networks.teacher.map(|teacher| teacher.sha256.clone()),
            data,
            trainer,
        })
    }
}

/// A run to resume.
struct SavedRun {
    folder: RunFolder,
    checkpointer: Checkpointer,
    snapshot: Snapshot,
}

impl SavedRun {
    fn open(
        folder: RunFolder,
        settings: &Settings,
        data: &TrainingData,
        model: &InitialModel,
    ) -> anyhow::Result<Self> {
        ensure!(
            data.recorded_split(settings) == folder.read_json::<RecordedSplit>(SPLIT_FILE)?,
            "{}: the images differ from those that the run {} was started with; to train on them, \
             start a new run and pass the weights of this one with --weights",
            settings.data.display(),
            folder.path().display()
        );
        let mut checkpointer = Checkpointer::new(folder.path(), model.metadata(data.classes()))?;
        // Settings newer than the checkpoint get their defaults, as in config.json.
        if let Value::Object(defaults) = serde_json::json!(Settings::of_train()) {
            checkpointer = checkpointer.with_defaults(defaults);
        }
        let snapshot = checkpointer
            .resume(&serde_json::to_value(settings)?, &FREE)?
            .with_context(|| format!("{}: no checkpoint to resume from", folder.path().display()))?;
        Ok(Self {
            folder,
            checkpointer,
            snapshot,
        })
    }

    fn recorder(self, title: String) -> anyhow::Result<Recorder> {
        let step = self.snapshot.trainer.position.step;
        // TensorBoard drops earlier events from the first step of a new file on: keep those of the last step.
        let first_step = if step == 0 { 0 } else { step + 1 };
        let log = Log::resume(self.folder.log(), note(&self.snapshot.notes, LOG_POSITION)?)?;
        let records: Vec<Record> = Log::read(&self.folder.log())?;
        Ok(Recorder {
            events: EventWriter::create(self.folder.path(), first_step)?,
            history: records.iter().filter_map(epoch_record).collect(),
            folder: self.folder,
            checkpointer: self.checkpointer,
            log,
            title,
        })
    }
}

/// What `--freeze` freezes, as spelled there.
fn frozen(name: FreezeName) -> Option<&'static str> {
    match name {
        FreezeName::Nothing => None,
        FreezeName::Convolutions => Some("convolutions"),
        FreezeName::Features => Some("features"),
    }
}

/// The title of the curves.
fn title(settings: &Settings, model: &InitialModel, classes: &[String]) -> String {
    let (variant, classes) = (model.variant(), classes.len());
    format!("{variant} on {}, {classes} classes", settings.data.display())
}

/// A run must be resumed with the teacher it was started with, wherever its file is now.
fn check_teacher(
    settings: &Settings,
    teacher: Option<&TeacherFile>,
    saved: Option<&String>,
) -> anyhow::Result<()> {
    match (teacher, saved) {
        (None, None) => Ok(()),
        (Some(teacher), Some(saved)) if teacher.sha256 == *saved => Ok(()),
        (Some(teacher), Some(saved)) => bail!(
            "--teacher {}: its sha256 is {}, expected {saved}, that of the teacher the run was started with; if the file has \
             changed (as a run's best weights do), start a new run with --weights",
            settings.teacher,
            teacher.sha256
        ),
        (None, Some(saved)) => bail!(
            "--teacher none: the run was started with a teacher (sha256 {saved}); pass its file with --teacher"
        ),
        (Some(_), None) => bail!(
            "--teacher {}: the run was started without a teacher; omit --teacher",
            settings.teacher
        ),
    }
}

fn note<T: std::str::FromStr>(notes: &BTreeMap<String, String>, name: &str) -> anyhow::Result<T> {
    let value = notes.get(name).and_then(|text| text.parse().ok());
    value.with_context(|| format!("the checkpoint has no usable `{name}`"))
}

fn epoch_record(record: &Record) -> Option<EpochRecord> {
    match record {
        Record::Epoch(record) => Some(*record),
        Record::Step(_) => None,
    }
}
