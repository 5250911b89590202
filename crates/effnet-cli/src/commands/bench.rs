//! `effnet bench`.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use effnet::{
    Backend, Images, Layer as NetworkLayer, ModelFile, Parameters, PreprocessingOverrides, Profile, Variant,
    transform,
};
use serde::Serialize;

use crate::Outcome;
use crate::arguments::{BenchArguments, InspectFormat};
use crate::execution::Execution;
use crate::inference::{self, Network, find, options};
use crate::printer::{Printer, counted};
use crate::process;
use crate::torch::TorchCommands;

/// The number of batches to run before timing, so that memory is allocated and caches are warm.
const WARM_UP: usize = 3;

/// How long to measure if `--runs` is not set, and the fewest runs in that case.
const MEASURE: Duration = Duration::from_secs(5);
const FEWEST_RUNS: usize = 10;

/// The number of batches over which the times of layers are averaged.
const PROFILED_RUNS: usize = 10;

/// The result of a benchmark.
#[derive(Serialize)]
struct Report {
    model: &'static str,
    /// `null` for random weights.
    weights: Option<String>,
    /// The height and width of the images.
    image_size: [usize; 2],
    batch_size: usize,
    engine: &'static str,
    precision: &'static str,
    /// The instruction set of the fused engine, or `cuda-graphs`, or `libtorch`.
    backend: String,
    device: String,
    threads: usize,
    runs: usize,
    latency_ms: Latency,
    images_per_second: f64,
    /// The peak memory of the process; absent if the system does not report it.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_bytes: Option<u64>,
    /// The peak memory on the device; absent on a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_device_memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Vec<Layer>>,
}

/// The latency of one batch, in milliseconds.
#[derive(Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    ms: f64,
    /// Its share of the whole network's time.
    fraction: f64,
}

/// A network and the source of its weights.
struct Subject {
    variant: Variant,
    weights: Option<String>,
    /// The height and width that `classify` would use.
    image_size: [usize; 2],
    network: Network,
}

pub(crate) fn run(
    arguments: &BenchArguments,
    torch: Option<&dyn TorchCommands>,
    printer: &Printer,
) -> anyhow::Result<Outcome> {
    let execution = Execution::prepare(&arguments.execution, torch, printer)?;
    let subject = load(arguments, &execution, printer)?;
    let size = arguments.image_size.map_or(subject.image_size, |side| [side; 2]);
    let shape = [
        arguments.batch_size,
        subject.network.config.in_channels,
        size[0],
        size[1],
    ];
    let pixels = noise(shape.iter().product());
    let images = Images::new(&pixels, shape)?;
    let backend = &*subject.network.backend;
    let times = measure(backend, images, arguments.runs)
        .context("cannot run the network; a smaller --batch-size or --image-size needs less memory")?;
    let layers = arguments
        .profile_layers
        .then(|| profile(backend, images))
        .transpose()?;
    let images_per_second = arguments.batch_size as f64 / seconds_per_batch(backend, images, &times)?;
    if let Some(reason) = backend.why_no_graphs() {
        printer.detail(format!("no CUDA graphs: {reason}"));
    }
    let report = Report {
        model: subject.variant.name(),
        weights: subject.weights,
        image_size: size,
        batch_size: arguments.batch_size,
        engine: backend.engine(),
        precision: backend.precision().name(),
        backend: backend.kernels(),
        device: backend.device(),
        threads: execution.threads,
        runs: times.len(),
        images_per_second,
        latency_ms: Latency::of(times),
        peak_memory_bytes: process::peak_memory(),
        peak_device_memory_bytes: backend.peak_device_memory()?,
        layers,
    };
    let mut stdout = std::io::stdout();
    match arguments.format {
        InspectFormat::Json => writeln!(stdout, "{}", serde_json::to_string(&report)?)?,
        InspectFormat::Text => write_text(&mut stdout, &report)?,
    }
    Ok(Outcome::Done)
}

/// Loads the named weights, or random weights, which take the same time to run.
fn load(arguments: &BenchArguments, execution: &Execution, printer: &Printer) -> anyhow::Result<Subject> {
    let (model, weights) = (arguments.model.model.as_ref(), arguments.model.weights.as_deref());
    if weights.is_some() || model.is_some_and(|model| model.tag.is_some()) {
        let (zoo, weights) = find(&arguments.model, printer)?;
        let options = options(&arguments.model).with_num_classes(arguments.classes.num_classes);
        let file = ModelFile::open(weights, &options)?;
        inference::warn(&file, printer);
        // The image size that the weights were trained for may differ from that of the variant.
        let side = transform(&PreprocessingOverrides::default(), &file, &zoo.manifest)?.image_size;
        return Ok(Subject {
            variant: file.variant,
            weights: Some(file.weights().name.clone()),
            image_size: [side; 2],
            network: inference::load(&file, false, execution, printer)?,
        });
    }
    let variant = model.map_or(Variant::B0, |model| model.variant);
    let mut config = variant
        .config()
        .with_profile(arguments.model.profile.unwrap_or(Profile::Tf));
    if let Some(classes) = arguments.classes.num_classes {
        config = config.with_num_classes(classes);
    }
    let parameters = Parameters::random(&config, 0)?;
    let backend = execution.build(&parameters, false, printer)?;
    Ok(Subject {
        variant,
        weights: None,
        image_size: config.image_size,
        network: Network { config, backend },
    })
}

/// Returns random values that roughly resemble the pixels of a normalised image.
fn noise(count: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(0);
    (0..count).map(|_| 4.0 * random.f32() - 2.0).collect()
}

/// Returns the times of `runs` batches in seconds, or of as many batches as [`MEASURE`] allows.
fn measure(backend: &dyn Backend, images: Images<'_>, runs: Option<usize>) -> anyhow::Result<Vec<f64>> {
    for _ in 0..WARM_UP {
        let _ = backend.run(images)?;
    }
    let mut times = Vec::new();
    let begin = Instant::now();
    loop {
        let enough = match runs {
            Some(runs) => times.len() >= runs,
            None => times.len() >= FEWEST_RUNS && begin.elapsed() >= MEASURE,
        };
        if enough {
            return Ok(times);
        }
        let start = Instant::now();
        let _ = backend.run(images)?;
        times.push(start.elapsed().as_secs_f64());
    }
}

/// Returns the seconds per batch for consecutive batches. This is the mean of `times`, or less on a device, where the
/// next batch is submitted while the device is computing, as in the processing of many images.
fn seconds_per_batch(backend: &dyn Backend, images: Images<'_>, times: &[f64]) -> anyhow::Result<f64> {
    if !backend.is_asynchronous() {
        return Ok(times.iter().sum::<f64>() / times.len() as f64);
    }
    let start = Instant::now();
    let mut running = backend.submit(images)?;
    for _ in 1..times.len() {
        let next = backend.submit(images)?;
        let _ = running.wait()?;
        running = next;
    }
    let _ = running.wait()?;
    Ok(start.elapsed().as_secs_f64() / times.len() as f64)
}

fn profile(backend: &dyn Backend, images: Images<'_>) -> anyhow::Result<Vec<Layer>> {
    let mut sums: Vec<(NetworkLayer, f64)> = Vec::new();
    for _ in 0..PROFILED_RUNS {
        let parts = backend
            .profile(images)?
            .context("--profile-layers needs the fused engine on a CPU")?;
        if sums.is_empty() {
            sums = parts;
        } else {
            for (sum, (_, seconds)) in sums.iter_mut().zip(parts) {
                sum.1 += seconds;
            }
        }
    }
    let total: f64 = sums.iter().map(|(_, seconds)| seconds).sum();
    let layer = |(layer, seconds): (NetworkLayer, f64)| Layer {
        name: layer_name(layer),
        ms: seconds * 1e3 / PROFILED_RUNS as f64,
        fraction: seconds / total,
    };
    Ok(sums.into_iter().map(layer).collect())
}

/// Returns the name of a layer, taken from its parameters.
fn layer_name(layer: NetworkLayer) -> String {
    match layer {
        NetworkLayer::Stem => "_conv_stem".to_owned(),
        NetworkLayer::Filter(block) => format!("_blocks.{block}._expand_conv, _depthwise_conv"),
        NetworkLayer::Gates(block) => format!("_blocks.{block}._se_reduce, _se_expand"),
        NetworkLayer::Project(block) => format!("_blocks.{block}._project_conv"),
        NetworkLayer::Fused(block) => format!("_blocks.{block}._expand_conv, _project_conv"),
        NetworkLayer::Head => "_conv_head, pooling".to_owned(),
        NetworkLayer::Classifier => "_fc".to_owned(),
    }
}

impl Latency {
    /// Computes the latency from times in seconds. Each percentile is a measured time and not interpolated.
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let count = seconds.len();
        let percentile = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1);
            seconds.get(rank - 1).map_or(f64::NAN, |seconds| seconds * 1e3)
        };
        Self {
            mean: seconds.iter().sum::<f64>() * 1e3 / count as f64,
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
        }
    }
}

fn write_text(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    let [height, width] = report.image_size;
    let weights = report.weights.as_deref().unwrap_or("random");
    writeln!(
        out,
        "model       {}, {weights} weights, {height}x{width}",
        report.model
    )?;
    writeln!(
        out,
        "engine      {} ({}), {}, {}, {}",
        report.engine,
        report.backend,
        report.precision,
        report.device,
        counted(report.threads, "thread")
    )?;
    writeln!(out, "batch size  {}", report.batch_size)?;
    let latency = &report.latency_ms;
    writeln!(
        out,
        "latency     {:.2} ms p50, {:.2} ms p90, {:.2} ms p99, over {}",
        latency.p50,
        latency.p90,
        latency.p99,
        counted(report.runs, "run")
    )?;
    writeln!(out, "throughput  {:.1} images/s", report.images_per_second)?;
    if let Some(bytes) = report.peak_memory_bytes {
        writeln!(out, "memory      {} MiB peak", bytes >> 20)?;
    }
    if let Some(bytes) = report.peak_device_memory_bytes {
        writeln!(out, "            {} MiB peak on the device", bytes >> 20)?;
    }
    let Some(layers) = &report.layers else {
        return Ok(());
    };
    writeln!(out, "\n{:<44}  {:>8}  {:>6}", "layer", "ms", "share")?;
    for layer in layers {
        let share = layer.fraction * 100.0;
        writeln!(out, "{:<44}  {:>8.3}  {share:>5.1}%", layer.name, layer.ms)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_measured_ones() {
        let latency = Latency::of((1..=200).rev().map(|ms| f64::from(ms) / 1e3).collect());
        let rounded = [latency.p50, latency.p90, latency.p99, latency.mean].map(|ms| (ms * 10.0).round());
        assert_eq!(rounded, [1000.0, 1800.0, 1980.0, 1005.0]);
        let single = Latency::of(vec![0.002]);
        assert_eq!([single.p50, single.p90, single.p99], [2.0; 3]);
    }
}
