//! From arguments to a session.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use effnet_train::run::{EpochRecord, EventWriter, Log, Record, RunFolder};
use effnet_train::{Checkpointer, Snapshot};
use serde_json::Value;
use tch::Device;

use super::best::Best;
use super::data::TrainingData;
use super::datasets::{Datasets, UNREADABLE, Unreadable};
use super::networks::{Networks, trainer};
use super::origin::Origin;
use super::progress::TrainingProgress;
use super::ranks::Ranks;
use super::recorder::{LOG_POSITION, Recorder};
use super::session::{RANKS, RATE, Session, TEACHER};
use super::teacher::TeacherFile;
use super::{batch_size, learning_rate};
use effnet::{ModelName, Weights, WeightsContent, Zoo};
use effnet_cli::Interrupt;
use effnet_cli::Printer;
use effnet_cli::training::run_images::{PARTED, Parted};
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;

/// What a session is made with.
pub(super) struct Setup<'a> {
    pub(super) settings: Settings,
    pub(super) device: Device,
    pub(super) zoo: &'a Zoo,
    pub(super) printer: &'a Printer,
    pub(super) interrupt: Interrupt,
    pub(super) ranks: &'a Ranks,
}

/// Where a training begins, as the first process knows it; for the others it is what that process tells.
pub(super) enum Start {
    /// In a folder of its own.
    Begin(PathBuf),
    /// Where this folder left it.
    Resume(RunFolder),
    /// In either way; another process has the folder.
    Follow { resumes: bool },
}

/// Settings that may differ when a training goes on: they do not change what it computes.
/// The images and the teacher may lie elsewhere; that they are the same is made sure of by their contents.
const FREE: [&str; 4] = ["data", "workers", "save_steps", "teacher"];

impl<'a> Setup<'a> {
    /// `None` when interrupted before the training began.
    pub(super) fn session(self, start: Start) -> anyhow::Result<Option<Session<'a>>> {
        match start {
            Start::Begin(folder) => self.begin(Some(&folder)),
            Start::Follow { resumes: false } => self.begin(None),
            Start::Resume(folder) => self.resume(Some(folder)).map(Some),
            Start::Follow { resumes: true } => self.resume(None).map(Some),
        }
    }

    /// A training from its beginning, in a folder that the first process makes at `output`.
    fn begin(mut self, output: Option<&Path>) -> anyhow::Result<Option<Session<'a>>> {
        let mut datasets = Datasets::open(&self.settings)?;
        let origin = Origin::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        let teacher = self.teacher(&datasets, &origin)?;
        self.agree(&datasets, &origin, teacher.as_ref())?;
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
        datasets.leave_out(&unreadable);
        self.settings.image_size = Auto::Value(origin.transform.image_size as u32);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, origin.transform, shard, self.printer)?;
        self.printer.note(origin.describe());
        if let Some(teacher) = &teacher {
            self.printer.note(teacher.describe());
        }
        self.printer.note(data.describe());
        let networks = Networks {
            origin: &origin,
            teacher: teacher.as_ref(),
        };
        self.settings = self.ranks.first(|| self.settled(networks, &data))?;

        let parted = data.parted(&self.settings);
        let metadata = origin.metadata(data.classes());
        let classes = data.classes().to_vec();
        let mut session = self.start(data, networks, 0)?;
        if let Some(folder) = folder {
            folder.write_classes(&classes)?;
            folder.write_json(UNREADABLE, &unreadable)?;
            folder.write_json(PARTED, &parted)?;
            session.recorder = Some(Recorder {
                log: Log::create(folder.log())?,
                checkpointer: Checkpointer::new(folder.path(), metadata)?,
                events: EventWriter::create(folder.path(), 0)?,
                history: Vec::new(),
                title: title(&session.settings, &origin, &classes),
                folder,
            });
        }
        session.ranks.join(&mut session.trainer)?;
        // From here on there is a run that can go on.
        session.save(false)?;
        if let Some(recorder) = &session.recorder {
            recorder.folder.write_config(&session.settings)?;
        }
        Ok(Some(session))
    }

    /// The settings, with what had to be found out.
    fn settled(&self, networks: Networks<'_>, data: &TrainingData) -> anyhow::Result<Settings> {
        let mut settings = self.settings.clone();
        batch_size::settle(&mut settings, networks, data, self.device, self.printer)?;
        let steps = u64::from(settings.epochs) * data.steps_per_epoch(&settings);
        if settings.bn_momentum == Auto::Auto {
            settings.bn_momentum = Auto::Value(networks.origin.batch_norm_momentum(steps));
        }
        learning_rate::settle(&mut settings, networks, data, self.device, self.printer)?;
        Ok(settings)
    }

    /// A training from where it was left, in the folder that the first process has.
    fn resume(self, folder: Option<RunFolder>) -> anyhow::Result<Session<'a>> {
        let mut datasets = Datasets::open(&self.settings)?;
        let origin = match &folder {
            Some(folder) => self.origin_of_run(folder, &datasets)?,
            None => Origin::open(&self.settings, datasets.classes(), self.zoo, self.printer)?,
        };
        let teacher = self.teacher(&datasets, &origin)?;
        self.agree(&datasets, &origin, teacher.as_ref())?;
        let unreadable = self.ranks.first(|| match &folder {
            Some(folder) => Ok(folder.read_json::<Vec<Unreadable>>(UNREADABLE)?),
            None => Ok(Vec::new()),
        });
        datasets.leave_out(&unreadable?);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, origin.transform, shard, self.printer)?;
        let mut left = None;
        let (step, notes) = self.ranks.first(|| {
            let Some(folder) = folder else {
                bail!("a training to go on with has no folder");
            };
            let found = Left::open(folder, &self.settings, &data, &origin)?;
            self.ranks
                .check(found.snapshot.notes.get(RANKS).map(String::as_str))?;
            let told = (found.snapshot.trainer.position.step, found.snapshot.notes.clone());
            left = Some(found);
            Ok(told)
        })?;
        check_teacher(&self.settings, teacher.as_ref(), notes.get(TEACHER))?;
        let networks = Networks {
            origin: &origin,
            teacher: teacher.as_ref(),
        };
        let mut session = self.start(data, networks, step)?;
        session.best = Best::from_notes(&notes);
        session.rate = note(&notes, RATE)?;
        if let Some(left) = left {
            session.trainer.restore(&left.snapshot.trainer)?;
            let title = title(&session.settings, &origin, session.data.classes());
            let recorder = left.recorder(title)?;
            if let Some(path) = recorder.checkpointer.last_good() {
                session.trainer.note_checkpoint(path);
            }
            session.recorder = Some(recorder);
        }
        session.ranks.join(&mut session.trainer)?;
        Ok(session)
    }

    /// Where the training in `folder` is.
    fn origin_of_run(&self, folder: &RunFolder, datasets: &Datasets) -> anyhow::Result<Origin> {
        let weights = folder.path().join("last.safetensors");
        let weights = Weights {
            name: weights.display().to_string(),
            content: WeightsContent::File(weights),
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
        Ok(origin)
    }

    /// What is learnt from; one that is of no use is found out here, before anything else takes its time.
    fn teacher(&self, datasets: &Datasets, origin: &Origin) -> anyhow::Result<Option<TeacherFile>> {
        let teacher = TeacherFile::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        if let Some(teacher) = &teacher {
            teacher.distillation(&self.settings, &origin.transform, self.device)?;
        }
        Ok(teacher)
    }

    /// Makes sure that all processes are about to do the same.
    fn agree(
        &self,
        datasets: &Datasets,
        origin: &Origin,
        teacher: Option<&TeacherFile>,
    ) -> anyhow::Result<()> {
        let mut facts = BTreeMap::from([
            ("effnet".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("the images".to_owned(), datasets.fingerprint()),
            ("the classes".to_owned(), datasets.classes().join(", ")),
            ("the network".to_owned(), format!("{:?}", origin.config())),
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

    /// A session at its beginning, whose trainer is with nobody yet; `step` steps are behind it.
    fn start(self, data: TrainingData, networks: Networks<'_>, step: u64) -> anyhow::Result<Session<'a>> {
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

/// What a training left in its folder.
struct Left {
    folder: RunFolder,
    checkpointer: Checkpointer,
    snapshot: Snapshot,
}

impl Left {
    fn open(
        folder: RunFolder,
        settings: &Settings,
        data: &TrainingData,
        origin: &Origin,
    ) -> anyhow::Result<Self> {
        ensure!(
            data.parted(settings) == folder.read_json::<Parted>(PARTED)?,
            "{}: other images than those that {} was begun with; begin a new run, from its weights with --weights",
            settings.data.display(),
            folder.path().display()
        );
        let mut checkpointer = Checkpointer::new(folder.path(), origin.metadata(data.classes()))?;
        // As for the folder's config.json.
        if let Value::Object(defaults) = serde_json::json!(Settings::of_train()) {
            checkpointer = checkpointer.with_defaults(defaults);
        }
        let snapshot = checkpointer
            .resume(&serde_json::to_value(settings)?, &FREE)?
            .with_context(|| format!("{}: no checkpoint to go on from", folder.path().display()))?;
        Ok(Self {
            folder,
            checkpointer,
            snapshot,
        })
    }

    fn recorder(self, title: String) -> anyhow::Result<Recorder> {
        let step = self.snapshot.trainer.position.step;
        // What was written for the last step stays: TensorBoard forgets what a new file goes on at or before.
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

/// Above the curves.
fn title(settings: &Settings, origin: &Origin, classes: &[String]) -> String {
    let (variant, classes) = (origin.variant(), classes.len());
    format!("{variant} on {}, {classes} classes", settings.data.display())
}

/// A training goes on with the teacher that it began with, wherever its file is now.
fn check_teacher(
    settings: &Settings,
    teacher: Option<&TeacherFile>,
    saved: Option<&String>,
) -> anyhow::Result<()> {
    match (teacher, saved) {
        (None, None) => Ok(()),
        (Some(teacher), Some(saved)) if teacher.sha256 == *saved => Ok(()),
        (Some(teacher), Some(saved)) => bail!(
            "`teacher` is {} with the sha256 {}, expected the file that the training began with, of {saved}; where \
             it has changed (a run's best weights do), begin a new run with --weights",
            settings.teacher,
            teacher.sha256
        ),
        (None, Some(saved)) => bail!(
            "`teacher` is none, expected the file that the training began with, of the sha256 {saved}; name it \
             with --teacher"
        ),
        (Some(_), None) => bail!(
            "`teacher` is {}, expected none, as the training began; leave --teacher out",
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
