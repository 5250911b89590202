//! `--lr auto`: a learning-rate range test before training.

use anyhow::Context;
use effnet_train::{Batch, RangeTest};
use tch::Device;

use super::data::TrainingData;
use super::networks::{self, Networks};
use effnet_cli::Printer;
use effnet_cli::training::settings::Settings;
use effnet_cli::training::values::Auto;

/// Steps of the test: enough for the loss to fall and then explode.
const STEPS: usize = 60;

/// Resolves `lr` by a range test on the first training images.
pub(super) fn settle(
    settings: &mut Settings,
    networks: Networks<'_>,
    data: &TrainingData,
    device: Device,
    printer: &Printer,
) -> anyhow::Result<()> {
    if settings.lr != Auto::Auto {
        return Ok(());
    }
    printer.note("--lr auto: running a learning-rate range test");
    // The test overrides the schedule, which still needs some learning rate.
    let mut provisional = settings.clone();
    provisional.lr = Auto::Value(1e-3);
    provisional.lr_batch = 0;
    let mut trainer = networks::trainer(&provisional, data, networks, device)?;
    let test = RangeTest::default().with_steps(STEPS);
    let mut epoch = 0;
    let mut steps = data.steps(&provisional, epoch, 0)?;
    let result = test.run(&mut trainer, |_| -> anyhow::Result<Batch> {
        loop {
            if let Some(step) = steps.next() {
                return step?.pop().context("a step has no batch");
            }
            epoch += 1;
            steps = data.steps(&provisional, epoch, 0)?;
        }
    });
    let rate = result
        .context("--lr auto found no learning rate; pass one with --lr")?
        .suggestion;
    // The test is not more precise than two digits.
    let rounded: f64 = format!("{rate:.1e}").parse()?;
    printer.note(format!("learning rate {rounded:.1e}"));
    settings.lr = Auto::Value(rounded);
    settings.lr_batch = 0;
    Ok(())
}
