//! [`Model`], the main entry point of the library: a network that is ready to use.
//!
//! The numeric profile, the preprocessing and the class names all depend on the weight file, and a wrong
//! choice for any of them gives wrong predictions without an error. [`Model`] determines all three by the
//! same rules as the `effnet` program, so that a caller cannot forget one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use effnet_architecture::{Config, Profile, Task, Variant};
use effnet_data::DecodeFailure;
use effnet_hub::Progress;
use effnet_image::EvalTransform;

use crate::index_source::IndexedNetwork;
use crate::{
    Backend, BackendError, BatchDemand, Engine, Error, Estimate, ExplainOptions, ExplainedClasses, Explainer,
    Explanation, Images, IndexSource, Labels, LoadOptions, LoadReport, Manifest, ModelFile, ModelOptions,
    Pipeline, Prediction, Reader, Rows, Source, Zoo, available_memory, check_finite, estimate, rank,
    transform,
};

/// The outcome for one image of many: the image with its result, or the error that ended the whole run.
pub type Outcome<S, T> = Result<(S, Result<T, Error>), Error>;

/// An EfficientNet whose weights are packed for this CPU, together with its preprocessing and class names.
///
/// Cheap to clone and safe to share: any number of threads may call it concurrently.
///
/// ```
/// use effnet::Model;
///
/// let model = Model::open("b0.cifar10")?; // or "b3", "b3.advprop", "my-weights.pth", a run folder
/// let best = &model.classify("../../docs/ship.png", 1)?[0];
/// assert_eq!(best.label, "ship");
/// # Ok::<(), effnet::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    engine: Engine,
    described: Arc<Described>,
}

/// The description of the network: everything except its parameters.
#[derive(Debug)]
struct Described {
    network: IndexedNetwork,
    transform: EvalTransform,
    labels: Labels,
    has_labels: bool,
    report: LoadReport,
}

impl Model {
    /// Opens weights by name: a variant (`b3`, for its default weights), the id of published weights
    /// (`b3.advprop`), a weight file (`.pth`, `.safetensors`, ...) or the folder of a training run.
    ///
    /// Published weights are downloaded once, verified, and cached. Caches, proxies and mirrors are taken
    /// from the environment; see [`HubConfig::from_environment`](crate::HubConfig::from_environment). Nothing
    /// in a weight file is executed.
    ///
    /// # Errors
    /// When the weights do not exist, cannot be downloaded or read, or are not exactly the parameters of one
    /// EfficientNet. In the last case, the error lists every tensor that is missing, unexpected or of the
    /// wrong shape.
    pub fn open(weights: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(weights, &ModelOptions::default())
    }

    /// Like [`open`](Self::open), but with options.
    ///
    /// ```
    /// use effnet::{EngineOptions, Model, ModelOptions};
    ///
    /// let options = ModelOptions::default().with_engine(EngineOptions::default().with_threads(1));
    /// let model = Model::open_with("b0.cifar10", &options)?;
    /// assert_eq!(model.engine().threads(), 1);
    /// # Ok::<(), effnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`open`](Self::open), and also when the weights contradict the options.
    pub fn open_with(weights: impl AsRef<Path>, options: &ModelOptions) -> Result<Self, Error> {
        Self::open_from(&Zoo::from_environment()?, weights, options, &mut ())
    }

    /// Like [`open_with`](Self::open_with), but with caches and a list of published weights of your own, and with the
    /// progress of a download.
    ///
    /// # Errors
    /// Same as [`open_with`](Self::open_with).
    pub fn open_from(
        zoo: &Zoo,
        weights: impl AsRef<Path>,
        options: &ModelOptions,
        progress: &mut dyn Progress,
    ) -> Result<Self, Error> {
        let weights = zoo.locate_one(weights, progress)?;
        let file = ModelFile::open(weights, options)?;
        Self::from_file(&file, options, &zoo.manifest)
    }

    /// Loads the network of a file that was opened with the same options. `manifest` knows the preprocessing of
    /// published weights.
    ///
    /// # Errors
    /// Same as [`open_with`](Self::open_with), except that nothing is looked for or downloaded.
    pub fn from_file(file: &ModelFile, options: &ModelOptions, manifest: &Manifest) -> Result<Self, Error> {
        let transform = transform(&options.preprocessing, file, manifest)?;
        let parameters = file.parameters(&file.config(file.num_classes()), LoadOptions::default())?;
        let named = file.labels(options.labels.clone())?;
        let has_labels = named.is_some();
        Ok(Self {
            engine: Engine::new(&parameters, options.engine)?,
            described: Arc::new(Described {
                network: IndexedNetwork::of(file),
                transform,
                labels: named.unwrap_or_else(|| file.numbered_labels()),
                has_labels,
                report: parameters.report().clone(),
            }),
        })
    }

    /// Classifies one image: a path, an [`Image`](effnet_image::Image), or your own [`Source`]. Returns the
    /// `top_k` most likely classes (all if it is 0), most likely first.
    ///
    /// # Errors
    /// [`Error::Image`] when the image cannot be decoded, [`Error::NotFinite`] when the network returns NaN
    /// or infinity for it, [`Error::OtherTask`] when it predicts numbers instead of classes, [`Error::Backend`] when
    /// memory runs out.
    pub fn classify(&self, image: &(impl Source + ?Sized), top_k: usize) -> Result<Vec<Prediction>, Error> {
        self.check_task(|task| task != Task::Regression)?;
        self.rank(&self.run_one(&self.engine, image)?, top_k)
    }

    /// Returns the numbers that a network for [`Task::Regression`](crate::Task::Regression) predicts for one image.
    ///
    /// # Errors
    /// Same as [`classify`](Self::classify), but [`Error::OtherTask`] when the network predicts classes.
    pub fn estimate(&self, image: &(impl Source + ?Sized)) -> Result<Vec<Estimate>, Error> {
        self.check_task(|task| task == Task::Regression)?;
        Ok(estimate(&self.run_one(&self.engine, image)?, self.labels())?)
    }

    /// Computes the embedding of one image: the pooled features before the classifier. It has 1280 numbers
    /// for B0, [`Config::head_channels`] in general.
    ///
    /// # Errors
    /// Same as [`classify`](Self::classify).
    pub fn features(&self, image: &(impl Source + ?Sized)) -> Result<Vec<f32>, Error> {
        finite(self.run_one(&self.engine.for_features(), image)?)
    }

    /// Returns which parts of an image support its `classes`: the predictions with a map of each. The maps cover what the
    /// network saw of the image; [`EvalTransform::visible_region`] says where that is.
    ///
    /// ```
    /// # let model = effnet::Model::open("b0.cifar10")?;
    /// use effnet::{ExplainOptions, ExplainedClasses};
    ///
    /// let best = ExplainedClasses::Best(1);
    /// let explanation = model.explain("../../docs/ship.png", best, ExplainOptions::default())?;
    /// assert_eq!(explanation.predictions[0].label, "ship");
    /// let map = &explanation.maps[0];
    /// assert_eq!((map.height(), map.width(), map.scaled().len()), (4, 4, 16));
    /// # Ok::<(), effnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// Same as [`classify`](Self::classify), and [`Error::Explain`] for a class or layer that does not exist and for a
    /// layer that the method cannot use.
    pub fn explain(
        &self,
        image: &(impl Source + ?Sized),
        classes: ExplainedClasses,
        options: ExplainOptions,
    ) -> Result<Explanation, Error> {
        let explainer = Explainer::new(self.engine.clone(), options)?;
        let image = image.image().map_err(DecodeFailure::Failed)?;
        let pixels = self
            .transform()
            .apply(&image)
            .map_err(|error| DecodeFailure::Failed(error.into()))?;
        let side = self.transform().image_size;
        let images = Images::new(&pixels, [1, 3, side, side])?;
        Ok(explainer.explain(images, classes, self.labels(), &AtomicBool::new(false))?)
    }

    /// Classifies many images: decodes them ahead on several threads, in bounded memory, and runs them in
    /// batches. Results are in the order of the images; an image that cannot be decoded does not stop the
    /// others.
    ///
    /// ```
    /// # let model = effnet::Model::open("b0.cifar10")?;
    /// let photos = ["../../docs/ship.png", "missing.jpg"].map(std::path::PathBuf::from);
    /// for outcome in model.classify_all(photos, 1)? {
    ///     let (photo, classes) = outcome?;
    ///     match classes {
    ///         Ok(classes) => println!("{}: {}", photo.display(), classes[0].label),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # Ok::<(), effnet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Backend`] when threads cannot be started, [`Error::OtherTask`] as in [`classify`](Self::classify). An item is an error only when the network fails,
    /// which ends the iteration; an error in a single image is returned together with that image.
    pub fn classify_all<S: Source, I>(
        &self,
        images: I,
        top_k: usize,
    ) -> Result<impl Iterator<Item = Outcome<S, Vec<Prediction>>> + use<S, I>, Error>
    where
        I: IntoIterator<Item = S>,
        I::IntoIter: Send + 'static,
    {
        self.check_task(|task| task != Task::Regression)?;
        let model = self.clone();
        let rows = self.run_all(self.engine.clone(), images)?;
        Ok(rows.map(move |row| {
            row.map(|(image, logits)| (image, logits.and_then(|logits| model.rank(&logits, top_k))))
        }))
    }

    /// Computes the [`features`](Self::features) of many images, in the same way as
    /// [`classify_all`](Self::classify_all).
    ///
    /// # Errors
    /// Same as [`classify_all`](Self::classify_all).
    pub fn features_all<S: Source, I>(
        &self,
        images: I,
    ) -> Result<impl Iterator<Item = Outcome<S, Vec<f32>>> + use<S, I>, Error>
    where
        I: IntoIterator<Item = S>,
        I::IntoIter: Send + 'static,
    {
        let rows = self.run_all(self.engine.for_features(), images)?;
        Ok(rows.map(|row| row.map(|(image, features)| (image, features.and_then(finite)))))
    }

    /// Returns what the [`features`](Self::features) of this network depend on, for a
    /// [`FeatureIndex`](crate::FeatureIndex): weights, profile and preprocessing. An index refuses those of another
    /// network. Not included are precision and threads, which change only the last digits.
    ///
    /// ```
    /// # let model = effnet::Model::open("b0.cifar10")?;
    /// use effnet::{FeatureIndex, IndexWriter};
    ///
    /// let ship = model.features("../../docs/ship.png")?;
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("ships.npy");
    /// let mut writer = IndexWriter::create(&path, ship.len(), &model.index_source()?)?;
    /// writer.push("ship.png", &ship)?;
    /// writer.finish()?;
    /// let index = FeatureIndex::open(&path)?;
    /// index.check_source(&model.index_source()?)?;
    /// assert_eq!(index.name(index.search(&[&ship], 1, 1)?[0][0].row), "ship.png");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreadable`] when the weight file cannot be read for its digest.
    pub fn index_source(&self) -> Result<IndexSource, Error> {
        self.described.network.source(self.transform())
    }

    /// Computes the logits `[N, classes]` for normalised images `[N, 3, H, W]` of any size.
    ///
    /// # Errors
    /// [`Error::Backend`] when the images are too small for the network, or memory runs out.
    pub fn logits(&self, images: Images<'_>) -> Result<Rows, Error> {
        Ok(self.engine.run(images)?)
    }

    /// The id or path of the weights.
    pub fn name(&self) -> &str {
        &self.described.network.weights.name
    }

    /// The variant.
    pub fn variant(&self) -> Variant {
        self.described.network.variant
    }

    /// What the network was trained for.
    pub fn task(&self) -> Task {
        self.labels().task()
    }

    /// The padding and batch-norm epsilon that the weights were trained with and the network uses.
    pub fn profile(&self) -> Profile {
        self.described.network.profile
    }

    /// The transform from an image to the network's input: resize, crop and normalisation.
    pub fn transform(&self) -> &EvalTransform {
        &self.described.transform
    }

    /// The class names, or class numbers if the names are not known; see [`has_labels`](Self::has_labels).
    pub fn labels(&self) -> &Labels {
        &self.described.labels
    }

    /// Whether the class names are known.
    pub fn has_labels(&self) -> bool {
        self.described.has_labels
    }

    /// A report of what loading did besides copying tensors.
    pub fn load_report(&self) -> &LoadReport {
        &self.described.report
    }

    /// The configuration of the network.
    pub fn config(&self) -> &Config {
        self.engine.config()
    }

    /// The engine that runs the network.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn check_task(&self, fits: impl Fn(Task) -> bool) -> Result<(), Error> {
        let task = self.task();
        if fits(task) {
            return Ok(());
        }
        let name = self.name().to_owned();
        Err(Error::OtherTask { name, task })
    }

    fn rank(&self, logits: &[f32], top_k: usize) -> Result<Vec<Prediction>, Error> {
        Ok(rank(logits, self.labels(), top_k)?)
    }

    fn run_one(&self, engine: &Engine, source: &(impl Source + ?Sized)) -> Result<Vec<f32>, Error> {
        let image = source.image().map_err(DecodeFailure::Failed)?;
        let transform = self.transform();
        let pixels = transform
            .apply(&image)
            .map_err(|error| DecodeFailure::Failed(error.into()))?;
        let side = transform.image_size;
        let rows = engine.run(Images::new(&pixels, [1, 3, side, side])?)?;
        Ok(rows.into_values())
    }

    fn run_all<S: Source, I>(
        &self,
        engine: Engine,
        images: I,
    ) -> Result<impl Iterator<Item = Outcome<S, Vec<f32>>> + use<S, I>, Error>
    where
        I: IntoIterator<Item = S>,
        I::IntoIter: Send + 'static,
    {
        let batch_size = self.batch_size()?;
        let never = Arc::new(AtomicBool::new(false));
        let reader = Reader::start(images, *self.transform(), engine.threads(), never)?;
        let outputs = Pipeline::new(reader, engine, batch_size)?;
        Ok(outputs.map(|output| -> Result<_, Error> {
            let output = output?;
            Ok((output.input, output.result.map_err(Error::from)))
        }))
    }

    /// The batch size: enough images to keep the threads busy, within half of the available memory.
    fn batch_size(&self) -> Result<usize, BackendError> {
        let (engine, side) = (&self.engine, self.transform().image_size);
        let demand = BatchDemand::new(engine, engine.config(), side, engine.threads())?;
        Ok(demand.batch_size(available_memory()))
    }
}

fn finite(features: Vec<f32>) -> Result<Vec<f32>, Error> {
    check_finite(&features, "feature")?;
    Ok(features)
}
