//! Builds a [`Session`]: opens images, weights, teacher and run folder, and resolves every `auto` setting.
//!
//! Wrong weights, teachers and settings are rejected here, before the folder of a new run is created, so that
//! early failures leave no trace. The processes of a group compare what they opened, so that a rank with
//! different images or flags is detected at the start.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use effnet_train::data::FitData as _;
use effnet_train::run::{EventWriter, Log, RunFacts, RunFolder};
use effnet_train::{Checkpointer, Ending, Fit, FitOptions, THRESHOLDS};
use serde_json::Value;
use tch::Device;

use super::data::TrainingData;
use super::datasets::{Datasets, UNREADABLE, Unreadable};
use super::epoch_table::EpochTable;
use super::facts::{self, describe_head_epochs, describe_steps};
use super::initial_model::{InitialModel, named_model, noun};
use super::networks::{Networks, trainer};
use super::progress::TrainingProgress;
use super::ranks::Ranks;
use super::recorder::Recorder;
use super::saved_run::{FREE, SavedRun};
use super::session::{RANKS, Session, TEACHER, Watcher};
use super::start::{NewFolder, StartMode};
use super::teacher::TeacherFile;
use super::{batch_size, epochs, learning_rate, plan, samples};
use effnet::{Weights, WeightsContent, Zoo};
use effnet_cli::Interrupt;
use effnet_cli::training::recorded_split::{SPLIT_FILE, settings_of_run};
use effnet_cli::training::settings::{AUTO, Settings};
use effnet_cli::training::values::{Auto, FreezeName};
use effnet_cli::{Printer, counted};

/// Everything from which a session is built.
pub(super) struct SessionBuilder<'a> {
    /// `train` or `finetune`.
    pub(super) command: &'a str,
    pub(super) settings: Settings,
    pub(super) device: Device,
    pub(super) zoo: &'a Zoo,
    pub(super) printer: &'a Printer,
    pub(super) interrupt: Interrupt,
    pub(super) ranks: &'a Ranks,
    /// Compute threads of this process.
    pub(super) threads: usize,
}

/// The result of building a session.
pub(super) enum Built<'a> {
    /// A session that is ready to train.
    Session(Box<Session<'a>>),
    /// The user interrupted the run before training started.
    Interrupted,
    /// The run to resume has ended; at most its report and the paths of moved data are still written.
    Ended(Box<Ended>),
}

/// A run that had already ended.
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) settings: Settings,
    /// The run folder; only the first process has it.
    pub(super) folder: Option<RunFolder>,
}

impl<'a> SessionBuilder<'a> {
    /// Opens everything that training needs.
    pub(super) fn build(self, start: StartMode) -> anyhow::Result<Built<'a>> {
        match start {
            StartMode::New(folder) => self.new_run(Some(&folder)),
            StartMode::Follow { resumes: false } => self.new_run(None),
            StartMode::Resume(folder) => self.resume(Some(folder)),
            StartMode::Follow { resumes: true } => self.resume(None),
        }
    }

    /// Builds a new run in the folder `output`, which the first process creates once there is something to
    /// write.
    fn new_run(mut self, output: Option<&NewFolder>) -> anyhow::Result<Built<'a>> {
        self.ranks
            .first(|| Ok(output.map_or(Ok(()), NewFolder::check)?))?;
        let mut datasets = Datasets::open(&self.settings, self.settings.task.task())?;
        self.settings.task = datasets.task().into();
        self.settings.check_task(datasets.task())?;
        if let Some(line) = datasets.describe_task() {
            self.printer.note(line);
        }
        let labels = (datasets.task(), datasets.classes());
        let model = InitialModel::open(&self.settings, labels, self.zoo, self.printer)?;
        let teacher = self.teacher(&datasets, &model)?;
        self.agree(&datasets, &model, teacher.as_ref())?;
        let unreadable =
            datasets.find_unreadable(&self.settings, self.ranks, self.printer, &self.interrupt)?;
        if self.ranks.any(self.interrupt.is_set())? {
            return Ok(Built::Interrupted);
        }
        datasets.skip(&unreadable);
        self.settings.image_size = Auto::Value(model.transform.image_size as u32);
        self.settings.precision = plan::precision_in_use(self.settings.precision, self.device);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, &model, shard, self.printer)?;
        self.printer.note(model.describe());
        if let Some(teacher) = &teacher {
            self.printer.note(teacher.describe());
        }
        data.describe(&self.settings, self.printer);
        if let Some(line) = data.describe_cache(&self.settings, model.config().head_channels()) {
            self.printer.note(line);
        }
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
        let mut range_test = None;
        self.settings = self.ranks.first(|| {
            let mut settings = self.settled(networks, &data)?;
            range_test = learning_rate::settle(&mut settings, networks, &data, self.device, self.printer)?;
            Ok(settings)
        })?;

        let recorded_split = data.recorded_split(&self.settings);
        let metadata = model.metadata(data.classes(), data.scale());
        let classes = data.classes().to_vec();
        let (command, threads) = (self.command, self.threads);
        let mut session = self.new_session(data, networks, 0)?;
        let (trainer, ranks) = (session.fit.trainer(), session.watcher.ranks);
        let start = facts::start(trainer, threads, ranks.count());
        let notes = &session.watcher.progress;
        let steps = session.fit.data().steps_per_epoch();
        notes.note(describe_steps(trainer, &session.settings, steps, ranks.count()));
        if let Some(line) = describe_head_epochs(&session.settings) {
            notes.note(line);
        }
        notes.note(start.describe());
        let mut folder = None;
        ranks.first(|| {
            folder = output.map(NewFolder::create).transpose()?;
            Ok(())
        })?;
        if let Some(folder) = folder {
            notes.note(format!("run folder {}", folder.path().display()));
            let title = title(&session.settings, &model, &classes);
            if let Some(test) = &range_test {
                learning_rate::write_curve(&folder, &title, test)?;
            }
            samples::write(&folder, &session.data, session.fit.data())?;
            let facts = facts::facts(command, trainer, &session.settings, start);
            facts.write(&folder)?;
            folder.write_classes(&classes)?;
            folder.write_json(UNREADABLE, &unreadable)?;
            folder.write_json(SPLIT_FILE, &recorded_split)?;
            let config = serde_json::to_value(&session.settings)?;
            let log = Log::create(folder.log())?;
            session
                .fit
                .save_to(Checkpointer::new(folder.path(), metadata)?, config);
            session.watcher.recorder = Some(Recorder {
                log,
                events: EventWriter::create(folder.path(), 0)?,
                history: Vec::new(),
                steps: Vec::new(),
                facts,
                classes: classes.len(),
                title,
                folder,
            });
        }
        ranks.join(session.fit.trainer_mut())?;
        // From here on, the run can be resumed.
        session.fit.save(&mut session.watcher)?;
        if let Some(recorder) = &session.watcher.recorder {
            recorder.folder.write_config(&session.settings)?;
        }
        Ok(Built::Session(Box::new(session)))
    }

    /// Returns the settings with every `auto` resolved, except for the learning rate.
    fn settled(&self, networks: Networks<'_>, data: &TrainingData) -> anyhow::Result<Settings> {
        let mut settings = self.settings.clone();
        if settings.model == AUTO {
            settings.model = networks.model.variant().to_string();
        }
        batch_size::settle(&mut settings, networks, data, self.device, self.printer)?;
        epochs::settle(&mut settings, networks, data, self.device, self.printer)?;
        let steps = u64::from(settings.epochs) * data.steps_per_epoch(&settings)?;
        if settings.bn_momentum == Auto::Auto {
            settings.bn_momentum = Auto::Value(networks.model.batch_norm_momentum(steps));
        }
        Ok(settings)
    }

    /// Resumes the run in the folder that the first process has.
    fn resume(mut self, folder: Option<RunFolder>) -> anyhow::Result<Built<'a>> {
        // A run of an earlier version, which could only classify, has no task.
        let task = self.settings.task.task().unwrap_or_default();
        if let Some(folder) = &folder {
            self.check_label_column(folder)?;
        }
        let mut datasets = Datasets::open(&self.settings, Some(task))?;
        let model = match &folder {
            Some(folder) => self.initial_model_of_run(folder, &datasets)?,
            None => InitialModel::open(&self.settings, (task, datasets.classes()), self.zoo, self.printer)?,
        };
        let teacher = self.teacher(&datasets, &model)?;
        self.agree(&datasets, &model, teacher.as_ref())?;
        let unreadable = self.ranks.first(|| match &folder {
            Some(folder) => Ok(folder.read_json::<Vec<Unreadable>>(UNREADABLE)?),
            None => Ok(Vec::new()),
        });
        datasets.skip(&unreadable?);
        let shard = self.ranks.shard();
        let data = TrainingData::new(datasets, &self.settings, &model, shard, self.printer)?;
        let mut saved = None;
        let (step, notes, head_epochs) = self.ranks.first(|| {
            let Some(folder) = folder else {
                bail!("the first process has no run folder to resume");
            };
            let found = SavedRun::open(folder, &self.settings, &data, &model)?;
            self.ranks
                .check(found.snapshot.notes.get(RANKS).map(String::as_str))?;
            let step = found.snapshot.trainer.position.step;
            let state = (step, found.snapshot.notes.clone(), found.head_epochs);
            saved = Some(found);
            Ok(state)
        })?;
        // That of the first process is the run's, those of the others are of the weights it was started from.
        self.ranks.agree(&BTreeMap::from([(
            "the mean and the standard deviation of each value".to_owned(),
            format!("{:?}", data.scale()),
        )]))?;
        self.settings.head_epochs = head_epochs;
        check_teacher(&self.settings, teacher.as_ref(), notes.get(TEACHER))?;
        let networks = Networks {
            model: &model,
            teacher: teacher.as_ref(),
        };
        let (command, threads) = (self.command, self.threads);
        let mut session = self.new_session(data, networks, step)?;
        session.watcher.thresholds = notes.get(THRESHOLDS).cloned();
        let ranks = session.watcher.ranks;
        match &saved {
            Some(saved) => session.fit.restore(&saved.snapshot)?,
            None => session.fit.restore_notes(&notes)?,
        }
        if let Some(ending) = ranks.first(|| Ok(session.fit.ending()))? {
            session.watcher.progress.finish();
            if let Some(saved) = &saved {
                // The report may still have to be written.
                remember_moved_data(&saved.folder, &session.settings)?;
            }
            return Ok(Built::Ended(Box::new(Ended {
                ending,
                settings: session.settings,
                folder: saved.map(|saved| saved.folder),
            })));
        }
        let is_continued = saved.as_ref().is_some_and(|saved| saved.continuation.is_some());
        if let Some(saved) = saved {
            let trainer = session.fit.trainer();
            let start = facts::start(trainer, threads, ranks.count());
            let notes = &session.watcher.progress;
            notes.note(saved.describe(&session));
            for line in saved.describe_continuation(&session) {
                notes.note(line);
            }
            notes.note(start.describe());
            let facts = facts::facts(command, trainer, &session.settings, start);
            let facts = RunFacts::resume(saved.folder.path(), trainer.position().epoch, facts)?;
            if let Some(before) = facts.before_change() {
                session.watcher.progress.note(format!(
                    "until now, it was trained with {before}: its results may differ in the last digits from those without the \
                     interruption"
                ));
            }
            let classes = session.data.classes();
            let title = title(&session.settings, &model, classes);
            let (recorder, checkpointer) = saved.recorder(title, classes.len(), facts)?;
            let config = serde_json::to_value(&session.settings)?;
            session.fit.save_to(checkpointer, config);
            session.watcher.recorder = Some(recorder);
        }
        ranks.join(session.fit.trainer_mut())?;
        if let Some(recorder) = &session.watcher.recorder {
            // Before the checkpoint: a run whose config.json alone is new continues likewise when it is resumed.
            if is_continued {
                recorder.folder.write_config(&session.settings)?;
                session.fit.save(&mut session.watcher)?;
            } else {
                remember_moved_data(&recorder.folder, &session.settings)?;
            }
        }
        Ok(Built::Session(Box::new(session)))
    }

    /// Refuses other columns of labels than those of the run in `folder`, before what they hold is.
    fn check_label_column(&self, folder: &RunFolder) -> anyhow::Result<()> {
        let [own, saved] = [
            &self.settings.label_column,
            &settings_of_run(folder.path())?.label_column,
        ];
        ensure!(
            own == saved,
            "--label-column {own}: the run {} was started {}; omit --label-column, or start a new run",
            folder.path().display(),
            match &**saved {
                "" => "without it".to_owned(),
                saved => format!("with {saved}"),
            }
        );
        Ok(())
    }

    /// Opens the last weights of the run in `folder`.
    fn initial_model_of_run(&self, folder: &RunFolder, datasets: &Datasets) -> anyhow::Result<InitialModel> {
        let weights = folder.path().join("last.safetensors");
        let weights = Weights {
            name: weights.display().to_string(),
            content: WeightsContent::File(weights),
            entry: None,
        };
        let variant = named_model(&self.settings)?.map(|model| model.variant);
        // The key is that of the file which the run was started from.
        let settings = Settings {
            key: String::new(),
            ..self.settings.clone()
        };
        let model = InitialModel::of_weights(
            &settings,
            variant,
            Some(weights),
            (datasets.task(), datasets.classes()),
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

    /// Opens the teacher, if there is one, and tries it out so that an unusable teacher is reported before
    /// anything slow starts.
    fn teacher(&self, datasets: &Datasets, model: &InitialModel) -> anyhow::Result<Option<TeacherFile>> {
        let teacher = TeacherFile::open(&self.settings, datasets.classes(), self.zoo, self.printer)?;
        if let Some(teacher) = &teacher {
            teacher.distillation(&self.settings, &model.transform, self.device)?;
        }
        Ok(teacher)
    }

    /// Checks that all processes were started with the same data, network and settings.
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
            ("the preprocessing".to_owned(), format!("{:?}", model.transform)),
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

    /// Creates a session after `step` steps, whose trainer has not joined the group yet.
    fn new_session(
        self,
        data: TrainingData,
        networks: Networks<'_>,
        step: u64,
    ) -> anyhow::Result<Session<'a>> {
        let settings = self.settings;
        let trainer = trainer(&settings, &data, networks, self.device)?;
        let head_epochs = plan::head_epochs(&settings);
        let head_steps = u64::from(head_epochs) * data.steps_per_epoch(&settings)?;
        let watcher = Watcher {
            progress: TrainingProgress::new(
                self.printer,
                self.device,
                trainer.total_steps(),
                step,
                head_steps,
            ),
            interrupt: self.interrupt,
            ranks: self.ranks,
            recorder: None,
            best: None,
            scale: data.scale().cloned(),
            thresholds: None,
            teacher: networks.teacher.map(|teacher| teacher.sha256.clone()),
            classes: data.classes().to_vec(),
            table: EpochTable::new(
                settings.epochs,
                head_epochs,
                data.task(),
                data.classes().len(),
                data.validation_images() > 0,
            ),
            part: 1.0,
            log_steps: settings.log_steps,
        };
        let options = FitOptions::default()
            .with_patience(u64::from(settings.patience))
            .with_save_steps(u64::from(settings.save_steps));
        Ok(Session {
            fit: Fit::new(trainer, data.batches(&settings)?, options),
            settings,
            data,
            watcher,
        })
    }
}

/// Returns what `--freeze` freezes, spelled as in the flag.
fn frozen(name: FreezeName) -> Option<&'static str> {
    match name {
        FreezeName::Nothing => None,
        FreezeName::Convolutions => Some("convolutions"),
        FreezeName::Features => Some("features"),
    }
}

/// Returns the title of the curves. It names the data set without the folders around it.
fn title(settings: &Settings, model: &InitialModel, classes: &[String]) -> String {
    let data = settings.data.file_name().unwrap_or(settings.data.as_os_str());
    format!(
        "{} on {}, {}",
        model.variant(),
        data.display(),
        counted(classes.len(), noun(model.task))
    )
}

/// Writes where the images are now to the run's settings, for its report and the next resume.
fn remember_moved_data(folder: &RunFolder, settings: &Settings) -> anyhow::Result<()> {
    let saved: Settings = folder.read_config()?;
    if (&saved.data, &saved.val) != (&settings.data, &settings.val) {
        let (data, val) = (settings.data.clone(), settings.val.clone());
        folder.write_config(&Settings { data, val, ..saved })?;
    }
    Ok(())
}

/// Checks that a run is resumed with the teacher it was started with, wherever the teacher's file is now.
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
