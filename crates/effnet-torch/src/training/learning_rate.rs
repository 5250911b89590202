//! `--lr auto`: runs a learning-rate range test before training.

use anyhow::Context;
use effnet_data::{Curve, Panel};
use effnet_train::run::{RunError, RunFolder};
use effnet_train::{RangeTest, RangeTestResult};
use tch::Device;

use super::data::TrainingData;
use super::networks::{self, Networks};
use super::plan;
use super::progress::range_test_bar;
use effnet_cli::Printer;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;

/// Number of steps in the test: enough for the loss to fall and then explode.
const STEPS: usize = 60;
/// The learning rate of the first step: with none of the optimizers does it change the loss within the test.
const FROM: f64 = 1e-6;

/// Resolves `lr` with a range test on the first training images, and returns the test if it was run.
pub(super) fn settle(
    settings: &mut Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<Option<RangeTestResult>> {
    if settings.lr != Auto::Auto {
        return Ok(None);
    }
    printer.note("--lr auto: running a learning-rate range test");
    let mut provisional = settings.clone();
    provisional.lr_batch = 0;
    // The rate is that of the whole network, which is trained longest.
    provisional.head_epochs = 0;
    let mut trainer = networks::trial(&provisional, data, networks, device)?;
    let batches = data.batches(&provisional)?;
    let bar = range_test_bar(printer, STEPS as u64);
    let test = RangeTest::default().with_from(FROM).with_steps(STEPS);
    let result = test.run_on(&mut trainer, &batches, |step| bar.set_position(step as u64));
    bar.finish_and_clear();
    let result = result.context("--lr auto found no learning rate; pass one with --lr")?;
    // The test is not more precise than two significant digits.
    let rounded: f64 = format!("{:.1e}", result.suggestion).parse()?;
    let factor = plan::head_factor(settings);
    let by_factor = match factor {
        1.0 => String::new(),
        _ => format!(", --lr {:.1e} at --head-rate {factor}", rounded / factor),
    };
    printer.note(format!(
        "--lr auto: {rounded:.1e}{by_factor} (see the curve in {CURVE} in the run folder)"
    ));
    settings.lr = Auto::Value(rounded / factor);
    settings.lr_batch = 0;
    Ok(Some(result))
}

/// The file in the run folder that shows the curve of the test.
const CURVE: &str = "lr-finder.png";

/// Draws the curve of the test into the run folder.
pub(super) fn write_curve(folder: &RunFolder, title: &str, test: &RangeTestResult) -> Result<(), RunError> {
    // The suggestion may lie between two steps, so mark the nearest step.
    let distance = |rate: f64| (rate / test.suggestion).ln().abs();
    let rates = test.curve.iter().map(|point| point.0);
    let nearest = rates.min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
    let title = format!("{title}: --lr auto chose {:.1e}", test.suggestion);
    let panel = Panel::new("training loss, smoothed")
        .with_curve(Curve::new("ring: learning rate chosen", test.curve.clone()))
        .with_logarithmic(true)
        .with_mark(nearest);
    folder.write_curves(CURVE, &title, "learning rate", &[panel])
}
